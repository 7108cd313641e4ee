//! What one transaction has written and not yet committed, by tree and command.
//!
//! A statement sees the writes of earlier commands of its transaction only, so every entry says which command made it
//! and which command superseded it. Entries are appended, never changed in place, except for that mark. When they grow too many
//! they leave: rows go to private segments ([`spill`]), and of rows that were deleted or replaced only the positions stay
//! ([`doomed`]). Both remember the command of each row.

mod commands;
mod doomed;
mod keys;
mod savepoint;
mod spill;

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use heliosdb_contracts::{KeyRange, KeyedRow, RowHint, TreeDescriptorRef, WriteBatch};
use heliosdb_types::{BranchId, CommandId, Error, Result, SchemaVersion, TreeRef};
use rustc_hash::FxHashMap;

use crate::log::{LogOp, Position};
use crate::segments::Segment;
use doomed::Doomed;
pub(crate) use doomed::DoomedMask;
use keys::Keys;
use spill::Private;
pub(crate) use spill::{Running, SpillJob, SpillRow, Spilled};

pub(crate) struct TxnBuffer {
    pub branch: BranchId,
    trees: FxHashMap<TreeRef, TreeWrites>,
    shapes: Vec<(CommandId, ShapeChange)>,
    /// Bytes of rows in memory, about...
    spillable: usize,
    /// ...and of the entries that end rows, which the rows they end may replace...
    ends: usize,
    /// ...but for so many that could not go when it was last tried.
    ends_kept: usize,
    running: Option<Running>,
}

#[derive(Default)]
pub(crate) struct TreeWrites {
    entries: Vec<Entry>,
    keys: Keys,
    private: Vec<Private>,
    /// The highest key in `private`.
    private_highest: Bytes,
    doomed: Vec<Doomed>,
    /// Every key of `entries`, once somebody has read them in order.
    ordered: Option<BTreeSet<Bytes>>,
}

/// Some of a transaction's own rows of a range, in its order.
pub(crate) struct OwnRange {
    pub rows: Vec<(Bytes, Bytes, SchemaVersion)>,
    /// The last key looked at.
    pub last: Option<Bytes>,
    pub done: bool,
}

struct Entry {
    key: Bytes,
    image: Image,
    schema: SchemaVersion,
    command: CommandId,
    superseded: CommandId,
    older: Option<u32>,
    base: Base,
}

/// What a write made of a key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Image {
    Row(Bytes),
    /// The row is in a private segment.
    Private(Position),
    Deleted,
}

/// What the transaction's writes of a key stand on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Base {
    /// No committed row.
    Nothing,
    /// No committed row, but one whose delete was not yet visible: statements may still see it and must not.
    Deleted,
    /// A committed row, last seen here.
    Committed(RowHint),
    /// A row of its own, in a private segment.
    Spilled(Position),
}

enum ShapeChange {
    Define(TreeDescriptorRef),
    Drop(TreeRef),
}

/// What a transaction itself has made of a key.
pub(crate) enum Own<'a> {
    Untouched,
    Put {
        row: &'a Bytes,
        schema: SchemaVersion,
    },
    /// In a private segment.
    Private {
        segment: &'a Arc<Segment>,
        row: u32,
    },
    Deleted,
}

/// A transaction's own rows of a tree as one statement sees them, and the committed rows they hide.
#[derive(Default)]
pub(crate) struct Overlay {
    pub rows: Vec<(Bytes, Bytes, SchemaVersion)>,
    pub hidden: FxHashMap<Bytes, RowHint>,
}

pub(crate) const NEVER: CommandId = CommandId(u32::MAX);

