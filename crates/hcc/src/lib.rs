//! Hybrid columnar compression: one column of one block, from Arrow array to bytes and back.
//!
//! Does: chooses an encoding from the data ([`choose`], a pure function of a sample, statistics and the data's
//! [`Temperature`]), writes self-describing bytes, opens them once with full validation, then decodes ranges, takes rows,
//! reads any single row, filters on the encoded form, and keeps the statistics that prune blocks. What several blocks of a
//! column share (symbol tables, phrases, words) is a *shared section* that the caller keeps beside them. Does not: I/O,
//! checksums, caching, async; storage does.
//!
//! Where to start: `encoded.rs` is the trait every encoding implements; `encoding/` has one file for each, which draws its
//! bytes; `choose/` decides; `view.rs` opens and reads; `encoder.rs` writes. `docs/format.md` draws the whole file.
//!
//! Invariants: bytes from disk never panic, they are `Corrupt` errors, and no allocation exceeds what the block's row count
//! and its own bytes back; equal input gives equal bytes; a filter follows SQL (NULL matches no comparison) and PostgreSQL's
//! order (NaN is largest and equals itself). May depend on: types and Arrow arrays.
//!
//! ```
//! use std::sync::Arc;
//! use arrow_array::{ArrayRef, Int32Array};
//! use heliosdb_hcc::{Bitmap, BlockView, ColumnEncoder, CompareOp, Filter, Predicate};
//! use heliosdb_types::{Datum, PhysicalType};
//!
//! let column: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None, Some(9)]));
//! let block = ColumnEncoder::new(PhysicalType::Int32, Default::default()).encode(&column).unwrap();
//! let view = BlockView::open(block.bytes.into(), PhysicalType::Int32, 3).unwrap();
//! let filter = Filter::compile(&Predicate::Compare(CompareOp::Gt, &Datum::Int32(7)), PhysicalType::Int32).unwrap();
//! let mut selection = Bitmap::all_set(3);
//! view.filter(&filter, &mut selection).unwrap();
//! assert_eq!(selection.rows(), [2]);
//! assert_eq!(&view.decode(0..3).unwrap(), &column);
//! ```

mod arrays;
mod bitmap;
mod cell;
mod choose;
mod compact;
mod decimals;
mod encoded;
mod encoder;
mod encoding;
mod filter;
mod filtering;
mod input;
mod kind;
mod layout;
mod offsets;
mod order;
mod packed;
mod patches;
mod phrases;
mod picked;
mod search;
mod shared;
mod stats;
mod symbols;
mod view;

pub use bitmap::Bitmap;
pub use cell::Cell;
pub use choose::{Candidate, Plan, Profile, Sample, Temperature, choose};
pub use encoder::{ColumnEncoder, EncodeOptions, EncodedBlock};
pub use filter::{CompareOp, Filter, Predicate};
pub use kind::{Encoding, arrow_type};
pub use picked::Picked;
pub use shared::Shared;
pub use stats::{BlockStats, collect_stats};
pub use view::BlockView;
