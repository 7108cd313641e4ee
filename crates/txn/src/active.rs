//! The transactions that are running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heliosdb_contracts::LockOwner;
use heliosdb_types::{BranchId, CommandId, Error, Lsn, Result, SqlState, TxnId};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::held::Held;

#[derive(Debug)]
pub(crate) struct Txn {
    pub id: TxnId,
    pub owner: LockOwner,
    pub branch: BranchId,
    /// Its reads and writes are watched.
    pub serializable: AtomicBool,
    pub held: Mutex<Held>,
    /// Commands that begin a savepoint, ascending.
    pub savepoints: Mutex<Vec<CommandId>>,
    /// Its locks are released, and what it committed is in the log.
    pub ended: AtomicBool,
    /// The newest record a reply of this transaction may have been built on.
    depends_on: AtomicU64,
}

impl Txn {
    pub fn depend_on(&self, lsn: Lsn) {
        self.depends_on.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// Forgets the savepoints after the one that begins at `from`, and itself unless it is kept; how many came after it.
    pub fn forget_savepoints(&self, from: CommandId, keep: bool) -> Result<usize> {
        let mut savepoints = self.savepoints.lock();
        let at = savepoints.partition_point(|command| *command < from);
        if savepoints.get(at) != Some(&from) {
            return Err(Error::internal(format!("transaction {} has no such savepoint", self.id)));
        }
        let nested = savepoints.len() - at - 1;
        savepoints.truncate(if keep { at + 1 } else { at });
        Ok(nested)
    }

    pub fn depends_on(&self) -> Lsn {
        Lsn(self.depends_on.load(Ordering::Acquire))
    }
}

const PARTS: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Active {
    parts: [Mutex<FxHashMap<TxnId, Arc<Txn>>>; PARTS],
}

impl Active {
    fn part(&self, id: TxnId) -> &Mutex<FxHashMap<TxnId, Arc<Txn>>> {
        &self.parts[id.0 as usize % PARTS]
    }

    pub fn insert(&self, id: TxnId, owner: LockOwner, branch: BranchId) {
        let txn = Arc::new(Txn {
            id,
            owner,
            branch,
            serializable: AtomicBool::new(false),
            held: Mutex::default(),
            savepoints: Mutex::default(),
            ended: AtomicBool::new(false),
            depends_on: AtomicU64::new(0),
        });
        let other = self.part(id).lock().insert(id, txn);
        assert!(other.is_none(), "transaction id {id} was given out twice");
    }

    pub fn get(&self, id: TxnId) -> Result<Arc<Txn>> {
        self.part(id).lock().get(&id).cloned().ok_or_else(|| ended(id))
    }

    /// Ends a transaction: whoever gets it here is the only one to do so.
    pub fn remove(&self, id: TxnId) -> Result<Arc<Txn>> {
        self.part(id).lock().remove(&id).ok_or_else(|| ended(id))
    }

    pub fn all(&self) -> Vec<Arc<Txn>> {
        self.parts.iter().flat_map(|part| part.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().len()).sum()
    }
}

fn ended(id: TxnId) -> Error {
    Error::invalid(SqlState::INVALID_TRANSACTION_STATE, format!("transaction {id} is not running"))
}
