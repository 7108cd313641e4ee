//! Undoing the newest part of a transaction.
//!
//! Entries are appended command by command, so going back takes them from the end: the work is in what is undone, not in what
//! stays, however many savepoints there are. Rows that have been spilled meanwhile stay in their private segment and are
//! marked dead there; which part of the transaction each came from is kept for as long as a savepoint may ask.

use heliosdb_types::{CommandId, Result};

use super::spill::Private;
use super::{Base, NEVER, TreeWrites, TxnBuffer};

impl TxnBuffer {
    pub fn savepoint(&mut self, command: CommandId) {
        debug_assert!(self.savepoints.last().is_none_or(|last| *last <= command), "savepoints follow each other");
        self.savepoints.push(command);
    }

    pub fn release_savepoint(&mut self, from: CommandId) {
        let keep = self.savepoints.partition_point(|command| *command < from);
        self.savepoints.truncate(keep);
        if self.savepoints.is_empty() {
            let private = self.trees.values_mut().flat_map(|writes| &mut writes.private);
            private.for_each(|private| private.parts = Vec::new());
        }
    }

    /// Undoes what `from` and later commands did.
    pub fn rollback_to(&mut self, from: CommandId) -> Result<()> {
        self.finish_spill()?;
        let keep = self.savepoints.partition_point(|command| *command <= from);
        self.savepoints.truncate(keep);
        while self.shapes.pop_if(|(command, _)| *command >= from).is_some() {}
        for writes in self.trees.values_mut() {
            writes.undo(from);
        }
        self.trees.retain(|_, writes| !writes.entries.is_empty() || !writes.private.is_empty());
        Ok(())
    }

    /// The part of the transaction a command belongs to: the first command of the newest savepoint before it.
    pub(super) fn part_of(savepoints: &[CommandId], command: CommandId) -> CommandId {
        let at = savepoints.partition_point(|begin| *begin <= command);
        at.checked_sub(1).and_then(|at| savepoints.get(at)).copied().unwrap_or(CommandId(0))
    }
}

impl TreeWrites {
    fn undo(&mut self, from: CommandId) {
        while let Some(entry) = self.entries.pop_if(|entry| entry.command >= from) {
            if let Some(older) = entry.older.and_then(|at| self.entries.get_mut(at as usize)) {
                older.superseded = NEVER;
            }
            self.keys.taken(self.entries.len(), entry.key, entry.older);
        }
        self.private.retain_mut(|private| {
            let whole = private.first >= from;
            if whole {
                private.segment.give_up();
            } else {
                private.undo(from);
            }
            !whole
        });
        debug_assert!(
            self.entries.iter().all(|entry| match entry.base {
                Base::Spilled(at) => self.private.iter().any(|private| private.segment.meta.id == at.segment),
                _ => true,
            }),
            "what stays stands on what stays"
        );
    }
}

impl Private {
    fn undo(&mut self, from: CommandId) {
        while let Some((_, rows)) = self.parts.pop_if(|(begin, _)| *begin >= from) {
            self.dead |= rows;
        }
    }
}
