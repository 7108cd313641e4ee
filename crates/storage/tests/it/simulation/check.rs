//! What must hold after every step: acknowledged = visible, snapshots are stable, ways of reading agree, space is bounded.

use std::sync::Arc;

use futures::executor::block_on;
use heliosdb_contracts::{NewestRow, ShardStore, Snapshot};
use heliosdb_runtime::{Disk, OpenMode};
use heliosdb_types::{BranchId, DatabaseId, Result, TreeId, TreeRef};
use rand::Rng;
use rand::seq::IteratorRandom;

use super::Simulation;
use super::machine::Stop;
use super::model::{OpenTxn, State, overlaid, size};
use crate::support::*;

/// After settling, segment bytes per byte of live rows...
const SEGMENT_BYTES_FACTOR: u64 = 4;
/// ...and per segment (footer, statistics, bloom filter).
const SEGMENT_OVERHEAD_BYTES: u64 = 8 << 10;
/// Log files beside those a restart would replay: spares, the current one, and those reserved ahead.
const LOG_FILES_MAX: u64 = 8;

impl Simulation {
    /// After every step: a tree as it is now and in an old snapshot; everything now and then.
    pub fn check(&mut self) -> Result<()> {
        if self.rng.random_bool(0.1) {
            return self.check_all();
        }
        let now = self.shard().snapshot(BranchId(0));
        let visible = self.model.visible().clone();
        let tree = visible.keys().copied().choose(&mut self.rng);
        self.check_tree(&now, &visible, tree, "now")?;
        if !self.snapshots.is_empty() {
            let which = self.rng.random_range(0..self.snapshots.len());
            let (snapshot, state) = self.snapshots[which].clone();
            let tree = state.keys().copied().choose(&mut self.rng);
            self.check_tree(&snapshot, &state, tree, "of an open snapshot")?;
        }
        self.check_newest()
    }

    pub fn check_all(&mut self) -> Result<()> {
        let now = self.shard().snapshot(BranchId(0));
        let visible = self.model.visible().clone();
        for tree in visible.keys().copied().collect::<Vec<_>>() {
            self.check_tree(&now, &visible, Some(tree), "now")?;
        }
        for (snapshot, state) in self.snapshots.clone() {
            for tree in state.keys().copied().collect::<Vec<_>>() {
                self.check_tree(&snapshot, &state, Some(tree), "of an open snapshot")?;
            }
        }
        for at in 0..self.open.len() {
            self.check_own(at)?;
        }
        for (number, tree) in self.model.latest().iter() {
            let counted = self.shard().tree_size(tree.descriptor.tree).rows;
            assert_eq!(counted, tree.rows.len() as u64, "rows of tree {number} as the shard counts them");
        }
        self.check_newest()
    }

    /// A scan, range cursors (see [`try_scan`]) and point reads of a tree.
    fn check_tree(&mut self, snapshot: &Snapshot, state: &State, tree: Option<u64>, when: &str) -> Result<()> {
        let Some((number, tree)) = tree.and_then(|tree| state.get_key_value(&tree)) else { return Ok(()) };
        let context = context(None, 0, snapshot);
        let found = try_scan(self.shard(), &context, &tree.descriptor, vec![])?;
        self.answered(&found);
        assert_rows(&found, &tree.rows, || format!("tree {number} {when}"));
        let mut sum = 0;
        let all = tree.rows.len() < 100;
        for key in self.sample(&tree.rows, all) {
            let expected = tree.rows.get(&key).copied();
            let got = try_get(self.shard(), &context, &tree.descriptor, key)?;
            assert_eq!(got, expected, "tree {number} key {key} {when}");
            sum += got.unwrap_or(0);
        }
        assert!(
            !all || sum == found.values().sum::<i64>(),
            "tree {number} {when}: point reads add up to something else"
        );
        Ok(())
    }

    /// Every row if `all`, else some; and some keys that may not be there.
    fn sample(&mut self, rows: &Rows, all: bool) -> Vec<i64> {
        let mut keys: Vec<i64> =
            if all { rows.keys().copied().collect() } else { rows.keys().copied().choose_multiple(&mut self.rng, 8) };
        let absent = (0..6).map(|_| self.rng.random_range(0..super::KEYS)).filter(|key| !rows.contains_key(key));
        keys.extend(absent.collect::<std::collections::BTreeSet<_>>());
        keys
    }

    /// A transaction sees what is visible, overlaid with its own writes.
    pub fn check_own(&mut self, at: usize) -> Result<()> {
        let visible = self.model.visible().clone();
        let OpenTxn { id, command, writes, .. } = &self.open[at];
        let (id, command) = (*id, *command);
        let expected = overlaid(&visible, writes);
        let written: Vec<u64> = writes.keys().map(|(tree, _)| *tree).collect();
        let Some(number) = written.into_iter().choose(&mut self.rng) else { return Ok(()) };
        let tree = &expected[&number];
        let snapshot = self.shard().snapshot(BranchId(0));
        let context = context(Some(id), command, &snapshot);
        let found = try_scan(self.shard(), &context, &tree.descriptor, vec![])?;
        self.answered(&found);
        assert_rows(&found, &tree.rows, || format!("own view of tree {number}"));
        for key in self.sample(&tree.rows, false) {
            let got = try_get(self.shard(), &context, &tree.descriptor, key)?;
            assert_eq!(got, tree.rows.get(&key).copied(), "own view of tree {number} key {key}");
        }
        Ok(())
    }

