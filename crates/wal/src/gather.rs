//! When a group waits for more records before it is written.
//!
//! A sync costs processor time (the system call, the disk's interrupt, two task switches), which is wasted only if somebody
//! else wants the processor. So a group gathers while all of this holds: processors are short; more than one record came
//! together lately; enough transactions have written and will commit soon; the group is small; records keep coming; the delay
//! is not used up. A lone client meets none of the second and third, a machine with idle processors none of the first. Gatherings in which nobody came make later groups go at once.
//!
//! Pure: time and the shortage of processors are told, so that a test can tell them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A group of so many has shared its sync well enough.
pub(crate) const ENOUGH: u64 = 16;
/// So many transactions must be about to commit: fewer would all come to wait, and leave the processors idle.
const SIBLINGS: u64 = 8;
/// Gathering ends when a part of the delay has passed in which nobody came; so many parts it has.
const PARTS: u32 = 2;
/// How often it is asked whether processors are short.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Processors are short while somebody waits for one for more than this part of the time, in percent.
const SHORT_PERCENT: u32 = 40;
/// At most so many groups go at once because gathering was in vain.
const PASS_MAX: u32 = 64;

#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// What a record waits at most; zero: nothing gathers.
    delay_max: Duration,
    /// Transactions that have written and not ended.
    writing: Arc<AtomicU64>,
    /// Records of the group before.
    last_group: u64,
    short: bool,
    /// When it was last asked whether processors are short, and the sum of waits then.
    looked: Option<(Duration, Duration)>,
    running: Option<Run>,
    /// Gatherings in vain lately: doubles each time...
    vain: u32,
    /// ...and so many groups still go at once for it.
    pass: u32,
}

/// A group gathering.
#[derive(Clone, Copy, Debug)]
struct Run {
    until: Duration,
    part_until: Duration,
    first: u64,
    /// Records when the part began.
    seen: u64,
}