impl TxnBuffer {
    pub fn new(branch: BranchId) -> TxnBuffer {
        TxnBuffer {
            branch,
            trees: FxHashMap::default(),
            shapes: Vec::new(),
            spillable: 0,
            ends: 0,
            ends_kept: 0,
            running: None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty() && self.trees.values().all(TreeWrites::is_empty)
    }

    /// `just_deleted` tells whether a key's committed row has a delete that is not visible yet.
    pub fn insert(
        &mut self,
        command: CommandId,
        descriptor: &TreeDescriptorRef,
        rows: Vec<KeyedRow>,
        just_deleted: &dyn Fn(&[u8]) -> Result<bool>,
    ) -> Result<()> {
        let tree = self.trees.entry(descriptor.tree).or_default();
        for KeyedRow { key, row } in rows {
            self.spillable += entry_bytes(&key, &row);
            let base = match tree.newest(&key) {
                None if just_deleted(&key)? => Base::Deleted,
                None => Base::Nothing,
                Some(entry) if entry.image == Image::Deleted => entry.base,
                Some(_) => return Err(Error::internal("a transaction inserts a key twice")),
            };
            tree.append(key, Image::Row(row), descriptor.version, command, base);
        }
        Ok(())
    }

    pub fn write(&mut self, command: CommandId, batch: WriteBatch) -> Result<()> {
        let tree = self.trees.entry(batch.descriptor.tree).or_default();
        let version = batch.descriptor.version;
        let updates = batch.updates.into_iter().map(|(new, hint)| (new.key, Image::Row(new.row), hint));
        let deletes = batch.deletes.into_iter().map(|(key, hint)| (key, Image::Deleted, hint));
        for (key, image, hint) in updates.chain(deletes) {
            match &image {
                Image::Row(row) => self.spillable += entry_bytes(&key, row),
                _ => self.ends += entry_bytes(&key, &Bytes::new()),
            }
            let base = match tree.newest(&key) {
                None => match tree.private_row(&key, NEVER)? {
                    Some((segment, row)) => Base::Spilled(Position { segment: segment.meta.id, row }),
                    None => Base::Committed(hint),
                },
                Some(entry) if entry.image != Image::Deleted => entry.base,
                Some(_) => return Err(Error::internal("a transaction writes a row it has deleted")),
            };
            tree.append(key, image, version, command, base);
        }
        Ok(())
    }

    /// The transaction sees its own shapes at once, whatever the command: a statement is planned after those before it.
    pub fn define(&mut self, command: CommandId, descriptor: TreeDescriptorRef) {
        self.shapes.push((command, ShapeChange::Define(descriptor)));
    }

    pub fn drop_tree(&mut self, command: CommandId, tree: TreeRef) {
        self.shapes.push((command, ShapeChange::Drop(tree)));
    }

    /// The newest descriptor the transaction itself gave a tree; `Some(None)` when it dropped it.
    pub fn descriptor(&self, tree: TreeRef) -> Option<Option<&TreeDescriptorRef>> {
        self.shapes.iter().rev().find_map(|(_, change)| match change {
            ShapeChange::Define(descriptor) if descriptor.tree == tree => Some(Some(descriptor)),
            ShapeChange::Drop(dropped) if *dropped == tree => Some(None),
            _ => None,
        })
    }

    /// Every shape the transaction gave a tree, oldest first.
    pub fn descriptors(&self, tree: TreeRef) -> impl Iterator<Item = &TreeDescriptorRef> {
        self.shapes.iter().filter_map(move |(_, change)| match change {
            ShapeChange::Define(descriptor) if descriptor.tree == tree => Some(descriptor),
            _ => None,
        })
    }

    /// What commands before `before` made of a key. May read a private segment.
    pub fn own(&self, tree: TreeRef, key: &[u8], before: CommandId) -> Result<Own<'_>> {
        let Some(tree) = self.trees.get(&tree) else { return Ok(Own::Untouched) };
        let mut next = tree.keys.find(&tree.entries, key);
        while let Some(entry) = next.and_then(|at| tree.entries.get(at as usize)) {
            if entry.command < before {
                return Ok(match &entry.image {
                    Image::Row(row) => Own::Put { row, schema: entry.schema },
                    Image::Deleted => Own::Deleted,
                    Image::Private(at) => Own::Private { segment: tree.private_segment(*at)?, row: at.row },
                });
            }
            next = entry.older;
        }
        Ok(match tree.private_row(key, before)? {
            Some((segment, row)) => Own::Private { segment, row },
            None if tree.is_doomed(key, before)? => Own::Deleted,
            None => Own::Untouched,
        })
    }

