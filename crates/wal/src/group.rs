//! Group commit: appenders fill a buffer, one writer empties it, waiters learn how far durability has come.
//!
//! While one group is synced the next gathers in the buffer, so one client pays one sync per commit and many share it.
//! Who writes: the first waiter, on its own thread, which spares two thread switches (half of a commit's time on a fast
//! disk, far more on a busy machine); where a sync takes long enough to hold up a worker, the log's thread. What gathers
//! meanwhile goes to the next waiter or the log's thread, whoever comes first. An append by itself wakes nobody: whoever
//! waits, or stops waiting, sees to it.
//! Nobody spins: the writer, full-buffer appenders and blocking waiters sleep on condition variables, async waiters leave
//! their waker. Order: the callback of [`Group::publish`] runs before anyone waiting for those records wakes.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use heliosdb_runtime::Clock;
use heliosdb_types::{Error, Lsn, Result};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::gather::{ENOUGH, Gather};
use crate::options::WalOptions;
use crate::record::{NewRecord, encode};
use crate::reserve::Reserve;
use crate::times::{SyncCounters, SyncTimes};
use crate::writer::Writer;

type OnDurable = Box<dyn Fn(Lsn) + Send + Sync>;

/// A waiter writes by itself only while syncs take less than this: it holds up a worker thread meanwhile.
const LEAD_SYNC_MICROS_MAX: u64 = 250;

/// Everything threads share.
pub(crate) struct Group {
    options: WalOptions,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    /// The queue got records, or must stop.
    work: Condvar,
    /// The queue was emptied.
    space: Condvar,
    writer: Mutex<Writer>,
    reserve: Arc<Reserve>,
    durable: AtomicU64,
    appended: AtomicU64,
    appended_bytes: AtomicU64,
    /// How long the last group took; decides who writes the next.
    last_micros: AtomicU64,
    syncs: SyncCounters,
    waiters: Mutex<Waiters>,
    durable_changed: Condvar,
    fenced: OnceLock<String>,
    on_durable: OnceLock<OnDurable>,
    /// Transactions that have written and not ended.
    pub writing: Arc<AtomicU64>,
}

#[derive(Default)]
struct Queue {
    records: Vec<u8>,
    /// The last record handed a number; the buffer ends with it.
    last: Lsn,
    /// Records in the buffer.
    count: u64,
    /// An emptied buffer, kept for its memory.
    spare: Vec<u8>,
    gather: Gather,
    stopping: bool,
}

#[derive(Default)]
struct Waiters {
    by_lsn: BTreeMap<(Lsn, u64), Waker>,
    next_id: u64,
}

impl Group {
    pub fn new(options: WalOptions, clock: Arc<dyn Clock>, writer: Writer, last: Lsn) -> Arc<Group> {
        let reserve = writer.reserve();
        let writing = Arc::<AtomicU64>::default();
        let gather = Gather::new(options.gather_max, writing.clone());
        Arc::new(Group {
            options,
            clock,
            queue: Mutex::new(Queue { last, gather, ..Queue::default() }),
            work: Condvar::new(),
            space: Condvar::new(),
            writer: Mutex::new(writer),
            reserve,
            durable: AtomicU64::new(last.0),
            appended: AtomicU64::new(last.0),
            appended_bytes: AtomicU64::new(0),
            last_micros: AtomicU64::new(0),
            syncs: SyncCounters::default(),
            waiters: Mutex::default(),
            durable_changed: Condvar::new(),
            fenced: OnceLock::new(),
            on_durable: OnceLock::new(),
            writing,
        })
    }

    pub fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    pub fn appended(&self) -> Lsn {
        Lsn(self.appended.load(Ordering::Acquire))
    }

    pub fn appended_bytes(&self) -> u64 {
        self.appended_bytes.load(Ordering::Relaxed)
    }

    pub fn sync_times(&self) -> SyncTimes {
        self.syncs.read()
    }

    pub fn set_on_durable(&self, callback: OnDurable) {
        assert!(self.on_durable.set(callback).is_ok(), "one callback, set once");
    }

