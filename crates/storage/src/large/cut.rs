//! Writing: values that are too long leave their rows, and pieces nobody refers to any more are deleted.

use bytes::Bytes;
use heliosdb_contracts::{KeyedRow, RowHint, TreeDescriptor, TreeDescriptorRef, WriteBatch, row_id_key};
use heliosdb_types::{
    BranchId, ColumnId, CommandId, DatumRef, PhysicalType, Result, RowLayout, RowView, TreeRef, TxnId, encode_row,
};

use super::reference::{REFERENCE_BYTES, Reference, variable};
use super::{PIECE, large_places, pieces_descriptor};
use crate::core::Core;

/// Bytes of pieces that are staged at a time.
const STAGED_BYTES: usize = 8 << 20;

/// A table's columns, as far as large values are concerned.
struct Columns<'a> {
    descriptor: &'a TreeDescriptor,
    types: Vec<PhysicalType>,
    layout: RowLayout,
    /// Positions of columns whose values may be large.
    wide: Vec<usize>,
}

impl<'a> Columns<'a> {
    fn new(descriptor: &'a TreeDescriptor) -> Columns<'a> {
        let types = descriptor.physical_types();
        let ids: Vec<ColumnId> = descriptor.columns.iter().map(|column| column.id).collect();
        Columns { descriptor, layout: RowLayout::new(&types), wide: large_places(descriptor, &ids), types }
    }
}

/// What a row version refers to, by column.
type References = Vec<(ColumnId, Reference)>;

impl Core {
    /// Inserts rows, large values out of line.
    pub fn insert_large(
        &self,
        txn: TxnId,
        command: CommandId,
        descriptor: &TreeDescriptorRef,
        mut rows: Vec<KeyedRow>,
    ) -> Result<()> {
        if self.may_need_cutting(descriptor.tree, rows.iter().map(|row| &row.row)) {
            let columns = Columns::new(descriptor);
            for row in &mut rows {
                self.cut(txn, command, &columns, row, &mut Vec::new())?;
            }
        }
        self.stage_inserts(txn, command, descriptor, rows)
    }

    /// Updates and deletes rows, large values out of line.
    pub fn write_large(&self, txn: TxnId, command: CommandId, mut batch: WriteBatch) -> Result<()> {
        let descriptor = batch.descriptor.clone();
        let tree = descriptor.tree;
        let has_large = !tree.is_system() && self.with_large(BranchId(0), Some(txn), tree)?.is_some();
        if has_large || self.may_need_cutting(tree, batch.updates.iter().map(|(row, _)| &row.row)) {
            let columns = Columns::new(&descriptor);
            let mut unused = Vec::new();
            for (row, _) in &mut batch.updates {
                let mut before = if has_large { self.references(txn, &columns, &row.key)? } else { Vec::new() };
                self.cut(txn, command, &columns, row, &mut before)?;
                unused.extend(before);
            }
            if has_large {
                for (key, _) in &batch.deletes {
                    unused.extend(self.references(txn, &columns, key)?);
                }
            }
            self.delete_pieces(txn, command, tree, &unused)?;
        }
        self.stage_writes(txn, command, batch)
    }

    /// Rows too short to hold a long value or what looks like a reference are left alone unread. The catalog's always are.
    pub fn may_need_cutting<'a>(&self, tree: TreeRef, mut rows: impl Iterator<Item = &'a Bytes>) -> bool {
        let least = self.options.value_inline_bytes.min(REFERENCE_BYTES);
        !tree.is_system() && rows.any(|row| row.len() >= least)
    }

