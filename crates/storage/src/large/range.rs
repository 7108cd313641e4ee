//! Reading rows in key order: values in place of references.

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_contracts::{RangeCursor, RangeRequest, RangeSink, ReadContext, RowHint};
use heliosdb_types::{Datum, DatumRef, Result, TreeRef};

use super::large_places;
use super::read::has_references;
use crate::core::Core;
use crate::read;

struct Cursor {
    rows: Box<dyn RangeCursor>,
    core: Arc<Core>,
    context: ReadContext,
    tree: TreeRef,
    /// Where references may be.
    places: Vec<usize>,
}

pub(crate) fn open_range(
    core: &Arc<Core>,
    context: &ReadContext,
    request: &RangeRequest,
) -> Result<Box<dyn RangeCursor>> {
    let rows = read::open_range(core, context, request)?;
    let Some(descriptor) = core.with_large(context.snapshot.branch, context.txn, request.tree)? else {
        return Ok(rows);
    };
    let places = large_places(&descriptor, &request.projection);
    Ok(Box::new(Cursor { rows, core: core.clone(), context: context.clone(), tree: request.tree, places }))
}

impl RangeCursor for Cursor {
    fn next(&mut self, sink: &mut RangeSink<'_>) -> Result<bool> {
        let mut held: Option<(Bytes, Vec<Datum>, RowHint)> = None;
        let found = self.rows.next(&mut |key, values, hint| {
            if has_references(values, &self.places) {
                let values = values.iter().map(|value| value.to_owned()).collect();
                held = Some((Bytes::copy_from_slice(key), values, hint));
                return Ok(());
            }
            sink(key, values, hint)
        })?;
        if let Some((key, mut values, hint)) = held {
            self.core.make_whole(&self.context, self.tree, &self.places, &mut values)?;
            let values: Vec<DatumRef<'_>> = values.iter().map(Datum::as_ref).collect();
            sink(&key, &values, hint)?;
        }
        Ok(found)
    }

    fn rows_ahead(&self) -> u64 {
        self.rows.rows_ahead()
    }
}
