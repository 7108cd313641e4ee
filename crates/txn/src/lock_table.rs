//! All locks of a shard, and waiting for them.
//!
//! Lock order inside: `waits`, then one part of the table; never two parts. A request that must wait registers under
//! `waits`, and looks for a cycle once it has waited for `deadlock_after`: waits in a cycle do not end, so the one that began
//! last sees it whole, and nobody else pays for looking. Grants need no `waits`: they only remove edges. A dropped wait takes itself out of line, or gives back a lock that was
//! granted while it was being dropped.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use heliosdb_contracts::{LockInfo, LockObject, LockOwner, LockPolicy, LockWait, TreeLockMode};
use heliosdb_runtime::Clock;
use heliosdb_types::{Error, Result, SqlState};
use parking_lot::Mutex;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::lock_queue::{Grants, LockQueue};
use crate::mode::ModeSet;
use crate::readers::{Raised, Readers};
use crate::resource::{Resource, Thing};

/// Parts of the table; a power of two, far above the number of cores.
const PARTS: usize = 64;

type Waits = FxHashMap<LockOwner, SmallVec<[(u64, Resource); 1]>>;

type Part = Mutex<FxHashMap<Resource, LockQueue>>;

pub(crate) struct LockTable {
    parts: Box<[Part]>,
    /// What each owner waits for, by ticket: a statement may wait in two places at once. An entry may outlive its wait for a
    /// moment; the queue decides.
    waits: Mutex<Waits>,
    next_ticket: AtomicU64,
    clock: Arc<dyn Clock>,
    counters: Counters,
    readers: Readers,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub waits: AtomicU64,
    pub timeouts: AtomicU64,
    pub deadlocks: AtomicU64,
    pub escalations: AtomicU64,
    pub row_locks: AtomicU64,
}

/// What the locks have been doing since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockStats {
    /// Requests that had to wait.
    pub waits: u64,
    /// Transactions waiting now.
    pub waiting: u64,
    pub timeouts: u64,
    pub deadlocks: u64,
    /// Times a tree lock replaced a transaction's row locks.
    pub escalations: u64,
    /// Row locks held now.
    pub row_locks: u64,
}

/// One step of a deadlock: who waits for what, and for whom.
struct Step {
    waiter: LockOwner,
    mode: TreeLockMode,
    resource: Resource,
    blocker: LockOwner,
}

impl LockTable {
    pub fn new(clock: Arc<dyn Clock>) -> LockTable {
        LockTable {
            parts: (0..PARTS).map(|_| Part::default()).collect(),
            waits: Mutex::default(),
            next_ticket: AtomicU64::new(1),
            clock,
            counters: Counters::default(),
            readers: Readers::default(),
        }
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn stats(&self) -> LockStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LockStats {
            waits: load(&self.counters.waits),
            waiting: self.waits.lock().len() as u64,
            timeouts: load(&self.counters.timeouts),
            deadlocks: load(&self.counters.deadlocks),
            escalations: load(&self.counters.escalations),
            row_locks: load(&self.counters.row_locks),
        }
    }