    /// Puts references in place of a row's large values. Takes those out of `before` that stay.
    fn cut(
        &self,
        txn: TxnId,
        command: CommandId,
        columns: &Columns<'_>,
        row: &mut KeyedRow,
        before: &mut References,
    ) -> Result<()> {
        let view = RowView::new(&columns.layout, &row.row)?;
        let mut cut: Vec<(usize, Vec<u8>)> = Vec::new();
        for &at in &columns.wide {
            let value = view.get(at)?;
            let Some(bytes) = variable(&value) else { continue };
            if bytes.len() <= self.options.value_inline_bytes && Reference::decode(bytes).is_none() {
                continue;
            }
            let id = columns.descriptor.columns.get(at).map(|column| column.id);
            let known = before.iter().position(|(column, _)| Some(*column) == id);
            let reference = match known.and_then(|known| before.get(known)) {
                Some((_, reference)) if self.is_value(txn, columns.descriptor.tree, *reference, bytes)? => *reference,
                _ => {
                    cut.push((at, self.put_pieces(txn, command, columns.descriptor.tree, bytes)?.encode(&value)));
                    continue;
                }
            };
            before.retain(|(column, _)| Some(*column) != id);
            cut.push((at, reference.encode(&value)));
        }
        if cut.is_empty() {
            return Ok(());
        }
        let mut values = (0..columns.types.len()).map(|at| view.get(at)).collect::<Result<Vec<_>>>()?;
        for (at, reference) in &cut {
            if let (Some(slot), Some(physical)) = (values.get_mut(*at), columns.types.get(*at)) {
                *slot = super::read::datum(*physical, reference)?;
            }
        }
        let mut out = Vec::new();
        encode_row(&columns.types, &values, &mut out)?;
        row.row = out.into();
        Ok(())
    }

    fn put_pieces(&self, txn: TxnId, command: CommandId, tree: TreeRef, value: &[u8]) -> Result<Reference> {
        let descriptor = self.define_pieces(txn, command, tree)?;
        let size = self.options.value_piece_bytes.max(1);
        let pieces = value.len().div_ceil(size);
        let first = self.allocate_row_ids(descriptor.tree, pieces as u64)?;
        let mut rows = Vec::new();
        for (at, piece) in value.chunks(size).enumerate() {
            let mut row = Vec::with_capacity(piece.len() + 16);
            encode_row(&[PhysicalType::Bytes], &[DatumRef::Bytes(piece)], &mut row)?;
            let key = Bytes::copy_from_slice(&row_id_key(first + at as u64));
            rows.push(KeyedRow { key, row: row.into() });
            if rows.len() * size >= STAGED_BYTES {
                self.stage_inserts(txn, command, &descriptor, std::mem::take(&mut rows))?;
            }
        }
        self.stage_inserts(txn, command, &descriptor, rows)?;
        Ok(Reference { first, pieces: pieces as u32, bytes: value.len() as u64 })
    }

    fn delete_pieces(&self, txn: TxnId, command: CommandId, tree: TreeRef, unused: &References) -> Result<()> {
        if unused.is_empty() {
            return Ok(());
        }
        let pieces =
            unused.iter().flat_map(|(_, reference)| (0..u64::from(reference.pieces)).map(|at| reference.first + at));
        let deletes = pieces.map(|id| (Bytes::copy_from_slice(&row_id_key(id)), RowHint::default())).collect();
        let batch = WriteBatch { descriptor: pieces_descriptor(tree), updates: Vec::new(), deletes };
        self.stage_writes(txn, command, batch)
    }

    /// What the newest version of a row refers to.
    fn references(&self, txn: TxnId, columns: &Columns<'_>, key: &[u8]) -> Result<References> {
        let wide: Vec<ColumnId> =
            columns.wide.iter().filter_map(|at| columns.descriptor.columns.get(*at)).map(|column| column.id).collect();
        let mut found = References::new();
        let mut sink = |values: &[DatumRef<'_>]| {
            found = wide.iter().zip(values).filter_map(|(id, value)| Some((*id, Reference::of(value)?))).collect();
        };
        self.get(&self.newest_context(txn), columns.descriptor.tree, key, &wide, &mut super::read::Look(&mut sink))?;
        Ok(found)
    }

    /// Whether `value` is what a reference stands for.
    fn is_value(&self, txn: TxnId, tree: TreeRef, reference: Reference, value: &[u8]) -> Result<bool> {
        if reference.bytes != value.len() as u64 {
            return Ok(false);
        }
        let context = self.newest_context(txn);
        let mut rest = value;
        for at in 0..u64::from(reference.pieces) {
            let mut same = false;
            let mut sink = |values: &[DatumRef<'_>]| {
                if let [DatumRef::Bytes(piece)] = values
                    && let Some(after) = rest.strip_prefix(*piece)
                {
                    (rest, same) = (after, true);
                }
            };
            let key = row_id_key(reference.first + at);
            let pieces = super::pieces_tree(tree);
            if !self.get(&context, pieces, &key, &[PIECE], &mut super::read::Look(&mut sink))? || !same {
                return Ok(false);
            }
        }
        Ok(rest.is_empty())
    }
}
