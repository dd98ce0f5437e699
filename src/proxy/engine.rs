//! What requests are decided and forwarded by: all that a new configuration replaces. A request takes
//! the engine in force once, at its start, and ends under it, so that no request meets two configurations.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::door::DoorLimits;
use super::local::Local;
use super::service::Recorder;
use super::upstream::Upstreams;
use crate::gate::{Gate, Refusals};
use crate::limits::Limits;

/// One configuration, at work.
pub struct Engine {
    /// The decision.
    pub gate: Gate,
    /// For those who fail, and for those who ask too often.
    pub limits: Arc<Limits>,
    /// What is answered here.
    pub local: Local,
    /// Where requests go.
    pub upstreams: Upstreams,
    /// The limits at the door.
    pub door: DoorLimits,
    /// How refusals are written.
    pub refusals: Refusals,
    /// Where the records of requests go; it knows the routes by position.
    pub recorder: Arc<dyn Recorder>,
}

/// The engine in force.
#[derive(Debug)]
pub struct Engines(ArcSwap<Engine>);

impl Engines {
    /// With this engine in force.
    pub fn new(engine: Engine) -> Self {
        Self(ArcSwap::from_pointee(engine))
    }

    /// The engine in force, for longer than a moment.
    pub fn current(&self) -> Arc<Engine> {
        self.0.load_full()
    }

    /// The engine in force, for a moment: nothing may be awaited while it is held.
    pub(super) fn glance(&self) -> Guard<Arc<Engine>> {
        self.0.load()
    }

    /// Puts another engine in force. Every request that starts after the return is decided by it; those
    /// under way end under the one before, which is returned.
    pub fn replace(&self, engine: Engine) -> Arc<Engine> {
        self.0.swap(Arc::new(engine))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("upstreams", &self.upstreams).finish_non_exhaustive()
    }
}
