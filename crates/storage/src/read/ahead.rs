//! Reading ahead: while a piece of a scan is decoded, what the next ones need is on its way from disk.
//!
//! Nothing is read into memory of ours. Chunks are announced to the system, which fetches many at once into its page cache and
//! may drop them again, so a scan's budget does not know of it; [`AHEAD_BYTES`] bound what a scan that ends early has fetched in
//! vain. A scan whose chunks are cached announces nothing: the first piece tells, and later a read that went to disk.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::scan::{BLOCKS_PER_PIECE, Plan, Work};
use crate::segments::Segment;

/// Announced and not yet read, at most about: what a disk gives in ten milliseconds.
const AHEAD_BYTES: u64 = 8 << 20;

/// Pieces announced by who takes one: several, to get ahead; few, as announcing takes time, and the scan may end soon.
const PIECES_AT_ONCE: usize = 4;

/// A scan that is to give fewer rows than a piece has is not read ahead for.
const LIMIT_MIN: usize = BLOCKS_PER_PIECE * 8192;

/// Blocks looked at before the share of them that had rows left counts.
const TRIAL_BLOCKS: u64 = 16;

/// How far a scan's partitions, together, have announced.
#[derive(Default)]
pub(super) struct Ahead {
    announced: Mutex<Announced>,
    /// Blocks whose filters left something.
    had_rows: AtomicU64,
}

#[derive(Default)]
struct Announced {
    /// All pieces before this have been.
    next: usize,
    /// Those not yet taken: which, and their bytes.
    waiting: VecDeque<(usize, u64)>,
    bytes: u64,
}

impl Announced {
    /// A piece is being read, and with it or before it all that come before it.
    fn taken(&mut self, piece: usize) {
        while let Some((_, bytes)) = self.waiting.pop_front_if(|(waiting, _)| *waiting <= piece) {
            self.bytes -= bytes;
        }
        self.next = self.next.max(piece);
    }

    fn add(&mut self, bytes: u64) {
        self.waiting.push_back((self.next, bytes));
        self.bytes += bytes;
        self.next += 1;
    }
}

impl Ahead {
    pub(super) fn had_rows(&self) {
        self.had_rows.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether filters leave something of most of the blocks looked at, so that their values are read too.
    fn values_are_read(&self, looked_at: u64) -> bool {
        looked_at < TRIAL_BLOCKS || self.had_rows.load(Ordering::Relaxed) * 2 >= looked_at
    }
}

impl Plan {
    /// Announces what is needed next, by who is about to read the piece `taken`. Returns without waiting for the disk.
    pub(super) fn read_ahead(&self, taken: usize) {
        let cold = self.metrics.bytes_from_disk.load(Ordering::Relaxed) > 0;
        if (!cold && taken > 0) || self.limit.is_some_and(|rows| rows < LIMIT_MIN) {
            return;
        }
        // Somebody else is announcing.
        let Some(mut announced) = self.ahead.announced.try_lock() else { return };
        announced.taken(taken);
        for _ in 0..PIECES_AT_ONCE {
            if announced.bytes >= AHEAD_BYTES {
                break;
            }
            let Some((at, work, part)) = self.piece(announced.next) else { break };
            let bytes = match work {
                Work::Blocks { segment, blocks, .. } => self.announce(segment, at, blocks, part.unwrap_or(blocks)),
                Work::Chunk(..) | Work::Own(..) => 0,
            };
            announced.add(bytes);
            if !cold && bytes == 0 {
                break;
            }
        }
    }

    /// Announces `part` of a piece's blocks; the bytes of it that are not cached.
    fn announce(&self, segment: &Segment, at: usize, blocks: &Range<usize>, part: &Range<usize>) -> u64 {
        let bound = self.bound.read().clone();
        let scan = self.block_scan(bound.as_deref());
        let reader = &segment.reader;
        let looked_at = self.metrics.blocks_read.load(Ordering::Relaxed);
        let values = if self.ahead.values_are_read(looked_at) { reader.value_chunks(&scan) } else { Vec::new() };
        let wanted = part.clone().filter(|block| {
            self.reads(at * BLOCKS_PER_PIECE + (block - blocks.start)) && reader.block_may_match(*block, &scan)
        });
        reader.announce(
            wanted.flat_map(|block| {
                reader.likely_chunks(block, &scan, &values).into_iter().map(move |chunk| (block, chunk))
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_are_read_make_room() {
        let mut announced = Announced::default();
        announced.taken(0);
        announced.add(100);
        announced.add(10);
        announced.add(1);
        assert_eq!((announced.next, announced.bytes), (3, 111));
        announced.taken(1);
        assert_eq!((announced.next, announced.bytes), (3, 1));
        announced.taken(0);
        assert_eq!((announced.next, announced.bytes), (3, 1));
        announced.taken(7);
        assert_eq!((announced.next, announced.bytes), (7, 0));
    }

    #[test]
    fn values_are_announced_until_filters_leave_few_blocks() {
        let ahead = Ahead::default();
        assert!(ahead.values_are_read(0) && ahead.values_are_read(TRIAL_BLOCKS - 1));
        assert!(!ahead.values_are_read(TRIAL_BLOCKS));
        (0..TRIAL_BLOCKS / 2).for_each(|_| ahead.had_rows());
        assert!(ahead.values_are_read(TRIAL_BLOCKS) && !ahead.values_are_read(TRIAL_BLOCKS + 1));
    }
}