    /// What commands before `before` made of a tree, but for what is in private segments and for doomed rows.
    pub fn overlay(&self, tree: TreeRef, before: CommandId) -> Overlay {
        let mut overlay = Overlay::default();
        let Some(tree) = self.trees.get(&tree) else { return overlay };
        for entry in tree.entries.iter().filter(|entry| entry.command < before) {
            match entry.base {
                _ if entry.older.is_some() => {}
                Base::Nothing | Base::Spilled(_) => {}
                Base::Deleted => _ = overlay.hidden.insert(entry.key.clone(), RowHint::default()),
                Base::Committed(hint) => _ = overlay.hidden.insert(entry.key.clone(), hint),
            }
            if let (Image::Row(row), false) = (&entry.image, entry.superseded < before) {
                overlay.rows.push((entry.key.clone(), row.clone(), entry.schema));
            }
        }
        overlay
    }

    pub fn has_tree(&self, tree: TreeRef) -> bool {
        self.trees.contains_key(&tree)
    }

    /// Rows that commands before `before` put into a range, without those in private segments: at most `count` keys after `last`
    /// are looked at.
    pub fn own_range(
        &mut self,
        tree: TreeRef,
        before: CommandId,
        last: Option<Bytes>,
        range: &KeyRange,
        count: usize,
    ) -> Result<OwnRange> {
        let (mut from, mut to) = (Bound::Included(range.lower.as_ref()), Bound::Unbounded);
        if let Some(upper) = &range.upper {
            to = Bound::Excluded(upper.as_ref());
        }
        match &last {
            Some(last) if range.reverse => to = Bound::Excluded(last.as_ref()),
            Some(last) => from = Bound::Excluded(last.as_ref()),
            None => {}
        }
        let nothing = OwnRange { rows: Vec::new(), last: None, done: true };
        let Some(writes) = self.trees.get_mut(&tree).filter(|_| !crate::memtable::is_empty(from, to)) else {
            return Ok(nothing);
        };
        let ordered =
            writes.ordered.get_or_insert_with(|| writes.entries.iter().map(|entry| entry.key.clone()).collect());
        let mut keys = ordered.range::<[u8], _>((from, to));
        let mut some = Vec::new();
        let mut done = false;
        while some.len() < count && !done {
            match if range.reverse { keys.next_back() } else { keys.next() } {
                Some(key) => some.push(key.clone()),
                None => done = true,
            }
        }
        let last = some.last().cloned();
        let mut rows = Vec::with_capacity(some.len());
        for key in some {
            if let Own::Put { row, schema } = self.own(tree, &key, before)? {
                let row = row.clone();
                rows.push((key, row, schema));
            }
        }
        Ok(OwnRange { rows, last, done })
    }

    /// What the commit has to do, net, in the order it was first asked for; without [`TxnBuffer::deletes`] if those are many.
    pub fn net_ops(&self, with_deletes: bool) -> Vec<LogOp> {
        let mut ops: Vec<LogOp> = self.shapes.iter().map(|(_, change)| change.op()).collect();
        ops.extend(self.load_op());
        for (tree, writes) in self.kept_trees() {
            let entries = writes.entries.iter().filter(|entry| entry.superseded == NEVER);
            let wanted = entries.filter(|entry| with_deletes || entry.deletes().is_none());
            ops.extend(wanted.filter_map(|entry| entry.op(tree)));
        }
        ops
    }

