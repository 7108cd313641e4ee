//! BEGIN, COMMIT, ROLLBACK and what happens to a transaction when a statement fails.

use heliosdb_contracts::IsolationLevel;
use heliosdb_types::{CommandId, Error, Result, SqlState, TxnId};
use sqlparser::ast::{TransactionAccessMode, TransactionIsolationLevel, TransactionMode};

use super::transaction::{State, Transaction};
use super::{ParsedSettings, Session, settings};
use crate::exec::ConstraintModes;
use crate::statistics::DatabaseCounts;

impl Session {
    /// Opens an implicit transaction unless one is open.
    pub(crate) fn open_transaction(&mut self) -> Result<&mut Transaction> {
        if let State::Failed(_) = self.state {
            return Err(failed_transaction());
        }
        if let State::Idle = self.state {
            self.state = State::Open(Box::new(self.new_transaction(false)));
        }
        self.state.open_mut().ok_or_else(|| Error::internal("a transaction was just opened"))
    }

    fn new_transaction(&self, explicit: bool) -> Transaction {
        let ParsedSettings { isolation, deferrable, read_only, .. } = self.settings.parsed;
        Transaction {
            explicit,
            isolation,
            deferrable,
            read_only,
            id: None,
            command: CommandId(1),
            snapshot: None,
            start_micros: self.now_micros(),
            catalog_changed: None,
            overlay: None,
            settings_before: self.settings.clone(),
            settings_kept: self.settings.clone(),
            queried: false,
            constraint_modes: ConstraintModes::default(),
            deferred: Vec::new(),
            deferred_parents: Vec::new(),
            deferred_unique: Vec::new(),
            copied: Vec::new(),
            savepoints: Vec::new(),
        }
    }

    /// The transaction's id at the shard, begun when first needed.
    pub(crate) fn transaction_id(&mut self) -> Result<TxnId> {
        let (branch, shard) = (self.branch, std::sync::Arc::clone(&self.engine.shard));
        let owner = self.locks.owner;
        let transaction = self.open_transaction()?;
        match transaction.id {
            Some(id) => Ok(id),
            None => {
                let id = shard.begin_in(branch, owner)?;
                transaction.id = Some(id);
                self.seat.update(|activity| activity.xid = Some(id));
                Ok(id)
            }
        }
    }

