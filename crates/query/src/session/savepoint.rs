//! SAVEPOINT, ROLLBACK TO and RELEASE.
//!
//! A savepoint is a command number and a mark at the shard: going back undoes the commands since, at the shard and in what the
//! session keeps of the transaction. A failed statement goes back to the last savepoint at once, so that the locks taken since
//! are free while the client thinks; the transaction then waits for ROLLBACK TO or its end.

use std::sync::Arc;

use heliosdb_types::{Error, Result, SqlState};

use super::transaction::{Savepoint, State, Transaction};
use super::{Session, control};

impl Session {
    pub(crate) fn savepoint(&mut self, name: String) -> Result<()> {
        self.require_block("SAVEPOINT")?;
        let id = self.transaction_id()?;
        let (shard, settings) = (Arc::clone(&self.engine.shard), self.settings.clone());
        let locks = self.locks.mark();
        let transaction = self.open_transaction()?;
        let mark = shard.savepoint(id, transaction.command)?;
        transaction.savepoints.push(Savepoint {
            name,
            mark,
            locks,
            settings,
            settings_kept: transaction.settings_kept.clone(),
            read_only: transaction.read_only,
            catalog_changed: transaction.catalog_changed,
        });
        // Every savepoint begins at a command of its own.
        self.next_command();
        Ok(())
    }

    pub(crate) fn release_savepoint(&mut self, name: &str) -> Result<()> {
        self.require_block("RELEASE SAVEPOINT")?;
        let shard = Arc::clone(&self.engine.shard);
        let transaction = self.open_transaction()?;
        let at = find(transaction, name)?;
        if let (Some(id), Some(savepoint)) = (transaction.id, transaction.savepoints.get(at)) {
            shard.release_savepoint(id, savepoint.mark)?;
        }
        transaction.savepoints.truncate(at);
        Ok(())
    }

    pub(crate) fn rollback_to_savepoint(&mut self, name: &str) -> Result<()> {
        if !matches!(self.state, State::Failed(_)) {
            self.require_block("ROLLBACK TO SAVEPOINT")?;
        }
        let transaction = match &self.state {
            State::Open(transaction) | State::Failed(Some(transaction)) => transaction,
            State::Idle | State::Failed(None) => return Err(unknown(name)),
        };
        let at = find(transaction, name)?;
        let state = std::mem::replace(&mut self.state, State::Failed(None));
        let (State::Open(mut transaction) | State::Failed(Some(mut transaction))) = state else { return Ok(()) };
        match self.go_back(&mut transaction, at) {
            Ok(()) => {
                self.state = State::Open(transaction);
                Ok(())
            }
            Err(error) => {
                self.state = State::Failed(Some(transaction));
                self.abandon_transaction();
                self.state = State::Failed(None);
                Err(error)
            }
        }
    }

    /// A statement failed: undoes what came after the last savepoint. `None` if there is none.
    pub(super) fn fail_to_savepoint(&mut self) -> Option<Box<Transaction>> {
        self.changes.lock().clear();
        if self.state.open()?.savepoints.is_empty() {
            return None;
        }
        let State::Open(mut transaction) = std::mem::replace(&mut self.state, State::Failed(None)) else { return None };
        let last = transaction.savepoints.len() - 1;
        if self.go_back(&mut transaction, last).is_ok() {
            return Some(transaction);
        }
        self.state = State::Open(transaction);
        None
    }

    /// Undoes everything since a savepoint, which stays.
    fn go_back(&mut self, transaction: &mut Transaction, at: usize) -> Result<()> {
        transaction.savepoints.truncate(at + 1);
        transaction.take_copied();
        let Some(savepoint) = transaction.savepoints.last() else { return Ok(()) };
        if let Some(id) = transaction.id {
            self.engine.shard.rollback_to(id, savepoint.mark)?;
        }
        let from = savepoint.mark.command;
        transaction.deferred.retain(|event| event.command < from);
        transaction.deferred_unique.retain(|event| event.command < from);
        transaction.deferred_parents.retain(|event| event.command < from);
        self.locks.back_to(savepoint.locks);
        let since = savepoint.mark.command;
        let settings = savepoint.settings.clone();
        transaction.settings_kept = savepoint.settings_kept.clone();
        transaction.read_only = savepoint.read_only;
        transaction.catalog_changed = savepoint.catalog_changed;
        transaction.overlay = None;
        self.restore(&settings);
        self.portals_after_rollback(since);
        self.said_after_rollback(since);
        Ok(())
    }

    /// Refuses a command outside BEGIN ... COMMIT.
    pub(crate) fn require_block(&self, command: &str) -> Result<()> {
        match &self.state {
            State::Open(transaction) if transaction.explicit => Ok(()),
            State::Failed(_) => Err(control::failed_transaction()),
            _ => Err(control::outside_block(command)),
        }
    }
}

fn find(transaction: &Transaction, name: &str) -> Result<usize> {
    transaction.savepoints.iter().rposition(|savepoint| savepoint.name == name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    Error::invalid(SqlState::INVALID_SAVEPOINT, format!("savepoint \"{name}\" does not exist"))
}