    /// The newest version of keys, visible or not.
    fn check_newest(&mut self) -> Result<()> {
        if self.fenced() {
            return Ok(());
        }
        let reader = self.shard().begin(BranchId(0))?;
        let latest = self.model.latest().clone();
        if let Some((number, tree)) = latest.iter().choose(&mut self.rng) {
            for key in self.sample(&tree.rows, false) {
                let newest = self.shard().newest(reader, tree.descriptor.tree, &key_bytes(key), false)?;
                let live = matches!(newest, NewestRow::Committed { .. });
                assert_eq!(live, tree.rows.contains_key(&key), "newest of tree {number} key {key}: {newest:?}");
            }
        }
        self.shard().rollback(reader);
        Ok(())
    }

    /// Whether the shard, just started, holds `state` and nothing else.
    pub fn holds(&self, state: &State) -> Result<bool> {
        let snapshot = self.shard().snapshot(BranchId(0));
        for number in 0..self.next_tree {
            let tree = TreeRef::new(DatabaseId(1), TreeId(super::FIRST_TREE + number));
            let expected = state.get(&(super::FIRST_TREE + number));
            let found = self.shard().descriptor(None, tree);
            if found.as_ref() != expected.map(|tree| &tree.descriptor) {
                return Ok(false);
            }
            if let Some(expected) = expected
                && try_scan(self.shard(), &context(None, 0, &snapshot), &expected.descriptor, vec![])? != *expected.rows
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// With nobody reading and nothing left to do, only what is needed takes space.
    pub fn check_space(&mut self) {
        self.note("settle and measure");
        self.snapshots.clear();
        while let Some(txn) = self.open.pop() {
            self.shard().rollback(txn.id);
        }
        if std::mem::take(&mut self.litter) {
            // A file that could not be removed goes at the next start.
            self.restart(Stop::Kill);
        }
        // A merge leaves what it replaced to whoever reads it; the second round finds it gone.
        for _ in 0..2 {
            self.shard().set_sequence(heliosdb_types::SequenceId(2), 1).expect("no fault is active");
            block_on(self.shard().checkpoint(true)).expect("no fault is active");
        }
        self.settle_visible();
        let disk = &self.machine.disk;
        let list = |dir: &str| -> Vec<(String, u64)> {
            let names = disk.list(dir).expect("no fault is active");
            let path = |name: &String| if dir.is_empty() { name.clone() } else { format!("{dir}/{name}") };
            let len = |name: &String| disk.open(&path(name), OpenMode::Read).and_then(|file| file.len()).unwrap_or(0);
            names.iter().map(|name| (name.clone(), len(name))).collect()
        };
        let metrics = self.shard().metrics();
        let (segments, deletes, manifests, log) = (list("segments"), list("deletes"), list("manifest"), list("wal"));
        assert_eq!(segments.len() as u64, metrics.segments, "segment files nobody needs: {segments:?}");
        assert!(deletes.len() <= segments.len(), "delete files nobody needs: {deletes:?}");
        assert!(manifests.len() <= 2, "manifests nobody needs: {manifests:?}");
        let (rows, bytes) = size(self.model.visible());
        let total = |files: &[(String, u64)]| files.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let held = total(&segments) + total(&deletes);
        let allowed = SEGMENT_BYTES_FACTOR * bytes + SEGMENT_OVERHEAD_BYTES * metrics.segments;
        assert!(held <= allowed, "{held} bytes for {rows} rows of {bytes} bytes in {} segments", metrics.segments);
        let file = self.machine.options.log_file_bytes.max(self.record_bytes_max);
        assert!(total(&log) <= LOG_FILES_MAX * file, "the log takes {} bytes: {log:?}", total(&log));
        for (name, _) in list("") {
            let known = ["CURRENT", "CURRENT.tmp", "deletes", "manifest", "segments", "wal"];
            assert!(known.contains(&name.as_str()), "nobody knows \"{name}\"");
        }
    }
}

fn assert_rows(found: &Rows, expected: &Arc<Rows>, what: impl Fn() -> String) {
    if *found == **expected {
        return;
    }
    let missing: Vec<_> = expected.iter().filter(|(key, value)| found.get(key) != Some(value)).take(10).collect();
    let extra: Vec<_> = found.iter().filter(|(key, value)| expected.get(key) != Some(value)).take(10).collect();
    panic!("{}: missing {missing:?}, instead {extra:?}", what());
}
