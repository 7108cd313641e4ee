//! What writers, freezer and compactor do on a good day. Each step may be refused by the disk; then it never happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::executor::block_on;
use heliosdb_contracts::{AppendedCommit, NewestRow, RowHint, ShardStore, TreeDescriptorRef, WriteBatch};
use heliosdb_types::{BranchId, CommandId, Lsn, Result, SequenceId};
use rand::Rng;
use rand::seq::IteratorRandom;

use super::interlude::outcome;
use super::machine::Stop;
use super::model::{OpenTxn, State, TreeModel};
use super::{FIRST_TREE, KEYS, SNAPSHOTS_MAX, Simulation};
use crate::support::*;

const OPEN_MAX: usize = 4;
/// Keys of bulk loads; those below are written one by one.
const BULK_KEYS: i64 = 10_000;
/// The key small commits write; nobody else does, so that they meet no lock.
const FLUSHED: i64 = KEYS + 1;
/// Trees larger than this are not loaded into.
const TREE_ROWS_MAX: usize = 500;

impl Simulation {
    pub fn step(&mut self) -> Result<()> {
        let by = std::time::Duration::from_micros(self.rng.random_range(0..5_000));
        self.machine.clock.advance(by);
        match self.rng.random_range(0..100) {
            0..32 => self.write(),
            32..38 => self.load(),
            38..42 => self.delete_many(),
            42..50 => self.go_back(),
            50..64 => self.commit(),
            64..67 => self.rollback(),
            67..74 => self.take_snapshot(),
            74..78 => self.drop_snapshot(),
            78..86 => self.checkpoint(),
            86..90 => self.merge(),
            90..92 => self.reserve(),
            92..94 => self.create(),
            94..96 => self.alter(),
            96..97 => self.drop_tree(),
            _ => self.flush(),
        }
    }

    /// One of the open transactions, or a new one.
    fn some_txn(&mut self) -> Result<usize> {
        if self.open.len() < OPEN_MAX && (self.open.is_empty() || self.rng.random_bool(0.3)) {
            let id = self.shard().begin(BranchId(0))?;
            self.open.push(OpenTxn::new(id));
            return Ok(self.open.len() - 1);
        }
        Ok(self.rng.random_range(0..self.open.len()))
    }

    /// Runs a part of a transaction; when the disk refuses, the transaction ends as a client's would.
    fn in_txn(&mut self, run: impl FnOnce(&mut Simulation, &mut OpenTxn) -> Result<()>) -> Result<()> {
        let at = self.some_txn()?;
        let mut txn = self.open.swap_remove(at);
        match run(self, &mut txn) {
            Ok(()) => {
                self.open.push(txn);
                self.check_own(self.open.len() - 1)
            }
            Err(error) => {
                self.shard().rollback(txn.id);
                Err(error)
            }
        }
    }

    fn locked(&self) -> BTreeSet<(u64, i64)> {
        self.open.iter().flat_map(|txn| txn.writes.keys().copied()).collect()
    }

    /// A tree that is visible, and not dropped by a commit that is not yet.
    fn some_tree(&mut self) -> (u64, TreeModel) {
        let (visible, latest) = (self.model.visible().clone(), self.model.latest().clone());
        let stay = visible.iter().filter(|(number, _)| latest.contains_key(*number));
        let (number, tree) = stay.choose(&mut self.rng).expect("trees are left");
        (*number, tree.clone())
    }

    fn value(&mut self) -> i64 {
        self.next_value += 1;
        let tiny_pieces = self.machine.options.value_piece_bytes < 100;
        let kilobytes = match self.rng.random_range(0..200) {
            _ if tiny_pieces => 0,
            0 => self.rng.random_range(8..40),
            1..8 => self.rng.random_range(1..4),
            _ => 0,
        };
        self.next_value + kilobytes * LARGE
    }

    fn write(&mut self) -> Result<()> {
        self.in_txn(|this, txn| {
            let locked = this.locked();
            let count = this.rng.random_range(1..12);
            this.note(&format!("write {count} rows in {}", txn.id));
            for _ in 0..count {
                let (number, tree) = this.some_tree();
                let key = this.rng.random_range(0..KEYS);
                if !locked.contains(&(number, key)) {
                    let value = (!this.rng.random_bool(0.35)).then(|| this.value());
                    this.write_row(txn, number, &tree.descriptor, key, value)?;
                }
            }
            Ok(())
        })
    }

