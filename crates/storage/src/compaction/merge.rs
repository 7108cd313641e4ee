//! Rows of several segments in one order: by key ascending, newest first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_select::interleave::interleave;
use bytes::Bytes;
use heliosdb_runtime::IoRate;
use heliosdb_types::{CommitTs, Error, Result};

use crate::dead_rows::DeadRows;
use crate::read::ColumnBuilder;
use crate::segments::Segment;
use crate::shape::TreeState;

/// A segment being merged, one decoded block at a time.
pub(super) struct Input {
    segment: Arc<Segment>,
    /// Rows to leave out.
    dead: Option<Arc<DeadRows>>,
    state: Arc<TreeState>,
    /// Blocks are read at this rate.
    rate: Arc<IoRate>,
    next_block: usize,
    block: Option<Arc<Decoded>>,
    at: usize,
}

/// A block in the tree's newest shape.
struct Decoded {
    columns: Vec<ArrayRef>,
    keys: Vec<Bytes>,
    begin: Vec<CommitTs>,
    first_row: u32,
}

/// A run of merged rows.
pub(super) struct Merged {
    pub columns: Vec<ArrayRef>,
    pub keys: Vec<Bytes>,
    pub begin: Vec<CommitTs>,
    /// Which input and which of its rows each came from.
    pub origins: Vec<(u32, u32)>,
}

pub(super) struct Merge {
    inputs: Vec<Input>,
    heads: BinaryHeap<Head>,
    batch_rows: usize,
}

/// The next row of an input. The heap gives the greatest, so the order is reversed.
#[derive(PartialEq, Eq)]
struct Head {
    key: Bytes,
    begin: CommitTs,
    input: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Head) -> Ordering {
        (&other.key, self.begin, other.input).cmp(&(&self.key, other.begin, self.input))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Input {
    pub fn new(segment: Arc<Segment>, dead: Option<Arc<DeadRows>>, state: Arc<TreeState>, rate: Arc<IoRate>) -> Input {
        Input { segment, dead, state, rate, next_block: 0, block: None, at: 0 }
    }

    /// Moves to the next row that stays, decoding as needed; `None` at the end.
    fn settle(&mut self) -> Result<Option<(Bytes, CommitTs)>> {
        loop {
            let Some(block) = &self.block else {
                if self.next_block >= self.segment.reader.info().block_count() {
                    return Ok(None);
                }
                self.block = Some(Arc::new(self.decode(self.next_block)?));
                (self.next_block, self.at) = (self.next_block + 1, 0);
                continue;
            };
            let Some(key) = block.keys.get(self.at) else {
                self.block = None;
                continue;
            };
            if self.dead.as_ref().is_some_and(|dead| dead.contains(block.first_row + self.at as u32)) {
                self.at += 1;
                continue;
            }
            let begin = block.begin.get(self.at).copied().or(self.segment.meta.stamp);
            let begin = begin.ok_or_else(|| Error::internal("a merged row has no commit timestamp"))?;
            return Ok(Some((key.clone(), begin)));
        }
    }

    fn decode(&self, block: usize) -> Result<Decoded> {
        self.rate.spend(self.segment.reader.block_bytes(block));
        let full = self.segment.reader.read_block(block)?;
        let from = &self.segment.reader.info().descriptor;
        let rows = full.keys.len();
        let mut columns = Vec::with_capacity(self.state.newest().descriptor.columns.len());
        for column in &self.state.newest().descriptor.columns {
            let stored = from.position(column.id).and_then(|position| full.columns.get(position)).cloned();
            columns.push(match stored {
                Some(stored) => stored,
                None => {
                    let missing = self.state.missing(column.id);
                    let mut builder = ColumnBuilder::new(column.physical, rows);
                    (0..rows).try_for_each(|_| builder.append(missing.as_ref()))?;
                    builder.finish()
                }
            });
        }
        // One allocation for the block's keys; each is a slice of it.
        let mut joined = Vec::with_capacity(full.keys.iter().map(<[u8]>::len).sum());
        full.keys.iter().for_each(|key| joined.extend_from_slice(key));
        let joined = Bytes::from(joined);
        let mut start = 0;
        let keys = full.keys.iter().map(|key| {
            start += key.len();
            joined.slice(start - key.len()..start)
        });
        Ok(Decoded { columns, keys: keys.collect(), begin: full.begin, first_row: full.first_row })
    }
}

impl Merge {
    pub fn new(mut inputs: Vec<Input>, batch_rows: usize) -> Result<Merge> {
        let mut heads = BinaryHeap::with_capacity(inputs.len());
        for (input, rows) in inputs.iter_mut().enumerate() {
            if let Some((key, begin)) = rows.settle()? {
                heads.push(Head { key, begin, input });
            }
        }
        Ok(Merge { inputs, heads, batch_rows })
    }

    /// The next run of rows; `None` when there are no more. All versions of a key are in one run, so that segments cut
    /// between runs do not overlap.
    pub fn next(&mut self) -> Result<Option<Merged>> {
        let mut blocks: Vec<Arc<Decoded>> = Vec::new();
        // For each input, the block of `blocks` it reads now.
        let mut current: Vec<Option<usize>> = vec![None; self.inputs.len()];
        let mut picks: Vec<(usize, usize)> = Vec::with_capacity(self.batch_rows);
        let mut merged = Merged { columns: Vec::new(), keys: Vec::new(), begin: Vec::new(), origins: Vec::new() };
        while picks.len() < self.batch_rows || self.heads.peek().map(|head| &head.key) == merged.keys.last() {
            let Some(Head { key, begin, input: which }) = self.heads.pop() else { break };
            let (Some(input), Some(slot)) = (self.inputs.get_mut(which), current.get_mut(which)) else { break };
            let block = input.block.clone().ok_or_else(|| Error::internal("a head has its block"))?;
            let at = match *slot {
                Some(at) if blocks.get(at).is_some_and(|known| Arc::ptr_eq(known, &block)) => at,
                _ => {
                    blocks.push(block.clone());
                    *slot = Some(blocks.len() - 1);
                    blocks.len() - 1
                }
            };
            picks.push((at, input.at));
            merged.origins.push((which as u32, block.first_row + input.at as u32));
            merged.keys.push(key);
            merged.begin.push(begin);
            input.at += 1;
            if let Some((key, begin)) = input.settle()? {
                self.heads.push(Head { key, begin, input: which });
            }
        }
        if picks.is_empty() {
            return Ok(None);
        }
        let columns = blocks.first().map_or(0, |block| block.columns.len());
        for column in 0..columns {
            let parts: Vec<&dyn Array> =
                blocks.iter().filter_map(|block| block.columns.get(column)).map(|part| part.as_ref()).collect();
            let joined = interleave(&parts, &picks)
                .map_err(|error| Error::internal(format!("could not merge columns: {error}")))?;
            merged.columns.push(joined);
        }
        Ok(Some(merged))
    }
}
