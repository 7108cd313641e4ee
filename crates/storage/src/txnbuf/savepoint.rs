//! Undoing the newest part of a transaction.
//!
//! Entries are appended command by command, so going back takes them from the end: the work is in what is undone, not in what
//! stays, however many savepoints there are. Rows that have been spilled meanwhile stay in their private segment and are
//! marked dead there; doomed rows live again. A spill that runs is stopped: nobody waits for files of rows that go.

use std::collections::BTreeSet;

use bytes::Bytes;
use heliosdb_types::{CommandId, Result};

use super::keys::Keys;
use super::spill::Spilled;
use super::{Base, Entry, NEVER, TreeWrites, TxnBuffer};

/// What was undone, to be dropped: giving back a million rows takes a quarter of a second.
#[derive(Default)]
pub(crate) struct Undone {
    entries: Vec<Vec<Entry>>,
    /// Where they were found.
    places: Vec<(Keys, Option<BTreeSet<Bytes>>)>,
    /// Copies of theirs that were written to files nobody wants.
    pub spilled: Vec<Spilled>,
}

impl Undone {
    /// How many writes.
    pub fn len(&self) -> usize {
        self.entries.iter().map(Vec::len).sum()
    }
}

impl TxnBuffer {
    /// From here on commands are told apart from those before: whatever is written knows its command, so nothing is kept.
    pub fn savepoint(&mut self, command: CommandId) {
        let newest = |writes: &TreeWrites| writes.entries.last().is_none_or(|entry| entry.command <= command);
        debug_assert!(self.trees.values().all(newest), "commands follow each other");
    }

    /// Undoes what `from` and later commands did.
    pub fn rollback_to(&mut self, from: CommandId) -> Result<Undone> {
        let mut undone = Undone::default();
        let stopped = self.stop_spill(from, &mut undone)?;
        while self.shapes.pop_if(|(command, _)| *command >= from).is_some() {}
        for writes in self.trees.values_mut() {
            writes.undo(from, &mut undone);
        }
        self.trees.retain(|_, writes| !writes.is_empty());
        if stopped {
            self.count_spillable();
        }
        Ok(undone)
    }
}

impl TreeWrites {
    fn undo(&mut self, from: CommandId, undone: &mut Undone) {
        let left = self.entries.partition_point(|entry| entry.command < from);
        if left == 0 {
            undone.entries.push(std::mem::take(&mut self.entries));
            undone.places.push((std::mem::take(&mut self.keys), self.ordered.take()));
        } else if left < self.entries.len() {
            let taken = self.entries.split_off(left);
            for (at, entry) in taken.iter().enumerate().rev() {
                if let Some(older) = entry.older.and_then(|at| self.entries.get_mut(at as usize)) {
                    older.superseded = NEVER;
                }
                self.keys.taken(left + at, &entry.key, entry.older);
            }
            undone.entries.push(taken);
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
