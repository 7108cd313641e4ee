//! The order in which a scan reads its pieces where an ORDER BY with a LIMIT waits for them: what may hold the first rows
//! comes first, so that most of the rest need not be read.

use std::ops::Range;

use heliosdb_contracts::FirstBy;
use heliosdb_types::{Datum, DatumRef, compare};

use super::scan::Work;
use crate::shape::TreeState;

/// The best that a piece may hold.
enum Best {
    /// A NULL where they come first, or what nobody knows.
    Unknown,
    Value(Datum),
    /// NULLs that come last, nothing, or rows in memory: few, and better read with a bound.
    Last,
}

/// Pieces by place, block by block; those as good as each other stay in their order.
pub(super) fn by_best(work: &[Work], state: &TreeState, first: FirstBy) -> Vec<(usize, Range<usize>)> {
    let mut pieces = Vec::with_capacity(work.len());
    for (at, work) in work.iter().enumerate() {
        match work {
            Work::Chunk(..) | Work::Own(..) => pieces.push((Best::Last, at, 0..0)),
            Work::Blocks { blocks, .. } => {
                pieces.extend(blocks.clone().map(|block| (best(work, block, state, first), at, block..block + 1)));
            }
        }
    }
    pieces.sort_by(|(a, ..), (b, ..)| match (a, b) {
        (Best::Value(a), Best::Value(b)) => {
            let order = compare(a.as_ref(), b.as_ref());
            if first.descending { order.reverse() } else { order }
        }
        (a, b) => rank(a).cmp(&rank(b)),
    });
    pieces.into_iter().map(|(_, at, blocks)| (at, blocks)).collect()
}

fn rank(best: &Best) -> u8 {
    match best {
        Best::Unknown => 0,
        Best::Value(_) => 1,
        Best::Last => 2,
    }
}

fn best(work: &Work, block: usize, state: &TreeState, first: FirstBy) -> Best {
    let Work::Blocks { segment, .. } = work else { return Best::Last };
    let Some(stats) = segment.reader.block_stats(block, first.column) else {
        // A younger column: every row has the value that old ones have.
        let descriptor = &state.newest().descriptor;
        let missing = descriptor.column(first.column).and_then(|column| column.missing.clone());
        return match missing {
            Some(value) if value.as_ref() != DatumRef::Null => Best::Value(value),
            _ if first.nulls_first => Best::Unknown,
            _ => Best::Last,
        };
    };
    if stats.null_count > 0 && first.nulls_first {
        return Best::Unknown;
    }
    if stats.null_count >= stats.rows {
        return Best::Last;
    }
    let end = if first.descending { &stats.max } else { &stats.min };
    end.clone().map_or(Best::Unknown, Best::Value)
}
