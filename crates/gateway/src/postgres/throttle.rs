//! Guessing passwords takes time: each failure from an address makes its next answers later.
//!
//! Invariant: the table is bounded, whoever knocks; what is forgotten is forgotten in favour of the client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

/// An address that was quiet so long starts anew.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// No answer is later than this many times the first.
const FACTOR_MAX: u32 = 32;
const ADDRESSES_MAX: usize = 10_000;

struct Failures {
    count: u32,
    last: Duration,
}

#[derive(Default)]
pub(crate) struct Throttle {
    addresses: Mutex<HashMap<IpAddr, Failures>>,
}

impl Throttle {
    /// A login failed at `now`; how long its answer should wait, when the first one's waits `base`.
    pub(crate) fn failed(&self, from: Option<IpAddr>, now: Duration, base: Duration) -> Duration {
        let Some(from) = from else { return base };
        let mut addresses = self.addresses.lock();
        let fresh = |failures: &Failures| now.saturating_sub(failures.last) < FORGET_AFTER;
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&from) {
            addresses.retain(|_, failures| fresh(failures));
            if addresses.len() >= ADDRESSES_MAX {
                return base;
            }
        }
        let failures = addresses.entry(from).or_insert(Failures { count: 0, last: now });
        if !fresh(failures) {
            failures.count = 0;
        }
        failures.last = now;
        failures.count = failures.count.saturating_add(1);
        base * 2_u32.saturating_pow(failures.count - 1).min(FACTOR_MAX)
    }

    /// Somebody there knows a password.
    pub(crate) fn succeeded(&self, from: Option<IpAddr>) {
        if let Some(from) = from {
            self.addresses.lock().remove(&from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_are_forgotten() {
        let throttle = Throttle::default();
        let (here, there) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
        let base = Duration::from_millis(100);
        let at = Duration::from_secs;
        let delays: Vec<_> = (0..8).map(|i| throttle.failed(here, at(i), base).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 3200, 3200]);
        assert_eq!(throttle.failed(there, at(9), base), base, "another address");
        assert_eq!(throttle.failed(here, at(100), base), base, "forgotten");
        throttle.failed(here, at(101), base);
        throttle.succeeded(here);
        assert_eq!(throttle.failed(here, at(102), base), base);
        for i in 0..20_000_u32 {
            throttle.failed(Some(IpAddr::from(i.to_be_bytes())), at(103), base);
        }
        assert!(throttle.addresses.lock().len() <= ADDRESSES_MAX);
    }
}
