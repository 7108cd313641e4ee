//! Who holds one lock and who waits for it. Pure: time, threads and wake-ups are elsewhere.
//!
//! Fair: a request that conflicts with one already waiting waits behind it, so a stream of readers cannot starve a writer.
//! The exception is who already holds the lock and wants more: behind others it would wait for those that wait for it.

use std::collections::VecDeque;

use futures::channel::oneshot;
use heliosdb_contracts::{LockOwner, TreeLockMode};
use smallvec::SmallVec;

use crate::mode::{ModeSet, conflicts};

/// Woken waiters, to be told after the table's lock is released.
pub(crate) type Grants = SmallVec<[oneshot::Sender<()>; 1]>;

#[derive(Debug, Default)]
pub(crate) struct LockQueue {
    holders: SmallVec<[Holder; 1]>,
    waiting: VecDeque<Waiting>,
    /// AccessExclusive was asked for.
    exclusive: bool,
}

#[derive(Debug)]
struct Holder {
    txn: LockOwner,
    modes: ModeSet,
}

#[derive(Debug)]
struct Waiting {
    txn: LockOwner,
    mode: TreeLockMode,
    ticket: u64,
    grant: oneshot::Sender<()>,
}

impl LockQueue {
    /// How many requests for AccessExclusive wait or are granted.
    pub fn exclusive(&self) -> u32 {
        if !self.exclusive {
            return 0;
        }
        let waiting = self.waiting.iter().filter(|waiting| waiting.mode == TreeLockMode::AccessExclusive).count();
        let held = self.holders.iter().filter(|holder| holder.modes.contains(TreeLockMode::AccessExclusive)).count();
        u32::try_from(waiting + held).unwrap_or(u32::MAX)
    }

    /// Notes a reader that was there before anybody who excludes it.
    pub fn admit_reader(&mut self, txn: LockOwner) {
        self.hold(txn, TreeLockMode::AccessShare);
    }

    /// Takes the lock if that is possible at once.
    pub fn try_grant(&mut self, txn: LockOwner, mode: TreeLockMode) -> bool {
        self.exclusive |= mode == TreeLockMode::AccessExclusive;
        if self.holds(txn).is_some_and(|held| held.covers(mode)) {
            return true;
        }
        let upgrade = self.holds(txn).is_some();
        let free = self.holders.iter().all(|holder| holder.txn == txn || !holder.modes.excludes(mode));
        let fair = upgrade || self.waiting.iter().all(|waiting| !conflicts(waiting.mode, mode));
        if free && fair {
            self.hold(txn, mode);
        }
        free && fair
    }

    /// Waits in line: at its end, or in front for who already holds the lock.
    pub fn enqueue(&mut self, txn: LockOwner, mode: TreeLockMode, ticket: u64, grant: oneshot::Sender<()>) {
        let waiting = Waiting { txn, mode, ticket, grant };
        if self.holds(txn).is_some() { self.waiting.push_front(waiting) } else { self.waiting.push_back(waiting) }
    }

    /// Somebody in line who waits for what this one holds and holds what it wants: waiting would be in vain.
    pub fn vain(&self, txn: LockOwner, mode: TreeLockMode) -> Option<(LockOwner, TreeLockMode)> {
        let held = self.holds(txn)?;
        let against = |waiting: &&Waiting| {
            waiting.txn != txn
                && held.excludes(waiting.mode)
                && self.holds(waiting.txn).is_some_and(|theirs| theirs.excludes(mode))
        };
        self.waiting.iter().find(against).map(|waiting| (waiting.txn, waiting.mode))
    }

    /// Leaves the line; `false` if it was not in it (any more).
    pub fn leave(&mut self, ticket: u64) -> bool {
        let at = self.waiting.iter().position(|waiting| waiting.ticket == ticket);
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }

    /// Gives up all a transaction holds here.
    pub fn release(&mut self, txn: LockOwner) {
        self.holders.retain(|holder| holder.txn != txn);
    }

