//! Linearizability under fire, through the decision itself: no acceptance that begins after the end of a
//! credential was acknowledged, and no refusal after it was acknowledged to be valid.
//!
//! Readers decide all the time. One of four empties the cache before its decisions, and holds what it
//! read of a row until the change has been acknowledged, if it can: a fill that is not tied to the drop
//! by the entry's lock is caught within a few rounds.
//!
//! `STOREGATE_STRESS_ROUNDS` sets how often each kind of change is made by each writer (default 8).

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use http::{HeaderMap, HeaderValue, Method};

use super::*;
use crate::gate::{
    Access, Code, Decision, Gate, GateSettings, HeadLimits, InjectNames, Kinds, PathCase, RawHead, Route,
    RouteTable, ScopeRules,
};
use crate::model::{AddressList, AppId, AppStatus, InstallationId, StoreStatus};
use crate::wire::session_token::{self, Claims};

const READERS: usize = 4;

fn rounds() -> usize {
    std::env::var("STOREGATE_STRESS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// What ends a credential, and what makes it (or its successor) valid again.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Rotate,
    Revoke,
    Uninstall,
    Suspend,
    Disable,
}

const ENDINGS: [Ending; 5] =
    [Ending::Rotate, Ending::Revoke, Ending::Uninstall, Ending::Suspend, Ending::Disable];

#[test]
fn no_acceptance_after_an_acknowledgement_to_another_process() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    let _watch = replica.watch().unwrap();
    for ending in ENDINGS {
        hammer(&fixture, &replica, fixture.writer(), ending);
    }
}

/// Nothing but the drop between commit and acknowledgement: no poller, nobody who tells.
#[test]
fn no_acceptance_after_an_acknowledgement_in_process() {
    let fixture = Fixture::new();
    let replica = fixture.replica();
    for ending in ENDINGS {
        hammer(&fixture, &replica, replica.writer(Actor::gateway()).unwrap(), ending);
    }
}

/// What the readers and the writer share.
struct Ring {
    /// Four phases a round: a valid credential is being made; it is acknowledged; it is being ended; the
    /// end is acknowledged. Only decisions that lie within one of the acknowledged phases are judged.
    phase: AtomicUsize,
    /// What is presented: reader by reader another kind of credential, as far as the ending touches it.
    presented: Mutex<Arc<[HeaderMap]>>,
    /// The phase in which each reader's last judged decision was.
    judged: [AtomicUsize; READERS],
    decisions: AtomicUsize,
    accepted_late: AtomicUsize,
    refused_early: AtomicUsize,
    over: AtomicBool,
    /// Which record the ending changes, in the order in which a decision reads them.
    changed: usize,
    /// The forgetful reader has read a row and not filled the cache with it.
    held: AtomicBool,
}

fn hammer(fixture: &Fixture, replica: &Replica, writer: Writer, ending: Ending) {
    let gate = gate();
    let mut owner = Owner::new(fixture, writer, ending);
    let ring = Arc::new(Ring {
        phase: AtomicUsize::new(0),
        presented: Mutex::new(owner.begin()),
        judged: Default::default(),
        decisions: AtomicUsize::new(0),
        accepted_late: AtomicUsize::new(0),
        refused_early: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        changed: match ending {
            Ending::Rotate | Ending::Disable | Ending::Revoke => 0,
            Ending::Uninstall => 1,
            Ending::Suspend => 2,
        },
        held: AtomicBool::new(false),
    });
    thread::scope(|threads| {
        for number in 0..READERS {
            let (ring, gate) = (&ring, &gate);
            threads.spawn(move || read(ring, gate, replica, number));
        }
        let all_judged = |phase| {
            ring.phase.store(phase, Ordering::SeqCst);
            while ring.judged.iter().any(|judged| judged.load(Ordering::SeqCst) != phase) {
                assert!(!ring.over.load(Ordering::SeqCst), "a reader failed");
                thread::yield_now();
            }
        };
        for round in 1..=rounds() {
            let presented = owner.begin();
            *ring.presented.lock().unwrap() = presented;
            all_judged(4 * round + 1);
            ring.phase.store(4 * round + 2, Ordering::SeqCst);
            owner.end();
            all_judged(4 * round + 3);
            ring.phase.store(4 * round + 4, Ordering::SeqCst);
        }
        ring.over.store(true, Ordering::SeqCst);
    });
    owner.begin(); // as it was, for the next kind
    let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    let (late, early) = (count(&ring.accepted_late), count(&ring.refused_early));
    let (rounds, judged) = (rounds(), count(&ring.decisions));
    println!(
        "{ending:?}: {rounds} rounds, {judged} decisions judged, {late} accepted late, {early} refused early"
    );
    assert_eq!((late, early), (0, 0), "{ending:?}: accepted after the end, refused after the beginning");
}

