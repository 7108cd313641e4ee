//! Keeping a table's indexes with its rows, within the statement that writes them.
//!
//! 1. The caller holds a row's lock before it changes the row's entries, so entries that contain the row's key need none.
//! 2. An entry of a unique index has a lock of its own: whoever puts or removes it holds it, others wait and then look.
//! 3. An index that is not complete may lack an entry of a row, and its unique entries may be another row's: there an entry is
//!    looked for before it is removed or put. Whoever completes it holds the row's lock while it puts the row's entry.
//! 4. What an update changes in a unique index waits for the end of the statement, where old entries go before new ones come:
//!    `SET u = u + 1` depends on the outcome, not on the order of rows.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use heliosdb_contracts::{InsertOutcome, KeyedRow, LockedRow, RowHint, RowLockMode, WriteBatch};
use heliosdb_types::{Error, Result, TxnId};

use super::entry::{ENTRY_ROW, Entry, IndexSpec};
use super::later::{UniqueEvent, check_unique};
use crate::catalog::Relation;
use crate::exec::foreign::FirstBytes;
use crate::exec::scope::StatementScope;

/// Bytes an entry kept until the statement's end takes beside its own.
const KEPT_OVERHEAD: usize = 64;

/// Rows as written: the table's columns and each row's key.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    pub rows: &'a RecordBatch,
    pub keys: &'a [Bytes],
}

/// An entry to be removed.
struct Gone {
    key: Bytes,
    /// It has a lock of its own.
    alone: bool,
    /// The row it is of.
    row: Bytes,
}

/// An entry to be put at the end of the statement.
struct Put {
    row: KeyedRow,
    alone: bool,
    row_key: Bytes,
    /// The row again, to name it in an error.
    of: RecordBatch,
    at: usize,
}

#[derive(Default)]
struct Late {
    deletes: Vec<Gone>,
    puts: Vec<Put>,
}

/// The indexes of the table a statement writes.
pub(crate) struct IndexKeeper {
    specs: Arc<[IndexSpec]>,
    table: Arc<Relation>,
    scope: Arc<StatementScope>,
    txn: TxnId,
    late: Vec<Late>,
}

/// Leaves the check of a new entry to be made later, if its constraint is DEFERRABLE.
fn note(scope: &StatementScope, table: &Relation, spec: &IndexSpec, entry: &Entry) -> Result<()> {
    if !entry.later {
        return Ok(());
    }
    let (table, index, constraint) = (table.oid, spec.info.oid, spec.info.constraint.unwrap_or(spec.info.oid));
    let event = UniqueEvent { table, index, constraint, columns: entry.columns(), command: scope.read.command };
    scope.references.unique(event)
}

impl IndexKeeper {
    pub fn new(
        specs: &Arc<[IndexSpec]>,
        table: &Arc<Relation>,
        scope: &Arc<StatementScope>,
        txn: TxnId,
    ) -> IndexKeeper {
        let late = specs.iter().map(|_| Late::default()).collect();
        IndexKeeper { specs: Arc::clone(specs), table: Arc::clone(table), scope: Arc::clone(scope), txn, late }
    }

    pub async fn insert(&self, new: Written<'_>) -> Result<()> {
        for spec in self.specs.iter() {
            let (mut locked, mut places, mut free) = (Vec::new(), Vec::new(), Vec::new());
            for (at, (entry, key)) in spec.entries(new.rows)?.iter().zip(new.keys).enumerate() {
                let Some(entry) = entry else { continue };
                self.note(spec, entry)?;
                if entry.alone {
                    locked.push(entry.keyed_row(key)?);
                    places.push(at);
                } else {
                    free.push(entry.keyed_row(key)?);
                }
            }
            self.put_free(spec, free, Vec::new())?;
            self.put_locked(spec, locked, |index| (new.rows, places.get(index).copied().unwrap_or(0))).await?;
        }
        Ok(())
    }

