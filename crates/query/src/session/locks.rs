//! A session as an owner of locks: what it reads, and the advisory locks it has taken.
//!
//! Advisory locks belong to the session until it gives them up or ends, or to its transaction until that ends or goes back to
//! a savepoint from before. Functions of a running statement take them, so this outlives statements and cached plans.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use heliosdb_contracts::{AdvisoryKey, LockOwner, LockPolicy, LockWait, ReadLocks, ShardClient};
use heliosdb_types::{BranchId, DatabaseId, Error, Result};
use parking_lot::Mutex;

use crate::exec::CancelFlag;

/// How long an advisory lock is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Session,
    Transaction,
}

pub(crate) struct SessionLocks {
    shard: Arc<dyn ShardClient>,
    pub owner: LockOwner,
    pub database: DatabaseId,
    /// What its transaction's statements read.
    pub reads: Arc<dyn ReadLocks>,
    state: Mutex<State>,
}

/// What the transaction has locked by some moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    advisory: usize,
    reads: usize,
}

#[derive(Default)]
struct State {
    /// How often the session itself has taken each lock.
    session: HashMap<(AdvisoryKey, bool), u64>,
    /// What the transaction has taken, in order.
    transaction: Vec<(AdvisoryKey, bool)>,
    wait: LockWait,
    cancel: CancelFlag,
}

impl SessionLocks {
    pub fn open(shard: Arc<dyn ShardClient>, pid: i32, database: DatabaseId) -> Arc<SessionLocks> {
        let owner = shard.open_session(pid);
        let reads = shard.read_locks(BranchId(0), owner);
        Arc::new(SessionLocks { shard, owner, database, reads, state: Mutex::default() })
    }

    /// A statement begins: how it waits, and how it is stopped.
    pub fn statement(&self, wait: LockWait, cancel: CancelFlag) {
        let mut state = self.state.lock();
        (state.wait, state.cancel) = (wait, cancel);
    }

    pub fn cancel_flag(&self) -> CancelFlag {
        self.state.lock().cancel.clone()
    }

    /// Takes a lock, waiting for it as long as the statement may.
    pub async fn take(&self, key: AdvisoryKey, exclusive: bool, keep: Keep) -> Result<()> {
        let (wait, cancel) = {
            let state = self.state.lock();
            (state.wait, state.cancel.clone())
        };
        let taken = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(cancel.error()),
            taken = self.shard.lock_advisory(self.owner, key, exclusive, wait) => taken?,
        };
        if !taken {
            return Err(Error::internal("a lock that is waited for was not taken"));
        }
        self.note(key, exclusive, keep);
        Ok(())
    }

    /// Takes a lock if it is free.
    pub fn try_take(&self, key: AdvisoryKey, exclusive: bool, keep: Keep) -> Result<bool> {
        let wait = LockWait { policy: LockPolicy::NoWait, ..LockWait::default() };
        let taken = self.shard.lock_advisory(self.owner, key, exclusive, wait).now_or_never();
        let taken = taken.ok_or_else(|| Error::internal("a lock that is not waited for was"))??;
        if taken {
            self.note(key, exclusive, keep);
        }
        Ok(taken)
    }

    fn note(&self, key: AdvisoryKey, exclusive: bool, keep: Keep) {
        let mut state = self.state.lock();
        match keep {
            Keep::Session => *state.session.entry((key, exclusive)).or_insert(0) += 1,
            Keep::Transaction => state.transaction.push((key, exclusive)),
        }
    }

    /// Gives up a session's lock once; false if the session does not hold it.
    pub fn give_up(&self, key: AdvisoryKey, exclusive: bool) -> bool {
        {
            let mut state = self.state.lock();
            let Some(count) = state.session.get_mut(&(key, exclusive)) else { return false };
            *count -= 1;
            if *count == 0 {
                state.session.remove(&(key, exclusive));
            }
        }
        self.shard.unlock_advisory(self.owner, key, exclusive)
    }

    /// Gives up all the session's own locks.
    pub fn give_up_all(&self) {
        let held = std::mem::take(&mut self.state.lock().session);
        for ((key, exclusive), count) in held {
            for _ in 0..count {
                self.shard.unlock_advisory(self.owner, key, exclusive);
            }
        }
    }

    /// What the transaction has taken.
    pub fn mark(&self) -> Mark {
        Mark { advisory: self.state.lock().transaction.len(), reads: self.reads.mark() }
    }

    /// The transaction has ended: gives up what it has taken.
    pub fn release(&self) {
        self.back_to(Mark::default());
    }

    /// Gives up what the transaction has taken since `mark`.
    pub fn back_to(&self, mark: Mark) {
        self.reads.back_to(mark.reads);
        let given_up = {
            let mut state = self.state.lock();
            let from = mark.advisory.min(state.transaction.len());
            state.transaction.split_off(from)
        };
        for (key, exclusive) in given_up {
            self.shard.unlock_advisory(self.owner, key, exclusive);
        }
    }
}

impl Drop for SessionLocks {
    fn drop(&mut self) {
        self.release();
        self.give_up_all();
    }
}
