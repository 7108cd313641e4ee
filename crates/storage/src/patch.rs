//! Updates that leave columns as they are: the newest version's encoded form with new values in their places.
//!
//! The transaction has locked the rows, so their newest versions are what it updates, and stay so. Rows of the newest shape whose
//! values are all in them are spliced without decoding anything; the others are read column by column.

use bytes::Bytes;
use heliosdb_contracts::{KeyedRow, NewestRow, PatchBatch, RowHint, RowSink, TreeDescriptor, WriteBatch};
use heliosdb_types::{
    BranchId, CommandId, CommitTs, DatumRef, Error, PhysicalType, Result, RowLayout, RowView, SchemaVersion, TxnId,
    encode_row, splice_row,
};

use crate::core::Core;
use crate::memtable::BranchTree;
use crate::txnbuf::{NEVER, Own};

/// What a batch's patches are.
struct Patch<'a> {
    descriptor: &'a TreeDescriptor,
    columns: &'a [usize],
    layout: RowLayout,
    /// Of the whole row.
    whole: RowLayout,
}

impl<'a> Patch<'a> {
    fn new(batch: &'a PatchBatch) -> Result<Patch<'a>> {
        let physical = |at: &usize| batch.descriptor.columns.get(*at).map(|column| column.physical);
        let types = batch.columns.iter().map(physical).collect::<Option<Vec<PhysicalType>>>();
        let types = types.ok_or_else(|| Error::internal("a patch of a column that is not there"))?;
        let (descriptor, columns) = (&*batch.descriptor, &*batch.columns);
        let whole = RowLayout::new(&descriptor.physical_types());
        Ok(Patch { descriptor, columns, layout: RowLayout::new(&types), whole })
    }

    fn of(&self, base: &[u8], patch: &[u8]) -> Result<Bytes> {
        let mut out = Vec::new();
        splice_row(&self.whole, base, self.columns, &self.layout, patch, &mut out)?;
        Ok(out.into())
    }
}

/// Encodes a row that is read, with a patch's values in their places.
struct Encode<'a> {
    patch: &'a Patch<'a>,
    row: &'a [u8],
    out: Result<Vec<u8>>,
}

impl RowSink for Encode<'_> {
    fn row(&mut self, values: &[DatumRef<'_>], _: RowHint) -> Result<()> {
        let new = RowView::new(&self.patch.layout, self.row)?;
        let mut values = values.to_vec();
        for (from, to) in self.patch.columns.iter().enumerate() {
            let slot = values.get_mut(*to).ok_or_else(|| Error::internal("a patch of a column that is not there"))?;
            *slot = new.get(from)?;
        }
        let mut out = Vec::new();
        self.out = encode_row(&self.patch.descriptor.physical_types(), &values, &mut out).map(|()| out);
        Ok(())
    }
}

impl Core {
    /// Updates rows in some of their columns.
    pub fn patch_rows(&self, txn: TxnId, command: CommandId, batch: PatchBatch) -> Result<()> {
        let patch = Patch::new(&batch)?;
        let tree = patch.descriptor.tree;
        let has_large = !tree.is_system() && self.with_large(BranchId(0), Some(txn), tree)?.is_some();
        let mut updates = Vec::with_capacity(batch.rows.len());
        for (KeyedRow { key, row }, hint) in &batch.rows {
            let base = if has_large { None } else { self.base(txn, &patch, key, *hint)? };
            let row = match base {
                Some(base) => patch.of(&base, row)?,
                None => self.read_and_encode(txn, &patch, key, row)?,
            };
            updates.push((KeyedRow { key: key.clone(), row }, *hint));
        }
        let untouched = !has_large && !self.may_need_cutting(tree, batch.rows.iter().map(|(row, _)| &row.row));
        let batch = WriteBatch { descriptor: batch.descriptor.clone(), updates, deletes: Vec::new() };
        match untouched {
            // Values that stay were short enough before.
            true => self.stage_writes(txn, command, batch),
            false => self.write_large(txn, command, batch),
        }
    }

    /// The newest version of a row, if it has the shape that the patch gives it.
    fn base(&self, txn: TxnId, patch: &Patch<'_>, key: &[u8], hint: RowHint) -> Result<Option<Bytes>> {
        let tree = patch.descriptor.tree;
        let same = |schema: SchemaVersion| schema == patch.descriptor.version;
        let branch = {
            let buffer = self.txn(txn)?;
            let buffer = buffer.lock();
            match buffer.own(tree, key, NEVER)? {
                Own::Put { row, schema } => return Ok(same(schema).then(|| row.clone())),
                Own::Private { .. } => return Ok(None),
                Own::Deleted => return Err(Error::internal("a transaction updates a row it has deleted")),
                Own::Untouched => buffer.branch,
            }
        };
        if let Some(row) = self.base_at((branch, tree), patch, key, hint)? {
            return Ok(Some(row));
        }
        match self.newest_committed((branch, tree), key, true)? {
            NewestRow::Committed { row, descriptor, .. } => Ok(same(descriptor.version).then_some(row)),
            _ => Err(Error::internal("a transaction updates a row that is not there")),
        }
    }

    /// The same where the row was last seen, in a segment: it is not looked for again.
    fn base_at(&self, tree: BranchTree, patch: &Patch<'_>, key: &[u8], hint: RowHint) -> Result<Option<Bytes>> {
        let version = self.version.load();
        let Some(segment) = version.segments(tree).iter().find(|segment| segment.meta.id == hint.segment) else {
            return Ok(None);
        };
        // Not deleted, it is the newest version: there is no newer one beside one that lives.
        if segment.deletes.deleted_at(hint.row).is_some() || !segment.is_at(hint.row, key)? {
            return Ok(None);
        }
        if let Some((origin, row)) = self.row_cache.newest(tree, version.segments(tree), key)
            && origin.schema == patch.descriptor.version
        {
            return Ok(Some(Bytes::copy_from_slice(&row)));
        }
        let Ok(state) = version.tree(tree, CommitTs::MAX) else { return Ok(None) };
        let shape = state.newest();
        if shape.descriptor.version != patch.descriptor.version {
            return Ok(None);
        }
        segment.row_bytes(hint.row, shape).map(Some)
    }

    fn read_and_encode(&self, txn: TxnId, patch: &Patch<'_>, key: &[u8], row: &[u8]) -> Result<Bytes> {
        let columns: Vec<_> = patch.descriptor.columns.iter().map(|column| column.id).collect();
        let missing = Err(Error::internal("a transaction updates a row that is not there"));
        let mut encode = Encode { patch, row, out: missing };
        self.get_large(&self.newest_context(txn), patch.descriptor.tree, key, &columns, &mut encode)?;
        encode.out.map(Bytes::from)
    }
}
