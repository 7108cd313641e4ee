//! Segments: immutable, checksummed files of rows sorted by (key ascending, begin_ts descending).
//!
//! Layout: a 16-byte header; blocks of up to `block_rows` rows, each the column chunks side by side (user columns, then the hidden
//! row id and begin_ts where there are any), so that a cold row costs one read; what the blocks of a column share (symbols,
//! phrases, words); a bloom filter over keys; a footer with the descriptor, fences, chunk places and zone maps; a 32-byte trailer that says where the footer is.
//!
//! Invariants: every byte that is used was covered by a checksum that held when it was read; a row's number is its place in
//! the file; keys are stored once, as the key columns they are made of (or the row id).
//! Masks, visibility by delete vectors, branches and hints are not known here.

mod ahead;
mod bloom;
mod facts;
mod format;
#[cfg(test)]
mod lies;
mod lookup;
mod reader;
mod rows;
mod scan;
#[cfg(test)]
mod segment_test;
mod writer;

pub(crate) use bloom::FilterBits;
pub(crate) use facts::Facts;
#[cfg(test)]
pub(crate) use lies::{Lie, with_lie};
pub(crate) use reader::SegmentReader;
pub(crate) use rows::NearbyRows;
pub(crate) use scan::{BlockScan, FullBlock};
pub(crate) use writer::{CommitStamp, SegmentOptions, SegmentWriter};
