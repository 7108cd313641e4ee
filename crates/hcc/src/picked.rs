//! The selected rows of a block, as one column after another is asked for them.

use arrow_array::ArrayRef;
use heliosdb_types::Result;

use crate::compact::compact;
use crate::{Bitmap, BlockView};

/// Made once for all columns of a block.
pub enum Picked<'a> {
    All,
    /// So many that whole columns are decoded and the others dropped, as where few rows were deleted: that costs less than to ask for
    /// each.
    Most(&'a Bitmap, usize),
    Few(Vec<u32>),
}

impl Picked<'_> {
    /// `count` rows are selected.
    pub fn of(selection: &Bitmap, count: usize) -> Picked<'_> {
        if count == selection.len() {
            Picked::All
        } else if count * 2 >= selection.len() {
            Picked::Most(selection, count)
        } else {
            Picked::Few(selection.rows())
        }
    }

    /// The selected rows of one of the block's columns.
    pub fn read(&self, view: &BlockView) -> Result<ArrayRef> {
        match self {
            Picked::All => view.decode(0..view.rows()),
            Picked::Most(selection, count) => compact(&view.decode(0..view.rows())?, selection, *count),
            Picked::Few(rows) => view.take(rows),
        }
    }
}
