//! The contract of an encoding: what an opened body can do, whatever its bytes look like.
//!
//! Read this, then any file of `encoding/`. A body holds `rows` values and knows nothing of NULL: [`crate::BlockView`]
//! keeps the validity bitmap, fills NULL slots with some value before encoding, and puts the NULLs back after decoding.
//! Writing is a plain function in the same file, since it needs no state; sizes are estimated beside it, and
//! `choose` compares them.

use std::fmt::Debug;
use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;
use heliosdb_types::{Error, Result};

use crate::Bitmap;
use crate::cell::Cell;
use crate::filter::Test;

/// An opened body.
///
/// Rows given are below the number of rows; ranges lie within it. Bodies may be damaged in ways that only show when a value
/// is decoded (compressed text that is not UTF-8): then these return `Corrupt`.
pub(crate) trait Encoded: Debug + Send + Sync {
    /// Memory beside the block's own bytes, if it is worth counting.
    fn extra_bytes(&self) -> usize {
        0
    }

    /// One value. Strings that do not lie in the block as they are get appended to `scratch`.
    fn cell<'a>(&'a self, row: usize, scratch: &mut Vec<u8>) -> Result<Cell<'a>>;

    /// A run of values as an Arrow array with these NULLs (as long as the range).
    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef>;

    /// Chosen values, in the order given.
    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef>;

    /// Drops from `selection` the rows whose value fails the test, which is a comparison: never IS NULL.
    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()>;

    /// The rows of an ascending range that hold a value; `None` where the encoding cannot tell.
    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>>;

    /// The first row of an ascending range that is not below these bytes, or the range's end; `None` where the encoding cannot
    /// tell, as those of numbers.
    fn at_least(&self, _range: Range<usize>, _bytes: &[u8]) -> Result<Option<usize>> {
        Ok(None)
    }
}

/// What is looked for in ascending rows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// An order key, see `order.rs`.
    Key(i128),
    /// Comparable bytes of a string.
    Bytes(&'a [u8]),
}

pub(crate) fn misplaced(test: &str) -> Error {
    Error::internal(format!("a test of {test} was asked of a column of another kind"))
}