    /// The committed rows whose deletion is all that the commit has to do about their keys, and where they were last seen.
    pub fn deletes(&self) -> impl Iterator<Item = (TreeRef, &Bytes, Position)> {
        self.kept_trees().into_iter().flat_map(|(tree, writes)| {
            let entries = writes.entries.iter().filter(|entry| entry.superseded == NEVER);
            entries.filter_map(move |entry| Some((tree, &entry.key, entry.deletes()?)))
        })
    }

    /// Whether [`TxnBuffer::deletes`] are more than so many.
    pub fn deletes_more_than(&self, count: usize) -> bool {
        let entries: usize = self.trees.values().map(|writes| writes.entries.len()).sum();
        entries > count && self.deletes().nth(count).is_some()
    }

    /// The trees written to that the transaction has not dropped again, in order.
    fn kept_trees(&self) -> Vec<(TreeRef, &TreeWrites)> {
        let kept = self.trees.iter().filter(|(tree, _)| !matches!(self.descriptor(**tree), Some(None)));
        let mut trees: Vec<_> = kept.map(|(&tree, writes)| (tree, writes)).collect();
        trees.sort_by_key(|(tree, _)| *tree);
        trees
    }

    /// Bytes it holds in memory, about.
    pub fn held_bytes(&self) -> usize {
        self.spillable + self.ends + self.trees.values().map(TreeWrites::position_bytes).sum::<usize>()
    }
}

fn entry_bytes(key: &Bytes, row: &Bytes) -> usize {
    key.len() + row.len() + size_of::<Entry>() + 64
}

impl TreeWrites {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.private.is_empty() && self.doomed.is_empty()
    }

    /// Takes entries out and changes others, as `stays` says; what stays keeps its order. None that another is the older of may go.
    fn retain(&mut self, mut stays: impl FnMut(u32, &mut Entry) -> bool) {
        let entries = std::mem::take(&mut self.entries);
        self.keys = Keys::default();
        // Built again when somebody asks.
        self.ordered = None;
        let mut moved: FxHashMap<u32, u32> = FxHashMap::default();
        for (at, mut entry) in entries.into_iter().enumerate() {
            if !stays(at as u32, &mut entry) {
                debug_assert!(entry.older.is_none() && entry.superseded == NEVER, "nothing refers to what goes");
                continue;
            }
            let to = self.entries.len() as u32;
            if entry.superseded != NEVER {
                moved.insert(at as u32, to);
            }
            entry.older = entry.older.and_then(|older| moved.get(&older).copied());
            self.keys.append(&self.entries, &entry.key);
            self.entries.push(entry);
        }
    }

    fn newest(&self, key: &[u8]) -> Option<&Entry> {
        self.keys.find(&self.entries, key).and_then(|at| self.entries.get(at as usize))
    }

    fn append(&mut self, key: Bytes, image: Image, schema: SchemaVersion, command: CommandId, base: Base) {
        assert!(u32::try_from(self.entries.len()).is_ok(), "a transaction spills long before");
        let older = self.keys.append(&self.entries, &key);
        if let Some(older) = older.and_then(|older| self.entries.get_mut(older as usize)) {
            assert!(older.command <= command && older.superseded == NEVER, "commands follow each other");
            older.superseded = command;
        }
        if let Some(ordered) = &mut self.ordered {
            ordered.insert(key.clone());
        }
        self.entries.push(Entry { key, image, schema, command, superseded: NEVER, older, base });
    }
}

impl Entry {
    /// Where the committed row was last seen whose deletion is all there is to do. A new row, if there is one, comes with its private
    /// segment.
    fn deletes(&self) -> Option<Position> {
        match (self.base, &self.image) {
            (Base::Committed(hint), Image::Deleted | Image::Private(_)) => Some(Position::from(hint)),
            _ => None,
        }
    }

