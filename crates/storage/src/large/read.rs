//! Reading single rows: values in place of references.

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_contracts::{
    IsolationLevel, NewestRow, RangeSink, ReadContext, RowHint, RowSink, Snapshot, TreeDescriptor, row_id_key,
};
use heliosdb_types::{
    BranchId, ColumnId, CommitTs, Datum, DatumRef, Error, PhysicalType, Result, RowLayout, RowView, SqlState, TreeRef,
    TxnId, encode_row,
};

use super::reference::{Reference, variable};
use super::{PIECE, large_places, pieces_tree};
use crate::core::Core;
use crate::txnbuf::NEVER;

/// Longest value there can be. A reference to a longer one is damaged.
const VALUE_BYTES_MAX: u64 = u32::MAX as u64;

/// A closure as a sink.
pub(super) struct Look<'a>(pub &'a mut dyn FnMut(&[DatumRef<'_>]));

impl RowSink for Look<'_> {
    fn row(&mut self, values: &[DatumRef<'_>], _: RowHint) -> Result<()> {
        (self.0)(values);
        Ok(())
    }
}

/// Tells a sink of many rows the key of one.
struct OfKey<'a, 'b> {
    key: &'a [u8],
    sink: &'a mut RangeSink<'b>,
}

impl RowSink for OfKey<'_, '_> {
    fn row(&mut self, values: &[DatumRef<'_>], hint: RowHint) -> Result<()> {
        (self.sink)(self.key, values, hint)
    }
}

/// A value of a type that may be large.
pub(super) fn datum(physical: PhysicalType, bytes: &[u8]) -> Result<DatumRef<'_>> {
    match physical {
        PhysicalType::Text => {
            let text = std::str::from_utf8(bytes);
            Ok(DatumRef::Text(text.map_err(|_| Error::corrupt("a large text is not UTF-8"))?))
        }
        _ => Ok(DatumRef::Bytes(bytes)),
    }
}

/// Hands rows on; those with references wait, as whoever reads may hold a lock.
struct Hold<'a> {
    sink: &'a mut dyn RowSink,
    places: &'a [usize],
    held: Option<(Vec<Datum>, RowHint)>,
}

impl RowSink for Hold<'_> {
    fn row(&mut self, values: &[DatumRef<'_>], hint: RowHint) -> Result<()> {
        if has_references(values, self.places) {
            self.held = Some((values.iter().map(|value| value.to_owned()).collect(), hint));
            return Ok(());
        }
        self.sink.row(values, hint)
    }
}

pub(super) fn has_references(values: &[DatumRef<'_>], places: &[usize]) -> bool {
    places.iter().filter_map(|at| values.get(*at)).any(|value| Reference::of(value).is_some())
}

impl Core {
    /// As `get`, with values in place of references.
    pub fn get_large(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool> {
        let Some(descriptor) = self.with_large(context.snapshot.branch, context.txn, tree)? else {
            return self.get(context, tree, key, projection, sink);
        };
        let places = large_places(&descriptor, projection);
        let mut hold = Hold { sink, places: &places, held: None };
        let found = self.get(context, tree, key, projection, &mut hold)?;
        if let Hold { sink, held: Some((mut values, hint)), .. } = hold {
            self.make_whole(context, tree, &places, &mut values)?;
            sink.row(&values.iter().map(Datum::as_ref).collect::<Vec<_>>(), hint)?;
        }
        Ok(found)
    }

    /// As `get_rows`, with values in place of references.
    pub fn get_rows_large(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        keys: &[&[u8]],
        projection: &[ColumnId],
        sink: &mut RangeSink<'_>,
    ) -> Result<()> {
        if self.with_large(context.snapshot.branch, context.txn, tree)?.is_none() {
            return self.get_rows(context, tree, keys, projection, sink);
        }
        for key in keys {
            self.get_large(context, tree, key, projection, &mut OfKey { key, sink: &mut *sink })?;
        }
        Ok(())
    }

    /// As `newest`, with values in place of references.
    pub fn newest_large(&self, txn: TxnId, tree: TreeRef, key: &[u8], want_row: bool) -> Result<NewestRow> {
        let mut newest = self.newest(txn, tree, key, want_row)?;
        if let NewestRow::Committed { row, descriptor, .. } = &mut newest
            && want_row
            && self.with_large(BranchId(0), Some(txn), tree)?.is_some()
        {
            self.make_row_whole(txn, descriptor, row)?;
        }
        Ok(newest)
    }

    fn make_row_whole(&self, txn: TxnId, descriptor: &TreeDescriptor, row: &mut Bytes) -> Result<()> {
        let types = descriptor.physical_types();
        let layout = RowLayout::new(&types);
        let view = RowView::new(&layout, row)?;
        let values = (0..types.len()).map(|at| view.get(at)).collect::<Result<Vec<_>>>()?;
        let ids: Vec<ColumnId> = descriptor.columns.iter().map(|column| column.id).collect();
        let places = large_places(descriptor, &ids);
        if !has_references(&values, &places) {
            return Ok(());
        }
        let mut values: Vec<Datum> = values.iter().map(|value| value.to_owned()).collect();
        self.make_whole(&self.newest_context(txn), descriptor.tree, &places, &mut values)?;
        let mut out = Vec::new();
        encode_row(&types, &values.iter().map(Datum::as_ref).collect::<Vec<_>>(), &mut out)?;
        *row = out.into();
        Ok(())
    }

    /// Puts values in place of references.
    pub(super) fn make_whole(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        places: &[usize],
        values: &mut [Datum],
    ) -> Result<()> {
        for at in places {
            let Some(value) = values.get_mut(*at) else { continue };
            let Some(reference) = Reference::of(&value.as_ref()) else { continue };
            let bytes = self.value(context, tree, reference)?;
            *value = match value {
                Datum::Text(_) => {
                    let text = String::from_utf8(bytes);
                    Datum::Text(text.map_err(|_| Error::corrupt("a large text is not UTF-8"))?)
                }
                _ => Datum::Bytes(bytes),
            };
        }
        Ok(())
    }

    /// What a reference stands for.
    pub(super) fn value(&self, context: &ReadContext, tree: TreeRef, reference: Reference) -> Result<Vec<u8>> {
        let damaged = |why: &str| {
            let Reference { first, pieces, bytes } = reference;
            Error::corrupt(format!(
                "a large value of tree {tree} ({bytes} bytes in {pieces} pieces from {first} on) {why}"
            ))
        };
        if reference.bytes > VALUE_BYTES_MAX {
            return Err(damaged("is longer than a value can be"));
        }
        let mut value = Vec::new();
        let room = value.try_reserve_exact(reference.bytes as usize);
        room.map_err(|_| {
            Error::unavailable(SqlState::OUT_OF_MEMORY, format!("no memory for a value of {} bytes", reference.bytes))
        })?;
        let pieces = pieces_tree(tree);
        for at in 0..u64::from(reference.pieces) {
            let mut sink = |values: &[DatumRef<'_>]| {
                if let Some(piece) = values.first().and_then(variable) {
                    value.extend_from_slice(piece);
                }
            };
            let key = row_id_key(reference.first.saturating_add(at));
            if !self.get(context, pieces, &key, &[PIECE], &mut Look(&mut sink))? {
                return Err(damaged("lacks a piece"));
            }
        }
        if value.len() as u64 != reference.bytes { Err(damaged("has another length")) } else { Ok(value) }
    }

    /// Reads a transaction's own rows, whatever the command, and beside them the newest of others, durable or not: for rows
    /// that are locked.
    pub fn newest_context(&self, txn: TxnId) -> ReadContext {
        let snapshot = Snapshot { ts: CommitTs(CommitTs::MAX.0 - 1), branch: BranchId(0), pin: Arc::new(()) };
        ReadContext { txn: Some(txn), command: NEVER, snapshot, isolation: IsolationLevel::ReadCommitted }
    }
}
