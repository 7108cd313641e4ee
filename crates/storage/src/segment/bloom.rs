//! A split-block bloom filter over keys: one cache line of eight words a probe, one bit in each word.
//!
//! After Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", and Parquet's filter of the same shape.
//! Where several segments may cover a key each that lets an absent one pass is searched in vain: those spend 12 bits a key, of
//! which about one absent key in 300 passes. They are young segments, and those merged from others that overlapped: keys come at
//! random there, and will again. Where segments hardly overlap 8 bits, one in 35, cost a probe next to nothing and save a fiftieth
//! of the file; filters are in memory for as long as their segment is open.
//!
//! Where whole numbers follow one another with hardly a gap (serial keys, loaded or appended), nearly every key between a
//! segment's first and last is there: a filter would let nearly all probes pass, and is left out.

use heliosdb_types::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

/// How much a filter tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilterBits {
    /// Few other segments cover the same keys.
    Alone = 8,
    /// Several do.
    Crowded = 12,
}

const BLOCK_BYTES: usize = 32;
/// Odd multipliers that spread the low half of the hash over the eight words.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// The hash a key is entered and looked up by.
pub(super) fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

fn masks(hash: u64) -> [u32; 8] {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

fn block_of(hash: u64, blocks: usize) -> usize {
    (((hash >> 32) * blocks as u64) >> 32) as usize
}

/// A key in so many may be missing between the first and the last, and a filter still not pay.
const GAPS_ONE_IN: u64 = 16;

/// Whether a filter would turn away too few probes to be kept. `span`: keys there could be from the first to the last.
pub(super) fn needless(keys: usize, span: Option<u64>) -> bool {
    span.is_some_and(|span| span.saturating_sub(keys as u64) <= span / GAPS_ONE_IN)
}

/// The filter's bytes for these hashes.
pub(super) fn build(hashes: &[u64], bits: FilterBits) -> Vec<u8> {
    let blocks = (hashes.len() * bits as usize).div_ceil(BLOCK_BYTES * 8).max(1);
    let mut words = vec![[0_u32; 8]; blocks];
    for hash in hashes {
        if let Some(block) = words.get_mut(block_of(*hash, blocks)) {
            for (word, mask) in block.iter_mut().zip(masks(*hash)) {
                *word |= mask;
            }
        }
    }
    words.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
}

/// A filter read back.
#[derive(Debug)]
pub(super) struct Bloom {
    blocks: Vec<[u32; 8]>,
}

impl Bloom {
    pub(super) fn read(bytes: &[u8]) -> Result<Bloom> {
        let (chunks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        if chunks.is_empty() || !rest.is_empty() {
            return Err(Error::corrupt("bloom filter has an impossible length"));
        }
        let blocks = chunks.iter().map(|chunk| {
            let (words, _) = chunk.as_chunks::<4>();
            let mut block = [0; 8];
            block.iter_mut().zip(words).for_each(|(to, from)| *to = u32::from_le_bytes(*from));
            block
        });
        Ok(Bloom { blocks: blocks.collect() })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }

    pub(super) fn may_hold(&self, hash: u64) -> bool {
        self.blocks
            .get(block_of(hash, self.blocks.len()))
            .is_none_or(|block| block.iter().zip(masks(hash)).all(|(word, mask)| word & mask != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_without_gaps_need_no_filter() {
        assert!(needless(1000, Some(1000)) && needless(1000, Some(1066)) && needless(1, Some(1)));
        assert!(!needless(1000, Some(1070)) && !needless(1000, Some(2000)) && !needless(1000, None));
        assert!(!needless(1000, Some(u64::MAX)));
    }

    #[test]
    fn holds_what_was_entered_and_little_else() {
        let hashes: Vec<u64> = (0..20_000_u64).map(|i| key_hash(&i.to_be_bytes())).collect();
        for (bits, most) in [(FilterBits::Crowded, 700), (FilterBits::Alone, 4_000)] {
            let bloom = Bloom::read(&build(&hashes, bits)).unwrap();
            assert!(hashes.iter().all(|hash| bloom.may_hold(*hash)));
            let wrong = (20_000..120_000_u64).filter(|i| bloom.may_hold(key_hash(&i.to_be_bytes()))).count();
            assert!(wrong < most, "{wrong} of 100,000 absent keys pass a filter of {bits:?} segments");
        }
    }
}