    fn op(&self, tree: TreeRef) -> Option<LogOp> {
        let (key, schema) = (self.key.clone(), self.schema);
        let stands_on = match self.base {
            Base::Committed(hint) => Some(Position::from(hint)),
            Base::Nothing | Base::Deleted | Base::Spilled(_) => None,
        };
        match (stands_on, self.image.clone()) {
            (None, Image::Row(row)) => Some(LogOp::Insert { tree, schema, key, row }),
            (Some(old), Image::Row(row)) => Some(LogOp::Update { tree, schema, key, row, old }),
            (Some(old), Image::Deleted | Image::Private(_)) => Some(LogOp::Delete { tree, key, old }),
            (None, Image::Deleted | Image::Private(_)) => None,
        }
    }
}

impl ShapeChange {
    fn op(&self) -> LogOp {
        match self {
            ShapeChange::Define(descriptor) => LogOp::Define(descriptor.clone()),
            ShapeChange::Drop(tree) => LogOp::Drop(*tree),
        }
    }
}

impl From<RowHint> for Position {
    fn from(hint: RowHint) -> Position {
        Position { segment: hint.segment, row: hint.row }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use heliosdb_contracts::{TreeDescriptor, TreeKey};
    use heliosdb_types::{DatabaseId, TreeId};

    use super::*;

    fn descriptor() -> TreeDescriptorRef {
        let tree = TreeRef::new(DatabaseId(1), TreeId(1));
        Arc::new(TreeDescriptor { tree, version: SchemaVersion(1), columns: vec![], key: TreeKey::RowId, sort: None })
    }

    fn keyed(key: &'static str, row: &'static str) -> KeyedRow {
        KeyedRow { key: Bytes::from_static(key.as_bytes()), row: Bytes::from_static(row.as_bytes()) }
    }

    #[test]
    fn a_command_sees_earlier_commands_only_and_net_effects_are_logged() {
        let (descriptor, mut buffer) = (descriptor(), TxnBuffer::new(BranchId(0)));
        let tree = descriptor.tree;
        let batch = |updates, deletes| WriteBatch { descriptor: descriptor.clone(), updates, deletes };
        let hint = RowHint::default();
        let never = |_: &[u8]| Ok(false);
        buffer.insert(CommandId(0), &descriptor, vec![keyed("new", "1"), keyed("fleeting", "1")], &never).unwrap();
        buffer.write(CommandId(1), batch(vec![(keyed("old", "2"), hint)], vec![])).unwrap();
        buffer.write(CommandId(2), batch(vec![(keyed("new", "3"), hint)], vec![("fleeting".into(), hint)])).unwrap();
        buffer.write(CommandId(3), batch(vec![], vec![("old".into(), hint)])).unwrap();
        buffer.insert(CommandId(4), &descriptor, vec![keyed("old", "5")], &never).unwrap();
        let own = |key: &str, before| match buffer.own(tree, key.as_bytes(), CommandId(before)).unwrap() {
            Own::Untouched => "untouched".to_owned(),
            Own::Deleted => "deleted".to_owned(),
            Own::Private { .. } => "private".to_owned(),
            Own::Put { row, .. } => String::from_utf8(row.to_vec()).unwrap(),
        };
        assert_eq!((own("new", 0), own("new", 2), own("new", 3)), ("untouched".into(), "1".into(), "3".into()));
        assert_eq!((own("old", 1), own("old", 3), own("old", 4)), ("untouched".into(), "2".into(), "deleted".into()));
        assert_eq!(own("old", 5), "5");
        let overlay = buffer.overlay(tree, CommandId(4));
        let rows: Vec<_> = overlay.rows.iter().map(|row| &row.1[..]).collect();
        assert_eq!((rows, overlay.hidden.len()), (vec![&b"3"[..]], 1));
        let ops = buffer.net_ops(true);
        assert_eq!((buffer.net_ops(false), buffer.deletes().count()), (ops.clone(), 0));
        assert!(
            matches!(&ops[..], [LogOp::Insert { row: a, .. }, LogOp::Update { row: b, .. }] if a == "3" && b == "5")
        );
    }
}