fn read(ring: &Arc<Ring>, gate: &Gate, replica: &Replica, number: usize) {
    let forgetful = number == 0;
    let misses = Rc::new(Cell::new(0));
    if forgetful {
        PAUSE.set(Some(pause(ring.clone(), misses.clone())));
    }
    // A reader that panics must not leave the others waiting.
    let _over = SetOnPanic(&ring.over);
    while !ring.over.load(Ordering::SeqCst) {
        let before = ring.phase.load(Ordering::SeqCst);
        let judged = ring.judged[number].load(Ordering::SeqCst) == before;
        let hunt = Hunt::of(before);
        if forgetful {
            misses.set(0);
            // What is being hunted stays to be seen.
            if !hunt.is_on(before) {
                replica.forget_everything();
            }
        } else if hunt.quiet && ring.held.load(Ordering::SeqCst) && (judged || hunt.is_on(before)) {
            thread::yield_now();
            continue;
        }
        let presented = ring.presented.lock().unwrap().clone();
        let accepted = decide(gate, replica, &presented[number % presented.len()]);
        if ring.phase.load(Ordering::SeqCst) != before || before.is_multiple_of(2) {
            continue;
        }
        match before % 4 {
            1 if !accepted => ring.refused_early.fetch_add(1, Ordering::SeqCst),
            3 if accepted => ring.accepted_late.fetch_add(1, Ordering::SeqCst),
            _ => 0,
        };
        ring.decisions.fetch_add(1, Ordering::Relaxed);
        ring.judged[number].store(before, Ordering::SeqCst);
        if judged {
            thread::yield_now(); // enough for this phase, unless nobody else has anything to do
        }
    }
}

/// What a round is after.
#[derive(Clone, Copy)]
struct Hunt {
    /// The phase in which it would be seen: a stale yes in one round, a stale no in the next.
    phase: usize,
    /// Whether the other readers stand still while the forgetful one holds a row, so that none of them
    /// fills the entry before it does. In every second pair of rounds.
    quiet: bool,
}

impl Hunt {
    fn of(phase: usize) -> Self {
        let round = phase / 4;
        Self { phase: if round.is_multiple_of(2) { 3 } else { 1 }, quiet: (round / 2).is_multiple_of(2) }
    }

    fn is_on(self, phase: usize) -> bool {
        phase % 4 == self.phase
    }
}

/// Holds what was read until the change that is about to be made is acknowledged, so that the fill comes
/// after the drop, if nothing stops it. What stops it is the lock under which this waits; then the
/// change has to wait, too, and goes on when the patience is at its end.
fn pause(ring: Arc<Ring>, misses: Rc<Cell<usize>>) -> Box<dyn FnMut()> {
    let mut turn = 0usize;
    Box::new(move || {
        let miss = misses.replace(misses.get() + 1);
        turn += 1;
        let phase = ring.phase.load(Ordering::SeqCst);
        let awaited = phase % 2 == 1 && ring.judged[0].load(Ordering::SeqCst) != phase;
        let meant = if Hunt::of(phase).quiet { miss == ring.changed } else { turn.is_multiple_of(2) };
        if awaited || !meant {
            return;
        }
        ring.held.store(true, Ordering::SeqCst);
        let (start, patience) = (phase.div_ceil(2), Instant::now() + Duration::from_millis(3));
        while ring.phase.load(Ordering::SeqCst).div_ceil(2) == start && Instant::now() < patience {
            thread::sleep(Duration::from_micros(50));
        }
        ring.held.store(false, Ordering::SeqCst);
    })
}

struct SetOnPanic<'a>(&'a AtomicBool);

impl Drop for SetOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