impl Gather {
    pub fn new(delay_max: Duration, writing: Arc<AtomicU64>) -> Gather {
        Gather { delay_max, writing, ..Gather::default() }
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether a group that has `records` now should wait for more.
    pub fn pays(&self, records: u64) -> bool {
        !self.delay_max.is_zero()
            && self.short
            && self.pass == 0
            && records < ENOUGH
            && records.max(self.last_group) > 1
            && self.writing.load(Ordering::Relaxed) >= SIBLINGS
    }

    /// Begins to gather, if that pays.
    pub fn begin(&mut self, now: Duration, records: u64) {
        if self.pays(records) {
            let part_until = now + self.delay_max / PARTS;
            self.running = Some(Run { until: now + self.delay_max, part_until, first: records, seen: records });
        }
    }

    /// How long to wait before asking again; `None` when the group shall be written.
    pub fn wait(&mut self, now: Duration, records: u64) -> Option<Duration> {
        let run = self.running.as_mut()?;
        if records < ENOUGH && now < run.until {
            if now < run.part_until {
                return Some(run.part_until - now);
            }
            if records > run.seen {
                (run.seen, run.part_until) = (records, (now + self.delay_max / PARTS).min(run.until));
                return Some(run.part_until - now);
            }
        }
        self.end(records);
        None
    }

    /// The group is written now, whatever it has.
    pub fn end(&mut self, records: u64) {
        let Some(run) = self.running.take() else { return };
        if records > run.first {
            self.vain = 0;
        } else {
            self.vain = (2 * self.vain + 1).min(PASS_MAX);
            self.pass = self.vain;
        }
    }

    /// A group was written.
    pub fn written(&mut self, records: u64) {
        self.last_group = records;
        self.pass = self.pass.saturating_sub(1);
    }

    /// Whether [`Gather::look`] has something to learn: not where commits come one by one.
    pub fn wants_look(&self, now: Duration) -> bool {
        let due = self.looked.is_none_or(|(at, _)| now.saturating_sub(at) >= LOOK_EVERY);
        due && !self.delay_max.is_zero() && (self.short || self.last_group > 1)
    }

    /// `waited`: for how long somebody has waited for a processor, since the same origin each time; `None`: unknown.
    pub fn look(&mut self, now: Duration, waited: Option<Duration>) {
        let before = self.looked.replace((now, waited.unwrap_or_default()));
        self.short = match (before, waited) {
            // An old look says nothing about now.
            (Some((at, before)), Some(waited)) if now.saturating_sub(at) < 40 * LOOK_EVERY => {
                waited.saturating_sub(before) * 100 > now.saturating_sub(at) * SHORT_PERCENT
            }
            _ => false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// After groups of two, on a machine whose processors were short for `percent` of the time.
    fn after_pairs(percent: u64) -> Gather {
        let mut gather = Gather::new(micros(1_000), Arc::new(AtomicU64::new(SIBLINGS)));
        gather.written(2);
        gather.look(micros(0), Some(micros(7)));
        gather.look(micros(25_000), Some(micros(7 + 250 * percent)));
        gather
    }

    #[test]
    fn nobody_waits_alone_or_while_processors_are_idle_or_where_that_is_unknown() {
        assert!(after_pairs(90).pays(1));
        assert!(!after_pairs(10).pays(1));
        let mut alone = after_pairs(90);
        alone.written(1);
        assert!(!alone.pays(1) && alone.pays(2) && !alone.pays(ENOUGH));
        let mut unknown = after_pairs(90);
        unknown.look(micros(50_000), None);
        assert!(!unknown.pays(2));
        let mut long_ago = after_pairs(90);
        long_ago.look(micros(60_000_000), Some(micros(60_000_000)));
        assert!(!long_ago.pays(2));
        let few = after_pairs(90);
        few.writing.store(SIBLINGS - 1, Ordering::Relaxed);
        assert!(!few.pays(2));
        let mut off = Gather::new(Duration::ZERO, Arc::new(AtomicU64::new(SIBLINGS)));
        off.written(5);
        assert!(!off.wants_look(micros(1 << 40)) && !off.pays(5));
    }

    #[test]
    fn a_lone_client_asks_nothing() {
        let mut gather = Gather::new(micros(1_000), Arc::default());
        gather.written(1);
        assert!(!gather.wants_look(micros(1 << 40)));
        gather.written(2);
        assert!(gather.wants_look(micros(1 << 40)));
    }

    #[test]
    fn a_group_gathers_until_it_is_large_or_late_or_nobody_comes() {
        let mut gather = after_pairs(90);
        let mut waits = |arrivals: &[(u64, u64)]| {
            gather.begin(micros(0), 1);
            let waits = arrivals.iter().map(|&(at, records)| gather.wait(micros(at), records).map(|d| d.as_micros()));
            let waits: Vec<_> = waits.collect();
            assert!(!gather.is_running());
            waits
        };
        // Asked early by whoever else wakes the thread.
        assert_eq!(waits(&[(0, 1), (100, 2), (500, 2), (1_000, 2)]), [Some(500), Some(400), Some(500), None]);
        assert_eq!(waits(&[(0, 1), (510, 5), (1_000, 9)]), [Some(500), Some(490), None]);
        assert_eq!(waits(&[(0, 1), (10, ENOUGH)]), [Some(500), None]);
    }

    #[test]
    fn gathering_in_vain_is_tried_less_and_less() {
        let mut gather = after_pairs(90);
        let mut tried = 0;
        for group in 0..1_000_u64 {
            gather.begin(micros(1_000 * group), 2);
            tried += u32::from(gather.is_running());
            assert_eq!(gather.wait(micros(1_000 * group + 500), 2), None);
            gather.written(2);
        }
        assert!((10..=25).contains(&tried), "{tried} of 1000 groups waited");
        // Somebody comes again.
        while !gather.pays(2) {
            gather.written(2);
        }
        gather.begin(micros(0), 2);
        gather.end(3);
        gather.written(3);
        assert!(gather.pays(2));
    }
}