    /// As the participant would: asks for the newest row, then writes.
    fn write_row(
        &mut self,
        txn: &mut OpenTxn,
        number: u64,
        tree: &TreeDescriptorRef,
        key: i64,
        value: Option<i64>,
    ) -> Result<()> {
        let committed = self.model.latest()[&number].rows.get(&key).copied();
        let before = txn.writes.get(&(number, key)).copied().unwrap_or(committed);
        let shard = self.shard().clone();
        let newest = shard.newest(txn.id, tree.tree, &key_bytes(key), true)?;
        let found = !matches!(newest, NewestRow::Absent { .. } | NewestRow::OwnDeleted);
        assert_eq!(found, before.is_some(), "newest of tree {number} key {key}: {newest:?}");
        let command = txn.next_command();
        match value {
            Some(value) if !found => {
                shard.stage_inserts(txn.id, command, tree.clone(), vec![keyed(tree, key, value)])?;
            }
            Some(value) => {
                update(&shard, txn.id, command, tree, (key, value), hint(&newest))?;
            }
            None if found => {
                let deletes = vec![(key_bytes(key), hint(&newest))];
                shard.stage_writes(
                    txn.id,
                    command,
                    WriteBatch { descriptor: tree.clone(), updates: vec![], deletes },
                )?;
            }
            None => return Ok(()),
        }
        txn.writes.insert((number, key), value);
        Ok(())
    }

    /// Many new rows, as COPY brings them: in batches, spilled to segments of the transaction's own if they are many.
    fn load(&mut self) -> Result<()> {
        self.in_txn(|this, txn| {
            let (number, tree) = this.some_tree();
            let room = TREE_ROWS_MAX.saturating_sub(this.model.latest()[&number].rows.len());
            let count = this.rng.random_range(20..250).min(room);
            this.note(&format!("load {count} rows into tree {number} in {}", txn.id));
            this.load_rows(txn, number, &tree.descriptor, count)
        })
    }

    fn load_rows(&mut self, txn: &mut OpenTxn, number: u64, tree: &TreeDescriptorRef, count: usize) -> Result<()> {
        let mut left = count;
        // Not always in the order of keys.
        let stride = if self.rng.random_bool(0.5) { 1 } else { -1 };
        while left > 0 {
            let some = self.rng.random_range(1..=60).min(left);
            left -= some;
            let first = BULK_KEYS + stride * self.next_bulk;
            let rows: Vec<(i64, i64)> = (0..some as i64).map(|at| (first + stride * at, self.value())).collect();
            self.next_bulk += some as i64;
            let keyed = rows.iter().map(|&(key, value)| keyed(tree, key, value)).collect();
            let command = txn.next_command();
            self.shard().stage_inserts(txn.id, command, tree.clone(), keyed)?;
            txn.writes.extend(rows.into_iter().map(|(key, value)| ((number, key), Some(value))));
        }
        Ok(())
    }

    /// A statement that deletes many rows of a tree.
    fn delete_many(&mut self) -> Result<()> {
        self.in_txn(|this, txn| {
            let (number, tree) = this.some_tree();
            let locked = this.locked();
            let latest = this.model.latest().clone();
            let rows = &latest[&number].rows;
            let (from, share) = (this.rng.random_range(0..100), this.rng.random_range(20..=100));
            let free = |key: &i64| !locked.contains(&(number, *key)) && !txn.writes.contains_key(&(number, *key));
            let wanted = |key: &i64| (key + from).rem_euclid(100) < share && *key != FLUSHED;
            let keys: Vec<i64> = rows.keys().copied().filter(wanted).collect();
            let keys: Vec<i64> = keys.into_iter().filter(free).collect();
            this.note(&format!("delete {} rows of tree {number} in {}", keys.len(), txn.id));
            let mut deletes: Vec<(bytes::Bytes, RowHint)> = Vec::new();
            for key in &keys {
                let newest = this.shard().newest(txn.id, tree.descriptor.tree, &key_bytes(*key), false)?;
                assert!(matches!(newest, NewestRow::Committed { .. }), "tree {number} key {key}: {newest:?}");
                deletes.push((key_bytes(*key), hint(&newest)));
            }
            let command = txn.next_command();
            this.shard().stage_writes(
                txn.id,
                command,
                WriteBatch { descriptor: tree.descriptor.clone(), updates: vec![], deletes },
            )?;
            txn.writes.extend(keys.into_iter().map(|key| ((number, key), None)));
            Ok(())
        })
    }