    pub fn check_fence(&self) -> Result<()> {
        match self.fenced.get() {
            Some(why) => Err(Error::fenced(format!("the log no longer accepts writes: {why}"))
                .with_hint("Restart the server; it recovers everything acknowledged.")),
            None => Ok(()),
        }
    }

    /// Stops the log for good and fails whoever waits.
    pub fn fence(&self, why: &str) {
        if self.fenced.set(why.to_owned()).is_ok() {
            tracing::error!(reason = why, "log fenced");
        }
        // Passing through the locks makes sure that nobody is between a check and its wait.
        drop(self.queue.lock());
        self.space.notify_all();
        self.work.notify_all();
        self.wake(Lsn(u64::MAX));
    }

    pub fn append<'a>(&self, make: impl FnOnce(Lsn) -> NewRecord<'a>) -> Result<Lsn> {
        let mut queue = self.queue.lock();
        while queue.records.len() >= self.options.buffer_bytes_max {
            self.check_fence()?;
            if self.options.inline {
                drop(queue);
                self.flush()?;
                queue = self.queue.lock();
            } else {
                self.work.notify_one();
                self.space.wait(&mut queue);
            }
        }
        self.check_fence()?;
        if queue.stopping {
            return Err(Error::fenced("the log is closed"));
        }
        let lsn = Lsn(queue.last.0 + 1);
        let before = queue.records.len();
        encode(&make(lsn), lsn, &mut queue.records)?;
        if let Err(error) = self.reserve.plan(queue.records.len() - before) {
            // As if it had never been asked for.
            queue.records.truncate(before);
            return Err(error);
        }
        queue.last = lsn;
        queue.count += 1;
        self.appended.store(lsn.0, Ordering::Release);
        self.appended_bytes.fetch_add((queue.records.len() - before) as u64, Ordering::Relaxed);
        Ok(lsn)
    }

    /// Writes and syncs what is buffered; fences on failure.
    pub fn flush(&self) -> Result<()> {
        self.flush_with(self.writer.lock())
    }

    /// Has a waiter's record written: by itself, where nobody is writing and syncs are quick; by whoever is writing, who
    /// looks for more at the end; or by the log's thread, which waits for more where that pays.
    fn lead(&self) {
        let (count, gathering, pays) = {
            let queue = self.queue.lock();
            (queue.count, queue.gather.is_running(), queue.gather.pays(queue.count))
        };
        if count == 0 {
            // It is being written.
            return;
        }
        if gathering && count < ENOUGH {
            // The thread will look by itself.
            return;
        }
        if gathering || pays {
            self.work.notify_one();
            return;
        }
        if self.last_micros.load(Ordering::Relaxed) >= LEAD_SYNC_MICROS_MAX {
            self.work.notify_one();
            return;
        }
        let Some(writer) = self.writer.try_lock() else { return };
        // A failure has fenced the log, which the caller looks at next.
        let _ = self.flush_with(writer);
    }

    fn flush_with(&self, mut writer: MutexGuard<'_, Writer>) -> Result<()> {
        self.check_fence()?;
        let (mut records, count, last) = {
            let mut queue = self.queue.lock();
            let spare = std::mem::take(&mut queue.spare);
            (std::mem::replace(&mut queue.records, spare), std::mem::take(&mut queue.count), queue.last)
        };
        self.space.notify_all();
        let durable = self.durable();
        assert!(durable <= last, "durable {durable} is never beyond appended {last}");
        if !records.is_empty() {
            let first = Lsn(durable.0 + 1);
            let began = self.clock.monotonic();
            if let Err(error) = writer.write_group(&mut records, first, durable) {
                drop(writer);
                self.fence(error.message());
                return self.check_fence();
            }
            let took = self.clock.monotonic().saturating_sub(began);
            self.last_micros.store(took.as_micros() as u64, Ordering::Relaxed);
            self.syncs.add(took);
            self.publish(last);
        }
        records.clear();
        drop(writer);
        // Only now that the lock is free: a waiter that found it taken had appended before, so its record is seen here.
        let mut queue = self.queue.lock();
        queue.spare = records;
        if count > 0 {
            queue.gather.written(count);
            let now = self.clock.monotonic();
            if queue.gather.wants_look(now) {
                queue.gather.look(now, self.clock.processor_waits());
            }
        }
        if !queue.records.is_empty() {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Announces that everything up to `last` is durable.
    fn publish(&self, last: Lsn) {
        if let Some(callback) = self.on_durable.get() {
            callback(last);
        }
        let before = self.durable.swap(last.0, Ordering::AcqRel);
        assert!(before <= last.0, "durability moved back from {before} to {last}");
        self.wake(last);
    }

    fn wake(&self, last: Lsn) {
        let due = {
            let mut waiters = self.waiters.lock();
            let later = waiters.by_lsn.split_off(&(Lsn(last.0.saturating_add(1)), 0));
            std::mem::replace(&mut waiters.by_lsn, later)
        };
        self.durable_changed.notify_all();
        due.into_values().for_each(Waker::wake);
    }

    /// The writer thread's life: until told to stop and the buffer is empty, or fenced.
    pub fn run(&self) {
        loop {
            {
                let mut queue = self.queue.lock();
                while queue.records.is_empty() && !queue.stopping && self.fenced.get().is_none() {
                    self.work.wait(&mut queue);
                }
                if self.fenced.get().is_some() || (queue.records.is_empty() && queue.stopping) {
                    return;
                }
                self.gather(&mut queue);
            }
            if self.flush().is_err() {
                return;
            }
        }
    }

    /// Waits for more records, where that pays.
    fn gather(&self, queue: &mut MutexGuard<'_, Queue>) {
        let count = queue.count;
        queue.gather.begin(self.clock.monotonic(), count);
        while !queue.stopping && self.fenced.get().is_none() {
            let count = queue.count;
            let Some(wait) = queue.gather.wait(self.clock.monotonic(), count) else { return };
            self.work.wait_for(queue, wait);
        }
        let count = queue.count;
        queue.gather.end(count);
    }

    /// No appends from now on; the thread ends after what is buffered.
    pub fn stop(&self) {
        self.queue.lock().stopping = true;
        self.work.notify_all();
    }

    /// `Some` when the answer is known.
    fn durability(&self, lsn: Lsn) -> Option<Result<()>> {
        if self.durable() >= lsn { Some(Ok(())) } else { self.check_fence().err().map(Err) }
    }

    pub fn wait_blocking(&self, lsn: Lsn) -> Result<()> {
        assert!(lsn <= self.appended(), "waiting for {lsn}, which nobody appended");
        if self.durable() < lsn {
            if self.options.inline {
                self.flush()?;
            } else {
                self.lead();
            }
        }
        let mut waiters = self.waiters.lock();
        loop {
            if let Some(known) = self.durability(lsn) {
                return known;
            }
            self.durable_changed.wait(&mut waiters);
        }
    }

    pub fn wait(self: &Arc<Group>, lsn: Lsn) -> DurableFuture {
        assert!(lsn <= self.appended(), "waiting for {lsn}, which nobody appended");
        DurableFuture { group: self.clone(), lsn, id: None }
    }
}

/// Resolves when a record is durable, or with an error once the log is fenced. Dropping it is fine.
#[must_use = "nothing is known to be durable before it resolves"]
pub struct DurableFuture {
    group: Arc<Group>,
    lsn: Lsn,
    id: Option<u64>,
}

impl Future for DurableFuture {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let group = self.group.clone();
        if let Some(known) = group.durability(self.lsn) {
            return Poll::Ready(known);
        }
        if group.options.inline {
            return Poll::Ready(group.flush());
        }
        if self.id.is_none() {
            group.lead();
        }
        let mut waiters = group.waiters.lock();
        // Looked at again under the lock: a publisher stores first and takes the lock to wake after.
        if let Some(known) = group.durability(self.lsn) {
            return Poll::Ready(known);
        }
        let id = *self.id.get_or_insert_with(|| {
            waiters.next_id += 1;
            waiters.next_id
        });
        waiters.by_lsn.insert((self.lsn, id), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for DurableFuture {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.group.waiters.lock().by_lsn.remove(&(self.lsn, id));
        }
        if self.group.durable() < self.lsn {
            // Nobody waits for the record any more; it is written all the same.
            self.group.work.notify_one();
        }
    }
}
