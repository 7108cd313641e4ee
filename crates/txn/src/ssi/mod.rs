//! Serializable snapshot isolation (Cahill, Röhm, Fekete 2008; Ports and Grittner 2012, as PostgreSQL has it).
//!
//! Every anomaly of snapshot isolation contains T1 -rw-> T2 -rw-> T3 with T3 the first of them to commit (T1 may be T3), where
//! A -rw-> B means that A read what B, concurrent with it, wrote and A did not see. So reads and writes of serializable
//! transactions leave marks, meeting marks of concurrent transactions become edges, and whoever completes such a structure,
//! or the T2 in it, is cancelled with 40001. Marks are set before the data is read or staged, so of a read and a write that
//! meet the later one sees the other.
//!
//! A commit is a moment here and a timestamp in the log, and the two are not taken together: between `prepare` and `committed`
//! the timestamp may be anything and may already be visible, and after `committed` it may still be invisible to new
//! snapshots. What may have happened is assumed, and nobody is forgotten before all coming snapshots see it.
//!
//! Bounds: a transaction's marks coarsen to whole trees; of committed ones that must be remembered the oldest are merged into
//! one, whose marks and timestamps cover theirs. Both may cancel more than needed, never less.

mod marks;
mod read_range;
#[cfg(test)]
mod test;

use std::collections::VecDeque;

use futures::channel::oneshot;
use heliosdb_contracts::Snapshot;
use heliosdb_runtime::failpoint;
use heliosdb_types::{CommitTs, Error, Result, SqlState, TreeRef, TxnId};
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};

pub(crate) use marks::Mark;
use marks::Marks;
pub(crate) use read_range::scanned;

