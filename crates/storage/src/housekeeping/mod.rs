//! Looking after a shard: checking its files, describing them, copying them while it is in use.
//!
//! Nothing here changes a shard. What belongs together is taken at one moment, under the manifest's lock and the commit
//! mutex, and held (segments by their owners, log files by a pin, delete vectors by open files) until it has been read.

mod backup;
mod check;
mod check_segment;
#[cfg(test)]
mod check_test;
mod inspect;

pub use check::check_dir;
pub use inspect::{FileVersion, Inspection, ManifestSummary, TreeSummary, inspect_dir, inspect_segment};
