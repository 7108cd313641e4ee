//! ORDER BY ... LIMIT over wide rows: what the order and the conditions need is read of all rows, the rest of the few that are left.
//!
//! A step above the sort reads the other columns by key, in the statement's snapshot, so it finds the rows that the scan saw. Where
//! rows of a table are sorted ([`sorted`]) the scan gives each row's reference along; where groups are sorted that have a
//! table's primary key ([`groups`]) the key's columns say which row it was.

mod groups;
mod node;
mod read;
mod sorted;

pub(super) use self::groups::read_late;
pub(super) use self::node::LateColumnsPlanner;
pub(super) use self::read::LATE_ROWS;
pub(super) use self::sorted::LATE_ROWS_RULE;

/// Larger limits keep their columns: looking rows up one by one would take long.
const LIMIT_MAX: usize = 1_000;
/// Rows below for each row of the limit from which on it pays: a look-up reads a block of each column.
const ROWS_FOR_ONE: u64 = 200;