/// Committed transactions remembered one by one.
const COMMITTED_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Ssi(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    txns: FxHashMap<TxnId, Sx>,
    /// Committed ones, oldest end first.
    committed: VecDeque<TxnId>,
    /// Counts begins and ends.
    moment: u64,
    reads: Marks,
    writes: Marks,
    /// Read-only transactions that wait for a safe snapshot.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    snapshot: CommitTs,
    /// When the snapshot was taken.
    since: u64,
    /// Writers that were running when the snapshot was taken.
    writers: FxHashSet<TxnId>,
    unsafe_found: bool,
    done: Option<oneshot::Sender<bool>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Progress {
    Active,
    /// Being committed since this moment: its timestamp is not known yet.
    Prepared {
        at: u64,
    },
    /// Its timestamp, or the first and last of several.
    Committed {
        first: CommitTs,
        last: CommitTs,
    },
}

/// One serializable transaction.
#[derive(Debug)]
struct Sx {
    snapshot: CommitTs,
    begin: u64,
    end: u64,
    progress: Progress,
    /// Declared so, or ended without having written.
    read_only: bool,
    wrote: bool,
    doomed: bool,
    /// Who read what this one wrote, unseen.
    ins: FxHashSet<TxnId>,
    /// Whose writes this one read past.
    outs: FxHashSet<TxnId>,
    /// The earliest commit among `outs`, also of those forgotten.
    earliest_out: Option<CommitTs>,
}

impl Sx {
    fn new(snapshot: CommitTs, begin: u64, read_only: bool) -> Sx {
        Sx {
            snapshot,
            begin,
            end: u64::MAX,
            progress: Progress::Active,
            read_only,
            wrote: false,
            doomed: false,
            ins: FxHashSet::default(),
            outs: FxHashSet::default(),
            earliest_out: None,
        }
    }

    fn is_active(&self) -> bool {
        self.progress == Progress::Active
    }

    /// Whether a snapshot sees all this one wrote.
    fn is_seen_by(&self, snapshot: CommitTs) -> bool {
        matches!(self.progress, Progress::Committed { last, .. } if last <= snapshot)
    }

    fn is_concurrent_with(&self, other: &Sx) -> bool {
        let before = |a: &Sx, b: &Sx| a.end < b.begin && a.is_seen_by(b.snapshot);
        !before(self, other) && !before(other, self)
    }
}

/// A commit that may have come before another's end.
#[derive(Clone, Copy)]
enum First {
    /// Prepared: at this moment or later.
    Since(u64),
    At(CommitTs),
}

impl First {
    fn of(sx: &Sx) -> Option<First> {
        match sx.progress {
            Progress::Active => None,
            Progress::Prepared { at } => Some(First::Since(at)),
            Progress::Committed { first, .. } => Some(First::At(first)),
        }
    }

    fn may_precede(self, other: &Sx) -> bool {
        match (self, other.progress) {
            (_, Progress::Active | Progress::Prepared { .. }) => true,
            (First::Since(moment), Progress::Committed { .. }) => moment < other.end,
            // One that wrote nothing ended with the timestamp of the last commit it could have seen.
            (First::At(ts), Progress::Committed { last, .. }) => ts <= last,
        }
    }
}

fn failure(reason: &str) -> Error {
    let message = "could not serialize access due to read/write dependencies among transactions";
    Error::retry(SqlState::SERIALIZATION_FAILURE, message)
        .with_detail(format!("Reason code: {reason}."))
        .with_hint("The transaction might succeed if retried.")
}

impl Ssi {
    /// Begins a transaction with the snapshot `take` takes.
    pub fn begin(&self, txn: TxnId, read_only: bool, take: impl FnOnce() -> Snapshot) -> Snapshot {
        let mut state = self.0.lock();
        // Under the lock, so that whoever is not in the snapshot has not been forgotten.
        let snapshot = take();
        let begin = state.next_moment();
        state.txns.insert(txn, Sx::new(snapshot.ts, begin, read_only));
        snapshot
    }

    /// A read-only transaction's wait for a snapshot no writer can make unsafe: resolves to whether it is one.
    pub fn await_safety(&self, txn: TxnId) -> Option<oneshot::Receiver<bool>> {
        let mut state = self.0.lock();
        let (snapshot, since) = state.txns.get(&txn).map(|sx| (sx.snapshot, sx.begin))?;
        let writers = state
            .txns
            .iter()
            .filter(|(id, sx)| **id != txn && !sx.read_only && !matches!(sx.progress, Progress::Committed { .. }));
        let writers: FxHashSet<TxnId> = writers.map(|(id, _)| *id).collect();
        if writers.is_empty() {
            return None;
        }
        let (done, safe) = oneshot::channel();
        state.waiting.push(Waiting { snapshot, since, writers, unsafe_found: false, done: Some(done) });
        Some(safe)
    }

    /// Forgets a transaction whose snapshot is safe: what it reads need not be watched.
    pub fn unwatch(&self, txn: TxnId, visible: CommitTs) {
        let mut state = self.0.lock();
        state.forget(txn);
        state.clean(visible);
    }

    /// Before a read.
    pub fn read(&self, txn: TxnId, tree: TreeRef, mark: &Mark) -> Result<()> {
        let mut state = self.0.lock();
        if !state.check(txn)? {
            return Ok(());
        }
        state.reads.add(txn, tree, mark);
        for writer in state.writes.meeting(txn, tree, mark) {
            state.conflict(txn, writer, txn)?;
        }
        Ok(())
    }

    /// Before writes are staged.
    pub fn write(&self, txn: TxnId, tree: TreeRef, marks: impl Iterator<Item = Mark>) -> Result<()> {
        let mut state = self.0.lock();
        if !state.check(txn)? {
            return Ok(());
        }
        if let Some(own) = state.txns.get_mut(&txn) {
            own.wrote = true;
        }
        for mark in marks {
            state.writes.add(txn, tree, &mark);
            for reader in state.reads.meeting(txn, tree, &mark) {
                state.conflict(reader, txn, txn)?;
            }
        }
        Ok(())
    }

    /// Before the commit's record. After it, others treat the transaction as committed.
    pub fn prepare(&self, txn: TxnId) -> Result<()> {
        let mut state = self.0.lock();
        if !state.check(txn)? {
            return Ok(());
        }
        let mut dooms = Vec::new();
        let Some(own) = state.txns.get(&txn) else { return Ok(()) };
        if failpoint("txn.serializable.unchecked").is_ok() {
            for near in &own.ins {
                let Some(pivot) = state.txns.get(near).filter(|sx| !matches!(sx.progress, Progress::Committed { .. }))
                else {
                    continue;
                };
                let dangerous = pivot.ins.iter().any(|far| {
                    let Some(sx) = state.txns.get(far) else { return false };
                    *far == txn || (!matches!(sx.progress, Progress::Committed { .. }) && !sx.read_only && !sx.doomed)
                });
                if dangerous && !pivot.doomed {
                    if !pivot.is_active() {
                        return Err(failure("Canceled on commit attempt with conflict in from prepared pivot"));
                    }
                    dooms.push(*near);
                }
            }
        }
        for pivot in dooms {
            if let Some(sx) = state.txns.get_mut(&pivot) {
                sx.doomed = true;
            }
        }
        let at = state.next_moment();
        if let Some(own) = state.txns.get_mut(&txn) {
            own.progress = Progress::Prepared { at };
        }
        Ok(())
    }

    /// The commit's record is in the log; or there was nothing to write (`visible` then).
    pub fn committed(&self, txn: TxnId, ts: CommitTs, visible: CommitTs) {
        let mut state = self.0.lock();
        let end = state.next_moment();
        let Some(own) = state.txns.get_mut(&txn) else { return };
        own.progress = Progress::Committed { first: ts, last: ts };
        own.end = end;
        own.read_only |= !own.wrote;
        let ins: Vec<TxnId> = own.ins.iter().copied().collect();
        for reader in ins {
            if let Some(reader) = state.txns.get_mut(&reader) {
                reader.earliest_out = Some(reader.earliest_out.map_or(ts, |known| known.min(ts)));
            }
        }
        state.committed.push_back(txn);
        state.writer_ended(txn);
        state.clean(visible);
    }

    pub fn rolled_back(&self, txn: TxnId, visible: CommitTs) {
        let mut state = self.0.lock();
        state.writer_ended(txn);
        state.forget(txn);
        state.clean(visible);
    }

    /// Nothing need be remembered.
    pub fn is_empty(&self, visible: CommitTs) -> bool {
        let mut state = self.0.lock();
        state.clean(visible);
        state.txns.is_empty() && state.reads.is_empty() && state.writes.is_empty()
    }
}

impl State {
    fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// Whether a transaction is watched; an error if it has been chosen to fail.
    fn check(&self, txn: TxnId) -> Result<bool> {
        match self.txns.get(&txn) {
            None => Ok(false),
            Some(sx) if sx.doomed => {
                Err(failure("Canceled on identification as a pivot, during conflict out checking"))
            }
            Some(_) => Ok(true),
        }
    }

    /// `reader` has read what `writer` writes, and `current`, one of them, just found out.
    fn conflict(&mut self, reader: TxnId, writer: TxnId, current: TxnId) -> Result<()> {
        let (Some(r), Some(w)) = (self.txns.get(&reader), self.txns.get(&writer)) else { return Ok(()) };
        if r.doomed || w.doomed || w.is_seen_by(r.snapshot) || !r.is_concurrent_with(w) || r.outs.contains(&writer) {
            return Ok(());
        }
        let writer_committed = First::of(w);
        if let Some(r) = self.txns.get_mut(&reader) {
            r.outs.insert(writer);
            if let Some(First::At(ts)) = writer_committed {
                r.earliest_out = Some(r.earliest_out.map_or(ts, |known| known.min(ts)));
            }
        }
        if let Some(w) = self.txns.get_mut(&writer) {
            w.ins.insert(reader);
        }
        if failpoint("txn.serializable.unchecked").is_err() {
            return Ok(());
        }
        let pivot = if self.is_dangerous_into(reader, writer) {
            writer
        } else if self.is_dangerous_out_of(reader, writer) {
            reader
        } else {
            return Ok(());
        };
        match self.txns.get_mut(&pivot) {
            Some(sx) if pivot != current && sx.is_active() => {
                sx.doomed = true;
                Ok(())
            }
            _ => {
                if let Some(sx) = self.txns.get_mut(&current) {
                    sx.doomed = true;
                }
                let doing = if current == reader { "read" } else { "write" };
                Err(failure(&format!("Canceled on identification as a pivot, during {doing}")))
            }
        }
    }

    /// T1 = reader, T2 = writer: is there a T3 that committed first?
    fn is_dangerous_into(&self, reader: TxnId, writer: TxnId) -> bool {
        let (Some(t1), Some(t2)) = (self.txns.get(&reader), self.txns.get(&writer)) else { return false };
        if t2.outs.contains(&reader) && First::of(t1).is_some_and(|first| first.may_precede(t2)) {
            // Each has read past the other.
            return true;
        }
        let committed = t2.earliest_out.map(First::At);
        let prepared = t2.outs.iter().filter_map(|out| self.txns.get(out)).filter_map(First::of);
        committed.into_iter().chain(prepared).any(|first| is_first(first, t1, t2))
    }

    /// T2 = reader, T3 = writer, committed: is there a T1?
    fn is_dangerous_out_of(&self, reader: TxnId, writer: TxnId) -> bool {
        let (Some(t2), Some(t3)) = (self.txns.get(&reader), self.txns.get(&writer)) else { return false };
        let Some(first) = First::of(t3) else { return false };
        t2.ins.iter().any(|far| match self.txns.get(far) {
            Some(_) if *far == writer => first.may_precede(t2),
            Some(t1) => is_first(first, t1, t2),
            None => false,
        })
    }

    fn writer_ended(&mut self, txn: TxnId) {
        let ended = self.txns.get(&txn);
        let committed = ended.is_some_and(|sx| matches!(sx.progress, Progress::Committed { .. }));
        let earliest_out = ended.and_then(|sx| sx.earliest_out).filter(|_| committed);
        let outs = ended.into_iter().filter(|_| committed).flat_map(|sx| &sx.outs).filter_map(|out| self.txns.get(out));
        let prepared: Option<u64> = outs
            .filter_map(|out| match out.progress {
                Progress::Prepared { at } => Some(at),
                _ => None,
            })
            .min();
        for waiting in &mut self.waiting {
            let in_snapshot = earliest_out.is_some_and(|ts| ts <= waiting.snapshot);
            if waiting.writers.remove(&txn) && (in_snapshot || prepared.is_some_and(|at| at < waiting.since)) {
                waiting.unsafe_found = true;
            }
            if (waiting.unsafe_found || waiting.writers.is_empty())
                && let Some(done) = waiting.done.take()
            {
                // A receiver that is gone gave up its transaction.
                let _ = done.send(!waiting.unsafe_found);
            }
        }
        self.waiting.retain(|waiting| waiting.done.as_ref().is_some_and(|done| !done.is_canceled()));
    }

    fn forget(&mut self, txn: TxnId) {
        let Some(sx) = self.txns.remove(&txn) else { return };
        self.reads.remove(txn);
        self.writes.remove(txn);
        for out in &sx.outs {
            if let Some(out) = self.txns.get_mut(out) {
                out.ins.remove(&txn);
            }
        }
        for reader in &sx.ins {
            if let Some(reader) = self.txns.get_mut(reader) {
                // What it meant to the reader stays in `earliest_out`.
                reader.outs.remove(&txn);
            }
        }
    }

    /// Forgets committed transactions that no running one and none that begins from now on is concurrent with, and merges the
    /// oldest if there are too many. `visible` is in every snapshot taken from now on.
    fn clean(&mut self, visible: CommitTs) {
        let running = || self.txns.values().filter(|sx| !matches!(sx.progress, Progress::Committed { .. }));
        let begin = running().map(|sx| sx.begin).min().unwrap_or(u64::MAX);
        let snapshot = running().map(|sx| sx.snapshot).min().unwrap_or(visible).min(visible);
        while let Some(oldest) = self.committed.front().copied() {
            let over = self.txns.get(&oldest).is_none_or(|sx| sx.end < begin && sx.is_seen_by(snapshot));
            if !over {
                break;
            }
            self.committed.pop_front();
            self.forget(oldest);
        }
        while self.committed.len() > COMMITTED_MAX {
            let (Some(oldest), Some(into)) = (self.committed.pop_front(), self.committed.front().copied()) else {
                break;
            };
            self.merge(oldest, into);
        }
    }

    /// One committed transaction becomes part of another: its marks on whole trees, its edges and times covered.
    fn merge(&mut self, from: TxnId, into: TxnId) {
        for marks in [&mut self.reads, &mut self.writes] {
            marks.coarsen(from);
            marks.merge(from, into);
        }
        let Some(old) = self.txns.remove(&from) else { return };
        for reader in &old.ins {
            if let Some(reader) = self.txns.get_mut(reader) {
                reader.outs.remove(&from);
                reader.outs.insert(into);
            }
        }
        for writer in &old.outs {
            if let Some(writer) = self.txns.get_mut(writer) {
                writer.ins.remove(&from);
                writer.ins.insert(into);
            }
        }
        let Some(sx) = self.txns.get_mut(&into) else { return };
        if let (Progress::Committed { first: a, last: y }, Progress::Committed { first: b, last: z }) =
            (old.progress, sx.progress)
        {
            sx.progress = Progress::Committed { first: a.min(b), last: y.max(z) };
        }
        sx.begin = sx.begin.min(old.begin);
        sx.snapshot = sx.snapshot.min(old.snapshot);
        sx.read_only &= old.read_only;
        sx.earliest_out = sx.earliest_out.into_iter().chain(old.earliest_out).min();
        sx.ins.extend(old.ins);
        sx.outs.extend(old.outs);
        sx.ins.remove(&into);
        sx.outs.remove(&into);
    }
}

/// Whether a commit is the first of a dangerous structure's three. For a read-only T1 it must be in T1's snapshot.
fn is_first(first: First, t1: &Sx, t2: &Sx) -> bool {
    if t1.doomed || !first.may_precede(t2) || !first.may_precede(t1) {
        return false;
    }
    match first {
        _ if !t1.read_only => true,
        First::Since(moment) => moment < t1.begin,
        First::At(ts) => ts <= t1.snapshot,
    }
}