    /// Gives up one mode.
    pub fn release_mode(&mut self, txn: LockOwner, mode: TreeLockMode) {
        if let Some(holder) = self.holders.iter_mut().find(|holder| holder.txn == txn) {
            holder.modes.remove(mode);
            if holder.modes.is_empty() {
                self.release(txn);
            }
        }
    }

    /// Lets in, from the front, whoever conflicts with no holder and with nobody still waiting before.
    pub fn pump(&mut self, grants: &mut Grants) {
        let mut at = 0;
        while let Some(next) = self.waiting.get(at) {
            let (txn, mode) = (next.txn, next.mode);
            let free = self.holders.iter().all(|holder| holder.txn == txn || !holder.modes.excludes(mode));
            let first = self.waiting.iter().take(at).all(|before| !conflicts(before.mode, mode));
            if free && first {
                self.hold(txn, mode);
                grants.extend(self.waiting.remove(at).map(|waiting| waiting.grant));
            } else {
                at += 1;
            }
        }
    }

    pub fn is_unused(&self) -> bool {
        self.holders.is_empty() && self.waiting.is_empty()
    }

    /// Sets what a transaction holds back to what of it is among `modes`.
    pub fn restore(&mut self, txn: LockOwner, modes: ModeSet) {
        if let Some(holder) = self.holders.iter_mut().find(|holder| holder.txn == txn) {
            holder.modes = holder.modes.intersection(modes);
            if holder.modes.is_empty() {
                self.release(txn);
            }
        }
    }

    /// What a waiting transaction wants and for whom it waits: conflicting holders, and those before it in line that
    /// conflict. Looking further than one that conflicts with at least as much is pointless: that one waits for the rest.
    pub fn blockers(&self, ticket: u64) -> Option<(TreeLockMode, SmallVec<[LockOwner; 4]>)> {
        let at = self.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
        let Waiting { txn, mode, .. } = *self.waiting.get(at)?;
        let mut blockers = SmallVec::new();
        let holders = self.holders.iter().filter(|holder| holder.txn != txn && holder.modes.excludes(mode));
        blockers.extend(holders.map(|holder| holder.txn));
        let before = self.waiting.iter().take(at).rev();
        for before in before.filter(|before| before.txn != txn && conflicts(before.mode, mode)) {
            blockers.push(before.txn);
            if ModeSet::covers_conflicts(before.mode, mode) {
                break;
            }
        }
        Some((mode, blockers))
    }

    /// Who holds what, and who waits for what, in line.
    pub fn list(&self) -> impl Iterator<Item = (LockOwner, TreeLockMode, bool)> {
        let held = self.holders.iter().flat_map(|holder| holder.modes.modes().map(|mode| (holder.txn, mode, true)));
        held.chain(self.waiting.iter().map(|waiting| (waiting.txn, waiting.mode, false)))
    }

    pub fn has_waiters(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn holds(&self, txn: LockOwner) -> Option<ModeSet> {
        self.holders.iter().find(|holder| holder.txn == txn).map(|holder| holder.modes)
    }

    fn hold(&mut self, txn: LockOwner, mode: TreeLockMode) {
        match self.holders.iter_mut().find(|holder| holder.txn == txn) {
            Some(holder) => holder.modes.add(mode),
            None => {
                let mut modes = ModeSet::default();
                modes.add(mode);
                self.holders.push(Holder { txn, modes });
            }
        }
        self.check();
    }

    /// The one invariant that matters: no two holders exclude each other.
    fn check(&self) {
        debug_assert!(
            self.holders.iter().all(|a| {
                let mut others = self.holders.iter().filter(|b| b.txn != a.txn);
                others.all(|b| b.modes.modes().all(|mode| !a.modes.excludes(mode)))
            }),
            "holders exclude each other: {:?}",
            self.holders
        );
    }
}

#[cfg(test)]
mod tests {
    use TreeLockMode::{AccessExclusive, AccessShare, Exclusive, RowExclusive, Share};

