//! Transactions of a session: implicit ones around each statement, explicit ones from BEGIN to COMMIT.

use std::sync::Arc;

use heliosdb_contracts::{IsolationLevel, Snapshot};
use heliosdb_types::{CommandId, CommitTs, TxnId};

use super::locks::Mark;
use super::settings::Settings;
use crate::catalog::CatalogSnapshot;
use crate::exec::{ChildEvent, ConstraintModes, ParentEvent, References, UniqueEvent};

/// A transaction in progress.
pub(crate) struct Transaction {
    /// Opened by BEGIN; an implicit one ends with `finish`.
    pub explicit: bool,
    pub isolation: IsolationLevel,
    pub read_only: bool,
    /// SERIALIZABLE READ ONLY: waits for a snapshot that cannot fail.
    pub deferrable: bool,
    /// At the shard; `None` until something has to be locked or written.
    pub id: Option<TxnId>,
    /// The running command; the next one sees what it wrote.
    pub command: CommandId,
    /// REPEATABLE READ and above: the snapshot of its first statement.
    pub snapshot: Option<Snapshot>,
    pub start_micros: i64,
    /// The command after the last one that changed the catalog.
    pub catalog_changed: Option<CommandId>,
    /// The catalog with the transaction's own changes, loaded for (committed version, command).
    pub overlay: Option<(CommitTs, CommandId, Arc<CatalogSnapshot>)>,
    /// Settings to return to when it rolls back.
    pub settings_before: Settings,
    /// Settings after COMMIT: without what SET LOCAL changed.
    pub settings_kept: Settings,
    /// A query has run: the isolation level cannot change any more.
    pub queried: bool,
    /// SET CONSTRAINTS.
    pub constraint_modes: ConstraintModes,
    /// Foreign key checks that wait for the end of the transaction.
    pub deferred: Vec<ChildEvent>,
    pub deferred_parents: Vec<ParentEvent>,
    /// Rows whose uniqueness is looked at then.
    pub deferred_unique: Vec<UniqueEvent>,
    /// What COPY leaves: it ends after its session has turned to the client's data.
    pub copied: Vec<Arc<References>>,
    /// Open savepoints, outermost first.
    pub savepoints: Vec<Savepoint>,
}

impl Transaction {
    /// Takes over what COPY has left.
    pub fn take_copied(&mut self) {
        for references in &self.copied {
            let (children, parents) = references.take();
            self.deferred.extend(children);
            self.deferred_parents.extend(parents);
            self.deferred_unique.extend(references.take_unique(|_| true));
        }
        // A COPY still in progress may leave more.
        self.copied.retain(|references| Arc::strong_count(references) > 1);
    }
}

/// Where a session stands.
pub(crate) enum State {
    Idle,
    Open(Box<Transaction>),
    /// An explicit transaction whose statement failed, waiting for its end: rolled back as a whole, or, if it has
    /// savepoints, to the last of them.
    Failed(Option<Box<Transaction>>),
}

/// A point inside a transaction to which it can go back.
pub(crate) struct Savepoint {
    pub name: String,
    /// At the shard.
    pub mark: heliosdb_contracts::Savepoint,
    /// Locks of the session's own taken by then.
    pub locks: Mark,
    pub settings: Settings,
    pub settings_kept: Settings,
    pub read_only: bool,
    pub catalog_changed: Option<CommandId>,
}

impl State {
    pub fn open(&self) -> Option<&Transaction> {
        match self {
            State::Open(transaction) => Some(transaction),
            _ => None,
        }
    }

    pub fn open_mut(&mut self) -> Option<&mut Transaction> {
        match self {
            State::Open(transaction) => Some(transaction),
            _ => None,
        }
    }
}
