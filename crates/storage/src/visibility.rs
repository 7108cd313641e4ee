//! From appended to visible: commits become visible in log order, once durable and applied.
//!
//! Invariant: visible <= durable and visible <= applied, always; neither goes back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use heliosdb_runtime::Canary;
use heliosdb_types::{CommitTs, Error, Lsn, Result};
use parking_lot::Mutex;

#[derive(Default)]
pub(crate) struct Visibility {
    canary: Option<Canary>,
    visible_ts: AtomicU64,
    catalog_ts: AtomicU64,
    /// Pending commits that deleted rows.
    pending_deletes: AtomicU64,
    state: Mutex<State>,
}

/// What becoming visible means for a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitMark {
    pub ts: CommitTs,
    /// It touched a system tree.
    pub system: bool,
    /// It deleted rows without replacing them.
    pub deletes: bool,
}

#[derive(Default)]
struct State {
    durable: Lsn,
    applied: Lsn,
    visible: Lsn,
    /// Applied commits that are not visible yet, in order.
    pending: VecDeque<Pending>,
    waiters: BTreeMap<(Lsn, u64), oneshot::Sender<Result<()>>>,
    next_waiter: u64,
    fenced: Option<String>,
}

struct Pending {
    lsn: Lsn,
    commit: CommitMark,
}

impl Visibility {
    pub fn new(canary: Option<Canary>) -> Visibility {
        Visibility { canary, ..Visibility::default() }
    }

    /// Starts after recovery: everything up to here is durable and applied.
    pub fn start(&self, lsn: Lsn, ts: CommitTs, catalog_ts: CommitTs) {
        let mut state = self.state.lock();
        (state.durable, state.applied, state.visible) = (lsn, lsn, lsn);
        self.visible_ts.store(ts.0, Ordering::Release);
        self.catalog_ts.store(catalog_ts.0, Ordering::Release);
    }

    pub fn visible_ts(&self) -> CommitTs {
        CommitTs(self.visible_ts.load(Ordering::Acquire))
    }

    pub fn catalog_ts(&self) -> CommitTs {
        CommitTs(self.catalog_ts.load(Ordering::Acquire))
    }

    /// A record has been applied to memory. `commit` is `None` for records that make no rows visible.
    pub fn applied(&self, lsn: Lsn, commit: Option<CommitMark>) {
        let mut state = self.state.lock();
        assert!(lsn > state.applied, "records are applied in log order");
        state.applied = lsn;
        if let Some(commit) = commit {
            self.pending_deletes.fetch_add(u64::from(commit.deletes), Ordering::AcqRel);
            state.pending.push_back(Pending { lsn, commit });
        }
        self.advance(&mut state);
    }

    /// The log is durable up to `lsn`.
    pub fn durable_to(&self, lsn: Lsn) {
        let mut state = self.state.lock();
        state.durable = state.durable.max(lsn);
        self.advance(&mut state);
    }

    fn advance(&self, state: &mut State) {
        let early = Canary::VisibleBeforeDurable.sings(self.canary);
        let to = if early { state.applied } else { state.durable.min(state.applied) };
        if to <= state.visible {
            return;
        }
        while let Some(Pending { commit, .. }) = state.pending.pop_front_if(|pending| pending.lsn <= to) {
            assert!(commit.ts.0 > self.visible_ts.load(Ordering::Relaxed), "timestamps follow the log");
            if commit.system {
                self.catalog_ts.store(commit.ts.0, Ordering::Release);
            }
            self.visible_ts.store(commit.ts.0, Ordering::Release);
            self.pending_deletes.fetch_sub(u64::from(commit.deletes), Ordering::AcqRel);
        }
        state.visible = to;
        let waiting = state.waiters.split_off(&(Lsn(to.0 + 1), 0));
        for (_, waiter) in std::mem::replace(&mut state.waiters, waiting) {
            // A waiter that went away no longer cares.
            let _ = waiter.send(Ok(()));
        }
    }

    /// The record behind a timestamp that is not visible yet; `ZERO` when it is.
    pub fn pending_lsn(&self, ts: CommitTs) -> Lsn {
        if ts <= self.visible_ts() {
            return Lsn(0);
        }
        let state = self.state.lock();
        let at = state.pending.partition_point(|pending| pending.commit.ts < ts);
        state.pending.get(at).map_or(Lsn(0), |pending| pending.lsn)
    }

    /// Whether some delete is applied and not yet visible.
    pub fn has_pending_deletes(&self) -> bool {
        self.pending_deletes.load(Ordering::Acquire) > 0
    }

    /// Whether the record is durable and applied.
    pub fn is_visible(&self, lsn: Lsn) -> bool {
        lsn <= self.state.lock().visible
    }

    /// Resolves when the record is durable and applied; fails once the shard is fenced.
    pub fn wait(&self, lsn: Lsn) -> BoxFuture<'static, Result<()>> {
        let mut state = self.state.lock();
        if lsn <= state.visible {
            return futures::future::ready(Ok(())).boxed();
        }
        if let Some(why) = &state.fenced {
            return futures::future::ready(Err(Error::fenced(why.clone()))).boxed();
        }
        let (done, wait) = oneshot::channel();
        let waiter = state.next_waiter;
        state.next_waiter += 1;
        state.waiters.insert((lsn, waiter), done);
        async move { wait.await.unwrap_or_else(|_| Err(Error::fenced("the shard has stopped"))) }.boxed()
    }

    /// Nothing more becomes durable.
    pub fn fence(&self, why: &str) {
        let mut state = self.state.lock();
        state.fenced.get_or_insert_with(|| why.to_owned());
        for (_, waiter) in std::mem::take(&mut state.waiters) {
            let _ = waiter.send(Err(Error::fenced(why)));
        }
    }

    /// Newest record applied, durable or not.
    pub fn applied_lsn(&self) -> Lsn {
        self.state.lock().applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(ts: u64, system: bool) -> CommitMark {
        CommitMark { ts: CommitTs(ts), system, deletes: false }
    }

    #[test]
    fn visible_needs_both_durable_and_applied() {
        let visibility = Visibility::default();
        visibility.durable_to(Lsn(1));
        assert_eq!(visibility.visible_ts(), CommitTs::ZERO);
        visibility.applied(Lsn(1), Some(mark(10, false)));
        assert_eq!(visibility.visible_ts(), CommitTs(10));
        visibility.applied(Lsn(2), None);
        visibility.applied(Lsn(3), Some(mark(12, true)));
        assert_eq!((visibility.pending_lsn(CommitTs(12)), visibility.pending_lsn(CommitTs(10))), (Lsn(3), Lsn(0)));
        let mut wait = visibility.wait(Lsn(3));
        visibility.durable_to(Lsn(2));
        assert!((&mut wait).now_or_never().is_none());
        visibility.durable_to(Lsn(3));
        assert!(wait.now_or_never().is_some_and(|done| done.is_ok()));
        assert_eq!((visibility.visible_ts(), visibility.catalog_ts()), (CommitTs(12), CommitTs(12)));
        let mut never = visibility.wait(Lsn(4));
        assert!((&mut never).now_or_never().is_none());
        visibility.fence("fsync failed");
        assert!(never.now_or_never().is_some_and(|done| done.is_err()));
    }
}
