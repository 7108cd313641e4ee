//! When transactions are due: by a schedule nobody can slow down, or at once.
//!
//! Invariants: due times depend on the rate alone, so that a server that stalls makes what comes after it late rather than
//! rare (no coordinated omission); what was due and never begun can be asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One schedule, shared by all terminals of a measurement.
#[derive(Debug)]
pub struct Pace {
    pub began: Instant,
    /// Transactions a second; `None`: each terminal's next is due when it has ended the last.
    rate: Option<f64>,
    taken: AtomicU64,
    stopped: AtomicBool,
}

impl Pace {
    pub fn new(rate: Option<f64>) -> Pace {
        Pace { began: Instant::now(), rate, taken: AtomicU64::new(0), stopped: AtomicBool::new(false) }
    }

    /// Waits until the next transaction is due and says when that was or, if it is late, had been.
    pub(super) async fn next(&self) -> Option<Instant> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let Some(rate) = self.rate else { return Some(Instant::now()) };
        let due = self.due(self.taken.fetch_add(1, Ordering::Relaxed), rate);
        tokio::time::sleep_until(due.into()).await;
        (!self.stopped.load(Ordering::Relaxed)).then_some(due)
    }

    fn due(&self, number: u64, rate: f64) -> Instant {
        self.began + Duration::from_secs_f64(number as f64 / rate)
    }

    /// Nothing is due any more; milliseconds that what was due and not begun has waited until now.
    pub fn stop(&self) -> Vec<f32> {
        self.stopped.store(true, Ordering::Relaxed);
        let Some(rate) = self.rate else { return Vec::new() };
        let now = Instant::now();
        let waiting = (self.taken.load(Ordering::Relaxed)..).map(|number| self.due(number, rate));
        waiting.take_while(|due| *due < now).map(|due| (now - due).as_secs_f32() * 1e3).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stall_makes_what_follows_late_and_what_was_not_begun_is_known() {
        let pace = Pace::new(Some(1000.0));
        let first = pace.next().await.unwrap();
        std::thread::sleep(Duration::from_millis(50));
        // Due a millisecond after the first, whenever it is asked for.
        let second = pace.next().await.unwrap();
        assert_eq!(second - first, Duration::from_millis(1));
        assert!(second.elapsed() >= Duration::from_millis(48));
        let waiting = pace.stop();
        assert!(waiting.len() >= 48 && waiting[0] >= 47.0, "{waiting:?}");
        assert_eq!(pace.next().await, None);
    }

    #[tokio::test]
    async fn nothing_is_due_early() {
        let pace = Pace::new(Some(100.0));
        pace.next().await.unwrap();
        pace.next().await.unwrap();
        assert!(pace.began.elapsed() >= Duration::from_millis(10));
        assert_eq!(pace.stop(), Vec::<f32>::new());
    }
}