    /// Savepoints: a new one, back to one, or one less.
    fn go_back(&mut self) -> Result<()> {
        self.in_txn(|this, txn| {
            let which = this.rng.random_range(0..txn.marks.len().max(1));
            match this.rng.random_range(0..4) {
                0 | 1 => {
                    let command = txn.next_command();
                    this.note(&format!("savepoint {} in {}", command.0, txn.id));
                    this.shard().savepoint(txn.id, command)?;
                    txn.marks.push((command, txn.writes.clone()));
                }
                2 if !txn.marks.is_empty() => {
                    txn.marks.truncate(which + 1);
                    let (command, before) = txn.marks[which].clone();
                    this.note(&format!("roll back to savepoint {} in {}", command.0, txn.id));
                    this.shard().rollback_to(txn.id, command)?;
                    txn.writes = before;
                }
                3 if !txn.marks.is_empty() => {
                    this.note(&format!("release savepoint {} in {}", txn.marks[which].0.0, txn.id));
                    this.shard().release_savepoint(txn.id, txn.marks[which].0)?;
                    txn.marks.truncate(which);
                }
                _ => {}
            }
            Ok(())
        })
    }

    fn commit(&mut self) -> Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let which = self.rng.random_range(0..self.open.len());
        let txn = self.open.swap_remove(which);
        let wait = self.rng.random_bool(0.6);
        let appended = self.shard().commit(txn.id);
        self.note(&format!("commit {}, {} writes: {}", txn.id, txn.writes.len(), outcome(&appended)));
        let appended = appended?;
        self.committed(&txn, appended);
        if wait { self.durable(appended) } else { Ok(()) }
    }

    /// Notes in the model what the shard has appended.
    pub fn committed(&mut self, txn: &OpenTxn, appended: AppendedCommit) {
        if appended.lsn != Lsn(0) {
            let after = self.model.after(&txn.writes);
            let rows = txn.writes.values().map(|value| value.map_or(0, row_bytes) + 100).sum::<u64>();
            self.record_bytes_max = self.record_bytes_max.max(rows + 4096);
            self.model.appended(appended.ts, after);
        }
    }

    pub fn durable(&mut self, appended: AppendedCommit) -> Result<()> {
        let durable = block_on(self.shard().durable(appended.lsn));
        self.note(&format!("  durable: {}", outcome(&durable)));
        durable?;
        assert!(self.shard().visible_ts() >= appended.ts, "acknowledged but not visible");
        Ok(())
    }

    fn rollback(&mut self) -> Result<()> {
        if !self.open.is_empty() {
            let which = self.rng.random_range(0..self.open.len());
            let txn = self.open.swap_remove(which);
            self.note(&format!("roll back {}", txn.id));
            self.shard().rollback(txn.id);
        }
        Ok(())
    }

    fn take_snapshot(&mut self) -> Result<()> {
        if self.snapshots.len() < SNAPSHOTS_MAX {
            let snapshot = self.shard().snapshot(BranchId(0));
            self.note(&format!("open {snapshot:?}"));
            self.snapshots.push((snapshot, self.model.visible().clone()));
        }
        Ok(())
    }

    fn drop_snapshot(&mut self) -> Result<()> {
        if !self.snapshots.is_empty() {
            let which = self.rng.random_range(0..self.snapshots.len());
            let (snapshot, _) = self.snapshots.swap_remove(which);
            self.note(&format!("close {snapshot:?}"));
        }
        Ok(())
    }

    pub fn checkpoint(&mut self) -> Result<()> {
        let compact = self.rng.random_bool(0.5);
        self.note(if compact { "freeze and merge" } else { "freeze" });
        let done = self.interrupted(|shard| block_on(shard.checkpoint(compact)));
        self.note(&format!("  frozen: {}", outcome(&done)));
        done
    }

    pub fn merge(&mut self) -> Result<()> {
        let merged = self.interrupted(|shard| shard.merge_once());
        self.note(&format!("merge: {merged:?}"));
        merged.map(|_| ())
    }

    /// Counters move forward, whatever happens.
    fn reserve(&mut self) -> Result<()> {
        let count = self.rng.random_range(1..40);
        let first = self.shard().reserve_sequence(SequenceId(1), count)?;
        self.note(&format!("reserve {count} of a sequence from {first}"));
        assert!(first >= self.counter, "a counter went back from {} to {first}", self.counter);
        // Only what a durable commit used must not come back; make this one such.
        self.flush()?;
        self.counter = first + count;
        Ok(())
    }

    /// A small commit that is waited for.
    fn flush(&mut self) -> Result<()> {
        let (number, tree) = self.some_tree();
        let mut txn = OpenTxn::new(self.shard().begin(BranchId(0))?);
        self.note(&format!("flush by {}", txn.id));
        let value = self.value();
        if let Err(error) = self.write_row(&mut txn, number, &tree.descriptor, FLUSHED, Some(value)) {
            self.shard().rollback(txn.id);
            return Err(error);
        }
        let appended = self.shard().commit(txn.id)?;
        self.committed(&txn, appended);
        self.durable(appended)
    }

    /// A new tree, with rows or without.
    pub fn create(&mut self) -> Result<()> {
        let number = FIRST_TREE + self.next_tree;
        self.next_tree += 1;
        let tree = descriptor(number);
        let mut txn = OpenTxn::new(self.shard().begin(BranchId(0))?);
        self.note(&format!("create tree {number} in {}", txn.id));
        let command = txn.next_command();
        let count = if self.rng.random_bool(0.5) { 0 } else { self.rng.random_range(1..100) };
        let keep = self.next_tree <= 3 || self.rng.random_bool(0.8);
        let made = self.shard().define_tree(txn.id, command, tree.clone());
        let made = made.and_then(|()| self.load_rows(&mut txn, number, &tree, count));
        if made.is_err() || !keep {
            self.shard().rollback(txn.id);
            return made;
        }
        let appended = self.shard().commit(txn.id)?;
        let rows = txn.writes.iter().filter_map(|(&(_, key), &value)| Some((key, value?)));
        let rows = Arc::new(rows.collect::<Rows>());
        self.defined(appended, |state| _ = state.insert(number, TreeModel { descriptor: tree, rows }))
    }

    /// A tree gets another column; rows written before keep the missing value.
    fn alter(&mut self) -> Result<()> {
        let (number, tree) = self.some_tree();
        if tree.descriptor.columns.len() > 6 || self.locked().iter().any(|(tree, _)| *tree == number) {
            return Ok(());
        }
        self.note(&format!("alter tree {number}"));
        let wider = widened(&tree.descriptor);
        let txn = self.shard().begin(BranchId(0))?;
        self.shard().define_tree(txn, CommandId(0), wider.clone())?;
        let appended = self.shard().commit(txn)?;
        self.defined(appended, |state| {
            if let Some(tree) = state.get_mut(&number) {
                tree.descriptor = wider;
            }
        })
    }

    fn drop_tree(&mut self) -> Result<()> {
        let (number, tree) = self.some_tree();
        if self.model.latest().len() < 3 || self.locked().iter().any(|(tree, _)| *tree == number) {
            return Ok(());
        }
        self.note(&format!("drop tree {number}"));
        let txn = self.shard().begin(BranchId(0))?;
        self.shard().drop_tree(txn, CommandId(0), tree.descriptor.tree)?;
        let appended = self.shard().commit(txn)?;
        self.defined(appended, |state| _ = state.remove(&number))
    }

    /// Shapes change for everybody at once: nobody uses the new ones before they are durable.
    fn defined(&mut self, appended: AppendedCommit, change: impl FnOnce(&mut State)) -> Result<()> {
        let mut after: BTreeMap<u64, TreeModel> = (**self.model.latest()).clone();
        change(&mut after);
        self.model.appended(appended.ts, after);
        self.durable(appended)
    }

    /// A clean end and a start.
    pub fn close(&mut self) -> Result<()> {
        self.snapshots.clear();
        while let Some(txn) = self.open.pop() {
            self.shard().rollback(txn.id);
        }
        let closed = self.shard().close();
        self.note(&format!("close: {}", outcome(&closed)));
        let how = if self.rng.random_bool(0.5) { Stop::Kill } else { Stop::PowerLoss };
        self.restart(how);
        closed
    }
}