    /// Nothing is held or waited for.
    pub fn is_empty(&self) -> bool {
        let unused = self.parts.iter().all(|part| part.lock().is_empty());
        unused && self.waits.lock().is_empty() && self.readers.is_empty()
    }

    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Before a request that excludes readers: has them listed here, and keeps new ones from not being.
    fn list_readers(&self, resource: &Resource, mode: TreeLockMode) -> Option<Raised<'_>> {
        let tree = resource.as_tree().filter(|_| mode == TreeLockMode::AccessExclusive)?;
        let raised = self.readers.raise(tree);
        for slot in self.readers.open() {
            slot.list(resource.branch, tree);
        }
        Some(raised)
    }

    /// Notes a reader that nobody has excluded.
    pub fn admit_reader(&self, reader: LockOwner, resource: &Resource) {
        self.part(resource).lock().entry(resource.clone()).or_default().admit_reader(reader);
    }

    /// Changes a queue, and the tree's flag with it.
    fn with_flag<T>(&self, resource: &Resource, queue: &mut LockQueue, change: impl FnOnce(&mut LockQueue) -> T) -> T {
        let Some(tree) = resource.as_tree() else { return change(queue) };
        let before = queue.exclusive();
        let result = change(queue);
        self.readers.count(tree, before, queue.exclusive());
        result
    }

    fn part(&self, resource: &Resource) -> &Part {
        let hash = FxBuildHasher.hash_one(resource);
        // The map inside uses the same hash's low bits; the part is chosen by the high ones.
        &self.parts[(hash >> 57) as usize % PARTS]
    }

    /// Takes the lock if nobody is in the way.
    pub fn try_lock(&self, txn: LockOwner, resource: &Resource, mode: TreeLockMode) -> bool {
        let _raised = self.list_readers(resource, mode);
        let mut part = self.part(resource).lock();
        let queue = match part.get_mut(resource) {
            Some(queue) => queue,
            None => part.entry(resource.clone()).or_default(),
        };
        self.with_flag(resource, queue, |queue| queue.try_grant(txn, mode))
    }

    /// Takes the lock, waiting as long as `wait` allows. Errors: 55P03 timed out, 40P01 deadlock; either way (and when
    /// dropped) the request leaves no trace.
    pub async fn lock(&self, txn: LockOwner, resource: &Resource, mode: TreeLockMode, wait: LockWait) -> Result<()> {
        if self.try_lock(txn, resource, mode) {
            return Ok(());
        }
        // Boxed: who gets the lock at once carries nothing along for a wait.
        Box::pin(self.wait_for(txn, resource, mode, wait)).await
    }

    async fn wait_for(&self, txn: LockOwner, resource: &Resource, mode: TreeLockMode, wait: LockWait) -> Result<()> {
        if wait.policy == LockPolicy::NoWait {
            return Err(Error::retry(SqlState::LOCK_NOT_AVAILABLE, format!("could not obtain lock on {resource}")));
        }
        if wait.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(self.timed_out());
        }
        let Some(mut place) = self.stand_in_line(txn, resource, mode)? else { return Ok(()) };
        let mut left = wait.timeout;
        if left.is_none_or(|timeout| timeout > wait.deadlock_after) {
            if !wait.deadlock_after.is_zero() && self.granted_within(&mut place, wait.deadlock_after).await {
                place.claimed = true;
                return Ok(());
            }
            if let Some(steps) = self.find_cycle(&self.waits.lock(), txn) {
                self.counters.deadlocks.fetch_add(1, Ordering::Relaxed);
                return Err(deadlock(&steps));
            }
            left = left.map(|timeout| timeout - wait.deadlock_after);
        }
        match left {
            None => place.granted().await,
            Some(timeout) => {
                if !self.granted_within(&mut place, timeout).await {
                    return Err(self.timed_out());
                }
            }
        }
        place.claimed = true;
        Ok(())
    }

    async fn granted_within(&self, place: &mut Place<'_>, time: Duration) -> bool {
        let timer = self.clock.sleep(time);
        let granted = place.granted();
        futures::pin_mut!(granted);
        matches!(select(granted, timer).await, Either::Left(_))
    }

    fn timed_out(&self) -> Error {
        self.counters.timeouts.fetch_add(1, Ordering::Relaxed);
        Error::retry(SqlState::LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout")
    }

    /// Queues up; `None` if the lock came free meanwhile.
    fn stand_in_line(&self, txn: LockOwner, resource: &Resource, mode: TreeLockMode) -> Result<Option<Place<'_>>> {
        let _raised = self.list_readers(resource, mode);
        let mut waits = self.waits.lock();
        let (grant, granted) = oneshot::channel();
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        {
            let mut part = self.part(resource).lock();
            let queue = part.entry(resource.clone()).or_default();
            // As PostgreSQL does it: of rows it only learns with the others, after `deadlock_after`.
            let looks = !matches!(resource.thing, Thing::Row(..));
            let outcome = self.with_flag(resource, queue, |queue| {
                if queue.try_grant(txn, mode) {
                    return Ok(true);
                }
                if let Some((other, theirs)) = queue.vain(txn, mode).filter(|_| looks) {
                    let step = |waiter, mode, blocker| Step { waiter, mode, resource: resource.clone(), blocker };
                    return Err(deadlock(&[step(txn, mode, other), step(other, theirs, txn)]));
                }
                queue.enqueue(txn, mode, ticket, grant);
                Ok(false)
            });
            match outcome {
                Ok(true) => return Ok(None),
                Ok(false) => {}
                Err(error) => {
                    self.counters.deadlocks.fetch_add(1, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        waits.entry(txn).or_default().push((ticket, resource.clone()));
        drop(waits);
        self.counters.waits.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Place { table: self, txn, resource: resource.clone(), mode, ticket, granted, claimed: false }))
    }

    /// A cycle of waits through `start`. Depth first; each owner is looked at once.
    fn find_cycle(&self, waits: &Waits, start: LockOwner) -> Option<Vec<Step>> {
        let mut seen = FxHashSet::default();
        // Owners on the way, each with the edges out of it that are left to try; the step taken last is kept.
        let mut path: Vec<(Option<Step>, Vec<Step>)> = Vec::new();
        let mut next = Some(start);
        loop {
            if let Some(owner) = next.take()
                && seen.insert(owner)
            {
                path.push((None, self.steps(waits, owner)));
            }
            let (taken, left) = path.last_mut()?;
            match left.pop() {
                Some(step) => {
                    let blocker = step.blocker;
                    *taken = Some(step);
                    if blocker == start {
                        return Some(path.into_iter().filter_map(|(step, _)| step).collect());
                    }
                    next = Some(blocker);
                }
                None => {
                    path.pop();
                }
            }
        }
    }

    /// For whom an owner waits, and where.
    fn steps(&self, waits: &Waits, waiter: LockOwner) -> Vec<Step> {
        let mut steps = Vec::new();
        for (ticket, resource) in waits.get(&waiter).into_iter().flatten() {
            let part = self.part(resource).lock();
            let Some((mode, blockers)) = part.get(resource).and_then(|queue| queue.blockers(*ticket)) else { continue };
            let step = |blocker| Step { waiter, mode, resource: resource.clone(), blocker };
            steps.extend(blockers.into_iter().map(step));
        }
        steps
    }

    /// For whom an owner waits now.
    pub fn blockers(&self, waiter: LockOwner) -> Vec<LockOwner> {
        let waits = self.waits.lock();
        let mut blockers: Vec<LockOwner> = self.steps(&waits, waiter).into_iter().map(|step| step.blocker).collect();
        blockers.sort_unstable();
        blockers.dedup();
        blockers
    }

    /// Who holds a resource, and how.
    pub fn holders(&self, resource: &Resource) -> Vec<(LockOwner, TreeLockMode)> {
        let part = self.part(resource).lock();
        let held = part.get(resource).map(|queue| queue.list().filter(|(_, _, granted)| *granted));
        held.into_iter().flatten().map(|(owner, mode, _)| (owner, mode)).collect()
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What is locked and waited for; of rows only those somebody waits for.
    pub fn list(&self, most: usize) -> Vec<LockInfo> {
        let mut all = Vec::new();
        for part in &self.parts {
            for (resource, queue) in part.lock().iter() {
                let object = match &resource.thing {
                    Thing::Tree(tree) => LockObject::Tree(*tree),
                    Thing::Advisory(key) => LockObject::Advisory(*key),
                    Thing::Row(tree, key) if queue.has_waiters() => LockObject::Row(*tree, key.clone()),
                    Thing::Row(..) => continue,
                };
                let info =
                    |(owner, mode, granted)| LockInfo { owner, object: object.clone(), mode, granted, fast: false };
                all.extend(queue.list().map(info));
                if all.len() >= most {
                    all.truncate(most);
                    return all;
                }
            }
        }
        all.extend(self.readers.open().iter().flat_map(|slot| slot.unlisted()));
        all.truncate(most);
        all
    }

    /// Gives up one mode of a resource.
    pub fn unlock_mode(&self, owner: LockOwner, resource: &Resource, mode: TreeLockMode) {
        self.change(resource, |queue| queue.release_mode(owner, mode));
    }

    /// Gives up everything the transaction holds on a resource.
    pub fn unlock(&self, txn: LockOwner, resource: &Resource) {
        self.change(resource, |queue| queue.release(txn));
    }

    /// Gives up what the transaction holds on a resource beyond `modes`.
    pub fn restore(&self, txn: LockOwner, resource: &Resource, mut modes: ModeSet) {
        if resource.as_tree().is_some() {
            // A reader's lock is in the queue only because somebody asked; its slot gives it up.
            modes.add(TreeLockMode::AccessShare);
        }
        self.change(resource, |queue| queue.restore(txn, modes));
    }

    /// Changes a queue, lets in who can come in, and forgets an unused queue.
    fn change<T>(&self, resource: &Resource, change: impl FnOnce(&mut LockQueue) -> T) -> Option<T> {
        let mut grants = Grants::new();
        let result = {
            let mut part = self.part(resource).lock();
            let queue = part.get_mut(resource)?;
            let result = self.with_flag(resource, queue, |queue| {
                let result = change(queue);
                queue.pump(&mut grants);
                result
            });
            if queue.is_unused() {
                part.remove(resource);
            }
            result
        };
        for grant in grants {
            // A receiver that is gone gives the lock back itself: see `Place::drop`.
            let _ = grant.send(());
        }
        Some(result)
    }
}

fn deadlock(steps: &[Step]) -> Error {
    let line = |step: &Step| {
        let mut waiter = step.waiter.to_string();
        waiter.get_mut(..1).map(str::make_ascii_uppercase).unwrap_or_default();
        let mode = step.mode.name();
        format!("{waiter} waits for {mode} on {}; blocked by {}.", step.resource, step.blocker)
    };
    let detail: Vec<String> = steps.iter().map(line).collect();
    Error::retry(SqlState::DEADLOCK_DETECTED, "deadlock detected")
        .with_detail(detail.join("\n"))
        .with_hint("See server log for query details.")
}

/// A place in line. Dropping it without claiming leaves the line.
struct Place<'a> {
    table: &'a LockTable,
    txn: LockOwner,
    resource: Resource,
    mode: TreeLockMode,
    ticket: u64,
    granted: oneshot::Receiver<()>,
    claimed: bool,
}

impl Place<'_> {
    async fn granted(&mut self) {
        // The sender lives in the queue as long as this place does, so this cannot end in cancellation.
        let granted = (&mut self.granted).await;
        assert!(granted.is_ok(), "a place in line lost its grant");
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        {
            let mut waits = self.table.waits.lock();
            if let Some(places) = waits.get_mut(&self.txn) {
                places.retain(|(ticket, _)| *ticket != self.ticket);
                if places.is_empty() {
                    waits.remove(&self.txn);
                }
            }
        }
        if self.claimed {
            return;
        }
        let (txn, mode, ticket) = (self.txn, self.mode, self.ticket);
        self.table.change(&self.resource, |queue| {
            if !queue.leave(ticket) {
                queue.release_mode(txn, mode);
            }
        });
    }
}