fn decide(gate: &Gate, replica: &Replica, headers: &HeaderMap) -> bool {
    let raw = RawHead {
        method: &Method::GET,
        target: b"/orders",
        authority: None,
        headers,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let Ok(head) = gate.admit(&raw) else { panic!("not admitted") };
    match gate.decide(&head, replica, Timestamp::now(), &mut ()) {
        Decision::Forward(..) => true,
        Decision::Refuse(reason) => {
            assert_ne!(reason.code(), Code::ServiceUnavailable, "the replica is there");
            false
        }
        Decision::Prove(_) => panic!("no secret here is a bcrypt one"),
    }
}

/// The app, its store and its credentials, as their owner changes them.
struct Owner {
    ending: Ending,
    writer: Writer,
    installation: i64,
    secret: Secret,
    token: Secret,
}

impl Owner {
    fn new(fixture: &Fixture, mut writer: Writer, ending: Ending) -> Self {
        let secret = done(writer.rotate_secret(&app(), None));
        let token = issue(&mut writer);
        Self { ending, writer, installation: fixture.installation, secret, token }
    }

    /// Brings about a credential that is valid, and says how it is presented.
    fn begin(&mut self) -> Arc<[HeaderMap]> {
        match self.ending {
            Ending::Rotate => {} // the secret that the last round left
            Ending::Revoke => self.token = issue(&mut self.writer),
            Ending::Uninstall => drop(done(self.writer.install(&app(), store(22), None))),
            Ending::Suspend => done(self.writer.set_store_status(store(22), StoreStatus::Active)),
            Ending::Disable => done(self.writer.set_app_status(&app(), AppStatus::Enabled)),
        }
        let (pair, opaque) = (self.pair(), bearer(self.token.expose()));
        match self.ending {
            Ending::Rotate => Arc::from([pair]),
            Ending::Revoke => Arc::from([opaque]),
            _ => Arc::from([pair, opaque, self.session()]),
        }
    }

    /// Ends it.
    fn end(&mut self) {
        match self.ending {
            Ending::Rotate => self.secret = done(self.writer.rotate_secret(&app(), None)),
            Ending::Revoke => assert_eq!(done(self.writer.revoke_token(&self.token)), Revocation::Revoked),
            Ending::Uninstall => done(self.writer.uninstall(&app(), store(22))),
            Ending::Suspend => done(self.writer.set_store_status(store(22), StoreStatus::Suspended)),
            Ending::Disable => done(self.writer.set_app_status(&app(), AppStatus::Disabled)),
        }
    }

    fn pair(&self) -> HeaderMap {
        let mut headers = host();
        headers.insert("x-client-id", HeaderValue::from_static("sx_app_1"));
        headers.insert("x-client-secret", HeaderValue::from_str(self.secret.expose()).unwrap());
        headers.insert("x-store-id", HeaderValue::from_static("22"));
        headers
    }

    fn session(&mut self) -> HeaderMap {
        let found = self.writer.session_claims(&app(), store(22)).unwrap();
        let now = Timestamp::now();
        let claims = Claims {
            store_id: store(22),
            installation_id: InstallationId(self.installation),
            app_id: AppId(found.app_id),
            issued_at: now,
            expires_at: now.plus(600),
            not_before: None,
        };
        bearer(&session_token::mint(&claims, &found.key))
    }
}

fn app() -> ClientId {
    client("sx_app_1")
}

fn issue(writer: &mut Writer) -> Secret {
    done(writer.issue_token(&app(), store(22), Duration::from_secs(86_400), None)).access_token
}

fn host() -> HeaderMap {
    HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("gateway.example"))])
}

fn bearer(token: &str) -> HeaderMap {
    let mut headers = host();
    headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    headers
}

fn gate() -> Gate {
    let route = Route {
        pattern: "/orders".into(),
        methods: None,
        access: Access::Credentials(Kinds::all(), ScopeRules::default()),
        platform: Default::default(),
        upstream: 0,
    };
    Gate::new(GateSettings {
        routes: RouteTable::build(vec![route], PathCase::Insensitive).unwrap(),
        inject: InjectNames::default(),
        access_token_prefix: "sx_at_".into(),
        trusted_proxies: AddressList::default(),
        limits: HeadLimits { bytes: 16_384, fields: 64 },
        customer_scopes: Default::default(),
        proof_key: ProofKey::random().unwrap(),
    })
}
