//! Advisory locks: counted per session, because PostgreSQL's are given up as often as they were taken.

use heliosdb_contracts::{AdvisoryKey, LockOwner, LockPolicy, LockWait, TreeLockMode};
use heliosdb_types::{Error, Result, SqlState};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::participant::Participant;
use crate::resource::Resource;

/// How often each session has taken each lock, shared or exclusive.
#[derive(Debug, Default)]
pub(crate) struct Advisory {
    counts: Mutex<FxHashMap<(LockOwner, AdvisoryKey, bool), u64>>,
}

fn mode(exclusive: bool) -> TreeLockMode {
    if exclusive { TreeLockMode::Exclusive } else { TreeLockMode::Share }
}

impl Participant {
    pub(crate) async fn take_advisory(
        &self,
        session: LockOwner,
        key: AdvisoryKey,
        exclusive: bool,
        wait: LockWait,
    ) -> Result<bool> {
        {
            let mut counts = self.advisory.counts.lock();
            if let Some(count) = counts.get_mut(&(session, key, exclusive)) {
                *count += 1;
                return Ok(true);
            }
            if counts.len() >= self.options.advisory_locks_max {
                let error = Error::unavailable(SqlState::OUT_OF_MEMORY, "out of shared memory");
                return Err(error.with_hint("Too many advisory locks are held."));
            }
        }
        let resource = Resource::advisory(key);
        if wait.policy != LockPolicy::Wait {
            if !self.locks.try_lock(session, &resource, mode(exclusive)) {
                return Ok(false);
            }
        } else {
            self.locks.lock(session, &resource, mode(exclusive), wait).await?;
        }
        *self.advisory.counts.lock().entry((session, key, exclusive)).or_insert(0) += 1;
        Ok(true)
    }

    pub(crate) fn give_up_advisory(&self, session: LockOwner, key: AdvisoryKey, exclusive: bool) -> bool {
        {
            let mut counts = self.advisory.counts.lock();
            let Some(count) = counts.get_mut(&(session, key, exclusive)) else { return false };
            *count -= 1;
            if *count > 0 {
                return true;
            }
            counts.remove(&(session, key, exclusive));
        }
        self.locks.unlock_mode(session, &Resource::advisory(key), mode(exclusive));
        true
    }
}
