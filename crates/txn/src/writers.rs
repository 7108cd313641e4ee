//! Waiting for the transactions that write a tree now, without keeping out those that come later.
//!
//! 1. Who holds a writer's lock on the tree is asked first, then which transactions these owners run: one that is neither
//!    is about to release its locks, or has.
//! 2. A transaction has ended when its locks are released, which is after its commit was appended: what it wrote is in every
//!    snapshot taken once [`ShardClient::settle_all`](heliosdb_contracts::ShardClient::settle_all) has returned.
//! 3. Nothing is locked meanwhile, so the lock table does not see this wait; whoever is waited for and waits for us is found
//!    here, and then it is us who give up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use heliosdb_contracts::{AwaitedWriters, LockOwner, LockWait, TreeLockMode};
use heliosdb_types::{BranchId, Error, Result, SqlState, TreeRef};
use rustc_hash::FxHashSet;

use crate::active::Txn;
use crate::participant::Participant;
use crate::resource::Resource;

/// How long the first look lasts; each one is longer than the one before.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(20);

impl Participant {
    /// `told` gets a count of how many there were and have ended.
    pub(crate) async fn wait_for_writers(
        &self,
        tree: TreeRef,
        me: LockOwner,
        wait: LockWait,
        told: &(dyn Fn(AwaitedWriters) + Send + Sync),
    ) -> Result<()> {
        let resource = Resource::tree(BranchId(0), tree);
        let writes = |mode: TreeLockMode| TreeLockMode::Share.excludes(mode);
        let holders = || {
            let held = self.locks.holders(&resource).into_iter();
            held.filter(|(owner, mode)| *owner != me && writes(*mode)).map(|(owner, _)| owner).collect::<FxHashSet<_>>()
        };
        let owners = holders();
        let running = self.active.all().into_iter().filter(|txn| owners.contains(&txn.owner));
        let running: Vec<Arc<Txn>> = running.collect();
        let ending = owners.iter().filter(|owner| !running.iter().any(|txn| txn.owner == **owner));
        let mut ending: Vec<LockOwner> = ending.copied().collect();
        let watched = running.clone();
        told(AwaitedWriters(Arc::new(move || {
            let ended = watched.iter().filter(|txn| txn.ended.load(Ordering::Acquire)).count();
            (watched.len() as u64, ended as u64)
        })));
        let (mut pause, mut waited) = (FIRST_LOOK, Duration::ZERO);
        loop {
            let left: Vec<&Arc<Txn>> = running.iter().filter(|txn| !txn.ended.load(Ordering::Acquire)).collect();
            if !ending.is_empty() {
                // A session's next transaction begins after the one before has released its locks.
                let (held, active) = (holders(), self.active.all());
                ending.retain(|owner| held.contains(owner) && !active.iter().any(|txn| txn.owner == *owner));
            }
            if left.is_empty() && ending.is_empty() {
                return Ok(());
            }
            if waited >= wait.deadlock_after && left.iter().any(|txn| self.waits_for(txn.owner, me)) {
                return Err(Error::retry(SqlState::DEADLOCK_DETECTED, "deadlock detected")
                    .with_detail(format!("A writer that {me} waits for waits for {me}.")));
            }
            self.locks.clock().sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    /// Whether one owner waits for the other, directly or through others.
    pub(crate) fn waits_for(&self, waiter: LockOwner, other: LockOwner) -> bool {
        let (mut seen, mut next) = (FxHashSet::default(), vec![waiter]);
        while let Some(owner) = next.pop() {
            if owner == other {
                return true;
            }
            if seen.insert(owner) {
                next.extend(self.locks.blockers(owner));
            }
        }
        false
    }
}