    fn note(&self, spec: &IndexSpec, entry: &Entry) -> Result<()> {
        note(&self.scope, &self.table, spec, entry)
    }

    /// Checks what may not be true any longer at the end of the statement.
    pub async fn check_unique(&self) -> Result<()> {
        let scope = &self.scope;
        let specs = self.specs.iter().filter(|spec| spec.info.deferrable.is_some());
        for spec in specs.filter(|spec| !scope.references.modes.is_unique_deferred(&spec.info)) {
            // Other parts of the statement may still give up what this one has taken.
            if scope.parts.are_several() {
                continue;
            }
            let events = scope.references.take_unique(|event| event.index == spec.info.oid);
            check_unique(scope, self.txn, &self.table, &spec.info, &events).await?;
        }
        Ok(())
    }

    pub async fn delete(&self, old: Written<'_>) -> Result<()> {
        for spec in self.specs.iter() {
            let mut deletes = Vec::new();
            for (entry, key) in spec.entries(old.rows)?.iter().zip(old.keys) {
                let gone = |entry: &Entry| Gone { key: entry.tree_key(key), alone: entry.alone, row: key.clone() };
                deletes.extend(entry.as_ref().map(gone));
            }
            self.remove(spec, deletes).await?;
        }
        Ok(())
    }

    /// Rows that get new values, and perhaps new keys. Returns the bytes that are kept until the end.
    pub fn update(&mut self, old: Written<'_>, new: Written<'_>) -> Result<usize> {
        let specs = Arc::clone(&self.specs);
        let mut kept = 0;
        for (spec, late) in specs.iter().zip(&mut self.late) {
            let (mut free, mut freed) = (Vec::new(), Vec::new());
            let entries = spec.entries(old.rows)?.into_iter().zip(spec.entries(new.rows)?);
            for ((at, (before, after)), (old_key, new_key)) in entries.enumerate().zip(old.keys.iter().zip(new.keys)) {
                let moved = old_key != new_key;
                let complete = spec.info.state.is_valid();
                if before == after && !moved && complete {
                    continue;
                }
                let waits = moved || spec.info.unique || !complete;
                if let Some(before) = before {
                    match waits {
                        true => {
                            let (key, row) = (before.tree_key(old_key), old_key.clone());
                            late.deletes.push(Gone { key, alone: before.alone, row });
                        }
                        false => freed.push(before.tree_key(old_key)),
                    }
                }
                if let Some(after) = after {
                    note(&self.scope, &self.table, spec, &after)?;
                    let row = after.keyed_row(new_key)?;
                    if waits {
                        kept += row.key.len() + row.row.len() + KEPT_OVERHEAD;
                        let row_key = new_key.clone();
                        late.puts.push(Put { row, alone: after.alone, row_key, of: new.rows.clone(), at });
                    } else {
                        free.push(row);
                    }
                }
            }
            let tree = Arc::clone(&spec.tree);
            if !free.is_empty() || !freed.is_empty() {
                self.scope.shard.write_entries(self.txn, self.scope.read.command, tree, free, freed)?;
            }
        }
        Ok(kept)
    }

    /// Whether entries wait to be given up or put.
    pub fn waits(&self) -> bool {
        self.late.iter().any(|late| !late.deletes.is_empty() || !late.puts.is_empty())
    }

    /// What waited for the end of the statement.
    pub async fn finish(&mut self) -> Result<()> {
        let specs = Arc::clone(&self.specs);
        let late: Vec<Late> = self.late.iter_mut().map(std::mem::take).collect();
        for (spec, late) in specs.iter().zip(late) {
            self.remove(spec, late.deletes).await?;
            let mut puts = late.puts;
            if !spec.info.state.is_valid() {
                let mut missing = Vec::with_capacity(puts.len());
                for put in puts {
                    if !self.has(spec, &put.row.key, &put.row_key)? {
                        missing.push(put);
                    }
                }
                puts = missing;
            }
            let (locked, free): (Vec<Put>, Vec<Put>) = puts.into_iter().partition(|put| put.alone);
            self.put_free(spec, free.into_iter().map(|put| put.row).collect(), Vec::new())?;
            let rows = locked.iter().map(|put| put.row.clone()).collect::<Vec<_>>();
            let place = |index: usize| locked.get(index).map(|put| (&put.of, put.at));
            let fallback = RecordBatch::new_empty(Arc::new(arrow_schema::Schema::empty()));
            self.put_locked(spec, rows, |index| place(index).unwrap_or((&fallback, 0))).await?;
        }
        Ok(())
    }

