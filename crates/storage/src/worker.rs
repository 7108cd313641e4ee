//! When to freeze and merge: by size, by age, when asked; on threads of their own or on the caller's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use heliosdb_runtime::release_memory;
use heliosdb_types::{Error, Lsn, Result};

use crate::core::Core;
use crate::metrics::Counters;

/// How often the threads look for work nobody told them of.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Where less is written between two looks, writing has paused.
const PAUSE_BYTES: usize = 64 << 10;

impl Core {
    /// Freezes everything written so far; merges too, if asked.
    pub fn checkpoint(self: Arc<Core>, compact: bool) -> BoxFuture<'static, Result<()>> {
        self.on_a_thread("checkpoint", move |core| core.settle(compact))
    }

    /// Work that takes long, on a thread of its own; on the caller's where there are none.
    pub fn on_a_thread<T: Send + 'static>(
        self: Arc<Core>,
        name: &'static str,
        work: impl FnOnce(&Arc<Core>) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        if !self.options.background {
            return futures::future::ready(work(&self)).boxed();
        }
        let (done, wait) = oneshot::channel();
        let spawner = self.spawner.clone();
        let thread = spawner.thread(name, move || _ = done.send(work(&self)));
        async move {
            let _joined_when_done = thread?;
            wait.await.unwrap_or_else(|_| Err(Error::internal(format!("the {name} stopped"))))
        }
        .boxed()
    }

    /// As `checkpoint`, on this thread.
    pub fn settle(&self, compact: bool) -> Result<()> {
        let _hurried = self.hurry.begin();
        self.rotate(true);
        while self.freeze_oldest()? {
            self.forget_outdated();
        }
        while compact && self.compact_once()? {}
        Ok(())
    }

    /// Whether the active memtable should be frozen by now.
    fn should_rotate(&self) -> bool {
        let version = self.version.load();
        version.active.bytes() >= self.options.memtable_bytes
            || self.log_bytes() > self.options.log_bytes_max
            || (!version.active.is_empty() && self.generation_age() > self.options.log_age_max)
    }

    /// Bytes of log a restart would replay.
    fn log_bytes(&self) -> u64 {
        self.wal.bytes_since(Lsn(self.replay_lsn().0 + 1))
    }

    /// The freezing thread.
    pub fn run_freezer(&self) {
        // What was freed is given back to the system when writing pauses: until then the next memtable uses it again, and to give it
        // back makes all who allocate wait.
        let mut freed = None;
        while !self.stopping.load(Ordering::Acquire) {
            if self.should_rotate() && self.version.load().frozen.len() <= self.options.frozen_max {
                self.rotate(true);
            }
            let frozen = self.freeze_oldest();
            self.forget_outdated();
            match frozen {
                Ok(true) => {
                    *self.freeze_failure.lock() = None;
                    freed = Some(usize::MAX);
                }
                Ok(false) => {
                    let bytes = self.version.load().active.bytes();
                    freed = match freed {
                        Some(before) if bytes.abs_diff(before) < PAUSE_BYTES && self.outdated.lock().is_empty() => {
                            release_memory();
                            None
                        }
                        freed => freed.map(|_| bytes),
                    };
                    let mut asleep = self.room_lock.lock();
                    self.wake_freezer.wait_for(&mut asleep, LOOK_AGAIN);
                }
                Err(error) => {
                    let before = self.freeze_failure.lock().replace(error.message().to_owned());
                    // Once is enough: a disk that stays full would fill what is left of it with this line.
                    if before.is_none() {
                        tracing::error!(%error, "could not freeze a memtable; trying again until it works");
                    }
                    let mut asleep = self.room_lock.lock();
                    self.room.notify_all();
                    self.wake_freezer.wait_for(&mut asleep, LOOK_AGAIN);
                }
            }
        }
    }

    /// The merging thread.
    pub fn run_compactor(&self) {
        while !self.stopping.load(Ordering::Acquire) {
            match self.compact_once() {
                Ok(true) => {}
                Ok(false) => {
                    let mut asleep = self.room_lock.lock();
                    self.wake_compactor.wait_for(&mut asleep, LOOK_AGAIN);
                }
                Err(error) if self.stopping.load(Ordering::Acquire) => {
                    tracing::debug!(%error, "a merge was abandoned");
                }
                Err(error) => {
                    tracing::error!(%error, "could not merge segments; trying again");
                    let mut asleep = self.room_lock.lock();
                    self.wake_compactor.wait_for(&mut asleep, LOOK_AGAIN * 10);
                }
            }
        }
    }

    /// After a commit: when the memtable is full, freezes it and wakes who writes it out.
    pub fn poke_freezer(&self) {
        if self.options.background && self.version.load().active.bytes() >= self.options.memtable_bytes {
            self.rotate_if_full();
            self.wake_freezer.notify_one();
        }
    }

    /// Has a commit of so many bytes pay for the time it takes to write them out, the more the fuller memory is with what has not been:
    /// writers that are slowed down early do not have to be stopped. Small debts are paid together.
    fn slow_down(&self, bytes: usize) {
        let version = self.version.load();
        if version.frozen.is_empty() {
            return;
        }
        let held: usize = version.memtables().map(|generation| generation.bytes()).sum();
        let room = self.options.memtable_bytes.saturating_mul(self.options.frozen_max + 1);
        let price = price_for(held as f64 / room.max(1) as f64);
        let micros = bytes as f64 * price * self.freeze_picos_per_byte.load(Ordering::Relaxed) as f64 / 1e6;
        let owed = self.owed_micros.fetch_add(micros as u64, Ordering::Relaxed) + micros as u64;
        if owed < PAID_MICROS_MIN {
            return;
        }
        let paid = self.owed_micros.swap(0, Ordering::Relaxed).min(PAID_MICROS_MAX);
        if paid > 0 {
            Counters::add(&self.counters.delayed_commits, 1);
            Counters::add(&self.counters.delay_micros, paid);
            self.clock.sleep_blocking(Duration::from_micros(paid));
        }
    }

    /// Learns how fast memory is written out.
    pub fn froze(&self, bytes: usize, took: Duration) {
        let picos = took.as_nanos().saturating_mul(1000) / bytes.max(1) as u128;
        // Nothing real is slower than a megabyte a second.
        self.freeze_picos_per_byte.store(picos.min(1_000_000) as u64, Ordering::Relaxed);
    }

    /// Before a commit: waits while memory is full of frozen memtables.
    pub fn wait_for_room(&self, bytes: usize) -> Result<()> {
        let crowded = || {
            let version = self.version.load();
            version.frozen.len() > self.options.frozen_max
                || (version.frozen.len() == self.options.frozen_max
                    && version.active.bytes() > self.options.memtable_bytes.saturating_mul(2))
        };
        if !self.options.background {
            return Ok(());
        }
        self.slow_down(bytes);
        if !crowded() {
            return Ok(());
        }
        Counters::add(&self.counters.backpressure_waits, 1);
        let began = self.clock.monotonic();
        let waited = self.wait_while(&crowded);
        let took = self.clock.monotonic().saturating_sub(began).as_micros() as u64;
        Counters::add(&self.counters.backpressure_micros, took);
        waited
    }

    fn wait_while(&self, crowded: &dyn Fn() -> bool) -> Result<()> {
        let mut waiting = self.room_lock.lock();
        while crowded() {
            self.wal.check_fence()?;
            if let Some(why) = &*self.freeze_failure.lock() {
                let message = format!("memory for new rows is full and cannot be written out: {why}");
                return Err(Error::unavailable(heliosdb_types::SqlState::DISK_FULL, message)
                    .with_hint("Check free disk space."));
            }
            self.wake_freezer.notify_one();
            self.room.wait_for(&mut waiting, LOOK_AGAIN);
        }
        Ok(())
    }
}

/// Commits sleep for so long at least, since shorter sleeps cost more than they give, and at most.
const PAID_MICROS_MIN: u64 = 1000;
const PAID_MICROS_MAX: u64 = 10_000;

/// What part of the time its bytes take to be written out a commit waits when this part of the memory for new rows is in use: nothing
/// up to a half, all of it at three quarters, twice of it at the end.
fn price_for(used: f64) -> f64 {
    ((used - 0.5) * 4.0).clamp(0.0, 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_slowed_down_gradually() {
        let prices: Vec<f64> = [0.0, 0.5, 0.6, 0.75, 0.9, 1.0, 9.0].map(price_for).to_vec();
        assert!(prices.is_sorted(), "{prices:?}");
        assert_eq!((prices[1], prices[3], prices[5], prices[6]), (0.0, 1.0, 2.0, 2.0));
    }
}
