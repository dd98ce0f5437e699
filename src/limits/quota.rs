//! What a caller is told of its limit: `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers-10), both structured fields (RFC 9651).

use std::io::Write;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::bucket::Rate;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// The state of one caller's limit, when a request was counted or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    policy: HeaderValue,
    state: HeaderValue,
}

impl Quota {
    /// The two fields, for the answer to the request.
    pub fn headers(&self) -> [(HeaderName, HeaderValue); 2] {
        [(POLICY, self.policy.clone()), (STATE, self.state.clone())]
    }
}

/// A limit with its name, as it is announced.
#[derive(Debug)]
pub(super) struct Announced {
    name: &'static str,
    rate: Rate,
    /// Made once: it is the same for every caller.
    policy: HeaderValue,
}

impl Announced {
    /// `name` is a structured-field string without quotes.
    pub(super) fn new(name: &'static str, rate: Rate) -> Self {
        let (quota, window) = (rate.burst, whole_seconds(rate.window()).max(1));
        let policy = value(format_args!("\"{name}\";q={quota};w={window}"));
        Self { name, rate, policy }
    }

    /// The state of a bucket that will be full again after `full_in`.
    pub(super) fn quota(&self, full_in: Duration) -> Quota {
        let (name, left, time) = (self.name, self.rate.left(full_in), whole_seconds(full_in));
        Quota { policy: self.policy.clone(), state: value(format_args!("\"{name}\";r={left};t={time}")) }
    }
}

/// Rounded up: who waits as long as it is told is not too early.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// A name of ours and two numbers, written on the stack.
fn value(text: std::fmt::Arguments<'_>) -> HeaderValue {
    let mut buffer = [0u8; 96];
    let mut rest = &mut buffer[..];
    // It fits: at most 16 bytes of name, 20 digits each, and the punctuation.
    let _ = rest.write_fmt(text);
    let length = 96 - rest.len();
    HeaderValue::from_bytes(&buffer[..length]).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_exact() {
        let rows = [
            ((100, 50.0), 860, "\"default\";q=100;w=2", "\"default\";r=57;t=1"),
            ((100, 50.0), 0, "\"default\";q=100;w=2", "\"default\";r=100;t=0"),
            ((100, 50.0), 2000, "\"default\";q=100;w=2", "\"default\";r=0;t=2"),
            ((100, 50.0), 1981, "\"default\";q=100;w=2", "\"default\";r=0;t=2"),
            ((5, 10.0), 100, "\"default\";q=5;w=1", "\"default\";r=4;t=1"),
            ((10, 3.0), 0, "\"default\";q=10;w=4", "\"default\";r=10;t=0"),
            ((1, 1.0), 1000, "\"default\";q=1;w=1", "\"default\";r=0;t=1"),
            ((10_000_000, 1.0), 0, "\"default\";q=10000000;w=10000000", "\"default\";r=10000000;t=0"),
        ];
        for ((burst, per_second), full_in, policy, state) in rows {
            let announced = Announced::new("default", Rate { burst, per_second });
            let headers = announced.quota(Duration::from_millis(full_in)).headers();
            assert_eq!(headers[0], (POLICY, HeaderValue::from_static(policy)));
            assert_eq!(headers[1], (STATE, HeaderValue::from_static(state)));
        }
    }
}