    fn put_free(&self, spec: &IndexSpec, puts: Vec<KeyedRow>, deletes: Vec<Bytes>) -> Result<()> {
        if puts.is_empty() && deletes.is_empty() {
            return Ok(());
        }
        let tree = Arc::clone(&spec.tree);
        self.scope.shard.write_entries(self.txn, self.scope.read.command, tree, puts, deletes)
    }

    /// Puts entries nobody else may have; `place` finds the row of one that is taken.
    async fn put_locked<'a>(
        &self,
        spec: &IndexSpec,
        rows: Vec<KeyedRow>,
        place: impl Fn(usize) -> (&'a RecordBatch, usize),
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let duplicate = |index: usize| {
            let (rows, row) = place(index);
            spec.duplicate(&self.table, rows, row, &self.scope.text).unwrap_or_else(|error| error)
        };
        let mut keys = HashSet::with_capacity(rows.len());
        if let Some(index) = rows.iter().position(|row| !keys.insert(&row.key)) {
            return Err(duplicate(index));
        }
        let scope = &self.scope;
        let tree = Arc::clone(&spec.tree);
        match scope.shard.insert(self.txn, scope.read.command, tree, rows, scope.lock_wait).await? {
            InsertOutcome::Inserted => Ok(()),
            InsertOutcome::Duplicate { index } => Err(duplicate(index)),
        }
    }

    /// Whether an entry is there and of this row.
    fn has(&self, spec: &IndexSpec, entry: &[u8], row: &[u8]) -> Result<bool> {
        let mut of = FirstBytes(None);
        let found = self.scope.shard.newest(self.txn, spec.tree.tree, entry, &[ENTRY_ROW], &mut of)?;
        Ok(found && of.0.is_some_and(|of| of == row))
    }

    async fn remove(&self, spec: &IndexSpec, deletes: Vec<Gone>) -> Result<()> {
        let complete = spec.info.state.is_valid();
        let (locked, mut free): (Vec<_>, Vec<_>) = deletes.into_iter().partition(|gone| gone.alone);
        if !complete {
            let mut present = Vec::with_capacity(free.len());
            for gone in free {
                if self.has(spec, &gone.key, &gone.row)? {
                    present.push(gone);
                }
            }
            free = present;
        }
        self.put_free(spec, Vec::new(), free.into_iter().map(|gone| gone.key).collect())?;
        if locked.is_empty() {
            return Ok(());
        }
        let mut keys: Vec<Bytes> = locked.iter().map(|gone| gone.key.clone()).collect();
        let scope = &self.scope;
        let locking =
            scope.shard.lock_rows(&scope.read, spec.tree.tree, keys.clone(), RowLockMode::Update, scope.lock_wait);
        let states = locking.await?;
        if !complete {
            keys.clear();
            for gone in locked {
                if self.has(spec, &gone.key, &gone.row)? {
                    keys.push(gone.key);
                }
            }
        } else if states.iter().any(|state| matches!(state, LockedRow::Gone)) {
            return Err(Error::corrupt(format!("index \"{}\" has no entry for a row of its table", spec.info.name)));
        }
        let deletes = keys.into_iter().map(|key| (key, RowHint::default())).collect();
        let batch = WriteBatch { descriptor: Arc::clone(&spec.tree), updates: Vec::new(), deletes };
        scope.shard.write(self.txn, scope.read.command, batch)
    }
}
