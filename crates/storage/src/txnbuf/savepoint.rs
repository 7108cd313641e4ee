//! Undoing the newest part of a transaction.
//!
//! Entries are appended command by command, so going back takes them from the end: the work is in what is undone, not in what
//! stays, however many savepoints there are. Rows that have been spilled meanwhile stay in their private segment and are
//! marked dead there; doomed rows live again.

use heliosdb_types::{CommandId, Result};

use super::{Base, NEVER, TreeWrites, TxnBuffer};

impl TxnBuffer {
    /// From here on commands are told apart from those before: whatever is written knows its command, so nothing is kept.
    pub fn savepoint(&mut self, command: CommandId) {
        let newest = |writes: &TreeWrites| writes.entries.last().is_none_or(|entry| entry.command <= command);
        debug_assert!(self.trees.values().all(newest), "commands follow each other");
    }

    /// Undoes what `from` and later commands did.
    pub fn rollback_to(&mut self, from: CommandId) -> Result<()> {
        self.finish_spill()?;
        while self.shapes.pop_if(|(command, _)| *command >= from).is_some() {}
        for writes in self.trees.values_mut() {
            writes.undo(from);
        }
        self.trees.retain(|_, writes| !writes.is_empty());
        Ok(())
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
            private.dead |= private.rows.take_from(from);
            private.ended.take_from(from);
            let stays = !private.rows.is_empty();
            if !stays {
                private.segment.give_up();
            }
            stays
        });
        self.doomed.retain_mut(|doomed| {
            doomed.rows.take_from(from);
            !doomed.rows.is_empty()
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
