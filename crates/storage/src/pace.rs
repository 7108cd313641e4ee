//! Freezing and merging beside queries: while tables are scanned, who does either rests most of the time, so that queries have the
//! processors. Nobody rests whom somebody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use heliosdb_runtime::Clock;

use crate::core::Core;

/// So many times as long as it worked...
const RESTS: u32 = 7;
/// ...but not longer at once: by then the queries may be gone.
const REST_MAX: Duration = Duration::from_millis(200);
/// A query takes pieces of its scans all the time, except while it sorts or sends.
const LATELY: Duration = Duration::from_millis(100);

/// Whether tables are scanned.
#[derive(Debug)]
pub(crate) struct Scans {
    clock: Arc<dyn Clock>,
    /// When somebody last took a piece of a scan: monotonic microseconds; 0 for never.
    last: AtomicU64,
}

impl Scans {
    pub fn new(clock: Arc<dyn Clock>) -> Scans {
        Scans { clock, last: AtomicU64::new(0) }
    }

    /// Somebody takes a piece.
    pub fn goes_on(&self) {
        self.last.store(self.clock.monotonic().as_micros() as u64, Ordering::Relaxed);
    }

    fn are_read(&self) -> bool {
        let last = Duration::from_micros(self.last.load(Ordering::Relaxed));
        !last.is_zero() && self.clock.monotonic().saturating_sub(last) < LATELY
    }
}

/// How many wait for what is paced.
#[derive(Debug, Default)]
pub(crate) struct Hurry(AtomicUsize);

/// Until it is dropped, nobody rests.
pub(crate) struct Hurried<'a>(&'a Hurry);

impl Hurry {
    pub fn begin(&self) -> Hurried<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Hurried(self)
    }
}

impl Drop for Hurried<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One who works for long.
pub(crate) struct Pace<'a> {
    core: &'a Core,
    began: Duration,
    rested: Duration,
}

impl Core {
    pub fn pace(&self) -> Pace<'_> {
        Pace { core: self, began: self.clock.monotonic(), rested: Duration::ZERO }
    }
}

impl Pace<'_> {
    /// After each piece of work: rests if there is time for that.
    pub fn rest(&mut self, is_urgent: bool) {
        let Core { clock, options, scans, hurry, stopping, .. } = self.core;
        let worked = clock.monotonic().saturating_sub(self.began);
        let waited_for = is_urgent || hurry.0.load(Ordering::Relaxed) > 0 || stopping.load(Ordering::Relaxed);
        if options.background && !waited_for && scans.are_read() {
            let rest = (worked * RESTS).min(REST_MAX);
            clock.sleep_blocking(rest);
            self.rested += rest;
        }
        self.began = clock.monotonic();
    }

    /// How long it has rested altogether.
    pub fn rested(&self) -> Duration {
        self.rested
    }
}