    use super::*;

    struct Line {
        queue: LockQueue,
        receivers: Vec<(u64, oneshot::Receiver<()>)>,
    }

    impl Line {
        fn new() -> Line {
            Line { queue: LockQueue::default(), receivers: Vec::new() }
        }

        /// Requests as transaction `n`; true if granted at once.
        fn request(&mut self, n: u64, mode: TreeLockMode) -> bool {
            if self.queue.try_grant(LockOwner(n), mode) {
                return true;
            }
            let (grant, granted) = oneshot::channel();
            self.queue.enqueue(LockOwner(n), mode, n, grant);
            self.receivers.push((n, granted));
            false
        }

        fn pump(&mut self) -> Vec<u64> {
            let mut grants = Grants::new();
            self.queue.pump(&mut grants);
            grants.into_iter().for_each(|grant| grant.send(()).unwrap());
            let mut woken = Vec::new();
            self.receivers.retain_mut(|(n, receiver)| {
                let granted = matches!(receiver.try_recv(), Ok(Some(())));
                if granted {
                    woken.push(*n);
                }
                !granted
            });
            woken
        }

        fn release(&mut self, n: u64) -> Vec<u64> {
            self.queue.release(LockOwner(n));
            self.pump()
        }
    }

    #[test]
    fn waiters_are_served_in_order_and_sharers_together() {
        let mut line = Line::new();
        assert!(line.request(1, Exclusive));
        assert!(!line.request(2, Exclusive) && !line.request(3, Share) && !line.request(4, Share));
        assert!(!line.request(5, Exclusive));
        assert_eq!(line.release(1), [2]);
        assert_eq!(line.release(2), [3, 4]);
        assert_eq!(line.release(3), Vec::<u64>::new());
        assert_eq!(line.release(4), [5]);
        line.release(5);
        assert!(line.queue.is_unused());
    }

    #[test]
    fn a_newcomer_does_not_overtake_who_it_conflicts_with() {
        let mut line = Line::new();
        assert!(line.request(1, Share));
        assert!(!line.request(2, Exclusive));
        assert!(!line.request(3, Share), "compatible with the holder, but the writer came first");
        assert!(line.queue.leave(2) && !line.queue.leave(2));
        assert_eq!(line.pump(), [3], "the writer went away");
    }

    #[test]
    fn who_holds_and_wants_more_goes_first() {
        let mut line = Line::new();
        assert!(line.request(1, Share) && line.request(2, Share));
        assert!(!line.request(3, Exclusive));
        assert!(!line.request(1, Exclusive), "waits for 2");
        assert_eq!(line.release(2), [1]);
        assert!(line.request(1, Share) && line.request(1, Exclusive), "held already");
        line.queue.release_mode(LockOwner(1), Exclusive);
        assert_eq!(line.pump(), Vec::<u64>::new(), "1 still shares");
        line.queue.release_mode(LockOwner(1), Share);
        assert_eq!(line.pump(), [3]);
    }

    #[test]
    fn blockers_are_holders_and_those_before() {
        let mut line = Line::new();
        assert!(line.request(1, Exclusive));
        for n in 2..=4 {
            assert!(!line.request(n, Exclusive));
        }
        assert_eq!(line.queue.blockers(4), Some((Exclusive, SmallVec::from_slice(&[LockOwner(1), LockOwner(3)]))));
        assert_eq!(line.queue.blockers(1), None, "holders do not wait");
        let mut tree = Line::new();
        assert!(tree.request(1, RowExclusive) && tree.request(2, AccessShare));
        assert!(!tree.request(3, AccessExclusive) && !tree.request(4, AccessShare));
        assert_eq!(
            tree.queue.blockers(3),
            Some((AccessExclusive, SmallVec::from_slice(&[LockOwner(1), LockOwner(2)])))
        );
        assert_eq!(tree.queue.blockers(4), Some((AccessShare, SmallVec::from_slice(&[LockOwner(3)]))));
    }
}