    pub(crate) fn begin(&mut self, modes: &[TransactionMode]) -> Result<()> {
        match &mut self.state {
            State::Failed(_) => return Err(failed_transaction()),
            State::Open(transaction) if transaction.explicit => {
                self.warning(SqlState::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress");
            }
            // Statements of the same message before BEGIN become part of the block.
            State::Open(transaction) => transaction.explicit = true,
            State::Idle => self.state = State::Open(Box::new(self.new_transaction(true))),
        }
        self.set_transaction(modes)
    }

    /// SET TRANSACTION, and the modes of BEGIN.
    pub(crate) fn set_transaction(&mut self, modes: &[TransactionMode]) -> Result<()> {
        for mode in modes {
            let transaction = self.open_transaction()?;
            match mode {
                TransactionMode::AccessMode(TransactionAccessMode::ReadOnly) => transaction.read_only = true,
                TransactionMode::AccessMode(TransactionAccessMode::ReadWrite) => {
                    if transaction.read_only && transaction.queried {
                        return Err(Error::invalid(
                            SqlState::ACTIVE_SQL_TRANSACTION,
                            "transaction read-write mode must be set before any query",
                        ));
                    }
                    transaction.read_only = false;
                }
                TransactionMode::IsolationLevel(level) => {
                    let isolation = match level {
                        TransactionIsolationLevel::ReadUncommitted | TransactionIsolationLevel::ReadCommitted => {
                            IsolationLevel::ReadCommitted
                        }
                        TransactionIsolationLevel::RepeatableRead => IsolationLevel::RepeatableRead,
                        TransactionIsolationLevel::Serializable => IsolationLevel::Serializable,
                        TransactionIsolationLevel::Snapshot => {
                            return Err(Error::unsupported("ISOLATION LEVEL SNAPSHOT"));
                        }
                    };
                    if transaction.queried && transaction.isolation != isolation {
                        return Err(Error::invalid(
                            SqlState::ACTIVE_SQL_TRANSACTION,
                            "SET TRANSACTION ISOLATION LEVEL must be called before any query",
                        ));
                    }
                    transaction.isolation = isolation;
                }
            }
        }
        Ok(())
    }

    /// SET TRANSACTION [NOT] DEFERRABLE.
    pub(crate) fn set_deferrable(&mut self, deferrable: bool) -> Result<()> {
        let transaction = self.open_transaction()?;
        if transaction.queried && transaction.deferrable != deferrable {
            return Err(Error::invalid(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "SET TRANSACTION [NOT] DEFERRABLE must be called before any query",
            ));
        }
        transaction.deferrable = deferrable;
        Ok(())
    }

    /// COMMIT; gives the command tag.
    pub(crate) async fn commit(&mut self, chain: bool) -> Result<String> {
        match &self.state {
            State::Failed(_) => {
                self.abandon_transaction();
                if chain {
                    self.begin(&[])?;
                }
                Ok("ROLLBACK".to_owned())
            }
            State::Idle if chain => Err(outside_block("COMMIT AND CHAIN")),
            State::Idle => {
                self.warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
                Ok("COMMIT".to_owned())
            }
            State::Open(transaction) => {
                let explicit = transaction.explicit;
                let modes = chain.then(|| modes_of(transaction));
                if !explicit {
                    if chain {
                        return Err(outside_block("COMMIT AND CHAIN"));
                    }
                    self.warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
                }
                self.commit_now().await?;
                if let Some(modes) = modes {
                    self.begin(&modes)?;
                }
                Ok("COMMIT".to_owned())
            }
        }
    }

    /// ROLLBACK.
    pub(crate) fn rollback(&mut self, chain: bool) -> Result<()> {
        let modes = match &self.state {
            State::Open(transaction) if transaction.explicit => Some(modes_of(transaction)),
            State::Failed(_) => Some(Vec::new()),
            _ if chain => return Err(outside_block("ROLLBACK AND CHAIN")),
            _ => {
                self.warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
                None
            }
        };
        self.abandon_transaction();
        match modes {
            Some(modes) if chain => self.begin(&modes),
            _ => Ok(()),
        }
    }

    /// Ends an implicit transaction with success; an explicit one stays open.
    pub(crate) async fn finish_implicit(&mut self) -> Result<()> {
        match &self.state {
            State::Open(transaction) if !transaction.explicit => self.commit_now().await,
            _ => Ok(()),
        }
    }

    /// Commits the open transaction; on failure nothing of it is left.
    async fn commit_now(&mut self) -> Result<()> {
        self.take_changes();
        if let Err(error) = Box::pin(self.check_deferred(|_| true)).await {
            self.abandon_transaction();
            return Err(error);
        }
        if self.has_temp && self.state.open().is_some_and(|transaction| transaction.id.is_some()) {
            let ended = Box::pin(self.end_temporary_rows()).await;
            if let Err(error) = ended {
                self.abandon_transaction();
                return Err(error);
            }
        }
        if let Err(error) = self.hold_portals().await {
            self.abandon_transaction();
            return Err(error);
        }
        if let Err(error) = self.check_said() {
            self.abandon_transaction();
            return Err(error);
        }
        let State::Open(transaction) = std::mem::replace(&mut self.state, State::Idle) else { return Ok(()) };
        self.portals_after_commit();
        if let Some(id) = transaction.id {
            // If the client goes away meanwhile the commit may or may not happen, as with any lost reply.
            if let Err(error) = self.engine.shard.commit(id).await {
                self.engine.shard.rollback(id);
                self.locks.release();
                self.said_after_rollback(CommandId(0));
                self.restore(&transaction.settings_before);
                DatabaseCounts::add(&self.database_counts.rollbacks);
                return Err(error);
            }
        }
        DatabaseCounts::add(&self.database_counts.commits);
        self.said_after_commit();
        self.locks.release();
        let kept = transaction.settings_kept.clone();
        self.restore(&kept);
        Ok(())
    }

    pub(super) fn restore(&mut self, settings: &settings::Settings) {
        if self.settings.is_same(settings) {
            return;
        }
        self.settings.restore(settings);
        self.take_roles();
    }

    /// Rolls back whatever is open; the session is idle after it.
    pub(crate) fn abandon_transaction(&mut self) {
        self.changes.lock().clear();
        self.locks.release();
        self.portals_after_rollback(CommandId(0));
        self.said_after_rollback(CommandId(0));
        let state = std::mem::replace(&mut self.state, State::Idle);
        if let State::Open(transaction) | State::Failed(Some(transaction)) = state {
            if let Some(id) = transaction.id {
                self.engine.shard.rollback(id);
            }
            self.restore(&transaction.settings_before);
            DatabaseCounts::add(&self.database_counts.rollbacks);
        }
    }

    /// A statement failed: an implicit transaction is over, an explicit one waits for its end.
    pub(crate) fn fail_transaction(&mut self) {
        let explicit = match &self.state {
            State::Open(transaction) => transaction.explicit,
            State::Failed(_) => return,
            State::Idle => false,
        };
        let kept = if explicit { self.fail_to_savepoint() } else { None };
        if kept.is_none() {
            self.abandon_transaction();
        }
        if explicit {
            self.state = State::Failed(kept);
        }
    }

    /// Refuses a command that writes in a read-only transaction.
    pub(crate) fn require_read_write(&mut self, command: &str) -> Result<()> {
        if self.open_transaction()?.read_only {
            let message = format!("cannot execute {command} in a read-only transaction");
            return Err(Error::invalid(SqlState::READ_ONLY_SQL_TRANSACTION, message));
        }
        Ok(())
    }

    /// Refuses a command inside BEGIN ... COMMIT.
    pub(crate) fn require_no_block(&self, command: &str) -> Result<()> {
        match self.state.open() {
            Some(transaction) if transaction.explicit => Err(Error::invalid(
                SqlState::ACTIVE_SQL_TRANSACTION,
                format!("{command} cannot run inside a transaction block"),
            )),
            _ => Ok(()),
        }
    }
}

fn modes_of(transaction: &Transaction) -> Vec<TransactionMode> {
    let level = match transaction.isolation {
        IsolationLevel::ReadCommitted => TransactionIsolationLevel::ReadCommitted,
        IsolationLevel::RepeatableRead => TransactionIsolationLevel::RepeatableRead,
        IsolationLevel::Serializable => TransactionIsolationLevel::Serializable,
    };
    let access = if transaction.read_only { TransactionAccessMode::ReadOnly } else { TransactionAccessMode::ReadWrite };
    vec![TransactionMode::IsolationLevel(level), TransactionMode::AccessMode(access)]
}

pub(super) fn outside_block(command: &str) -> Error {
    Error::invalid(SqlState::NO_ACTIVE_SQL_TRANSACTION, format!("{command} can only be used in transaction blocks"))
}

pub(crate) fn failed_transaction() -> Error {
    Error::invalid(
        SqlState::IN_FAILED_SQL_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}
