//! Segments whose checksums hold and whose footers lie, for tests of whoever looks for lies.

use bytes::Bytes;
use heliosdb_types::CommitTs;

use super::format::{Place, SegmentInfo, TRAILER_BYTES, read_trailer, trailer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// A zone map's smallest value is its largest.
    ZoneMap,
    NullCount,
    /// A block's last key is a little later.
    Fence,
    /// A block's oldest row is its newest.
    Times,
    /// The Bloom filter knows no key.
    Bloom,
}

/// A file's bytes with one lie in its footer, and all checksums made to fit.
pub(crate) fn with_lie(file: &[u8], lie: Lie) -> Vec<u8> {
    let at = file.len() - TRAILER_BYTES;
    let tail: [u8; TRAILER_BYTES] = file[at..].try_into().unwrap();
    let footer = read_trailer(&tail, "test", file.len() as u64).unwrap();
    let bytes = Bytes::copy_from_slice(&file[footer.offset as usize..at]);
    let mut info = SegmentInfo::decode(&bytes, "test", footer.offset).unwrap();
    let mut out = file[..footer.offset as usize].to_vec();
    let block = &mut info.blocks[0];
    match lie {
        Lie::ZoneMap => block.chunks[0].stats.min = block.chunks[0].stats.max.clone(),
        Lie::NullCount => block.chunks[1].stats.null_count += 1,
        Lie::Fence => block.last_key = [block.last_key.as_ref(), &[0]].concat().into(),
        Lie::Times => block.min_ts = CommitTs(block.max_ts.0 + 1),
        Lie::Bloom => {
            let place = info.bloom.as_mut().unwrap();
            let filter = &mut out[place.offset as usize..][..place.len as usize];
            filter.fill(0);
            place.crc = crc32c::crc32c(filter);
        }
    }
    let encoded = info.encode();
    let place = Place { offset: out.len() as u64, len: encoded.len() as u32, crc: crc32c::crc32c(&encoded) };
    out.extend_from_slice(&encoded);
    out.extend_from_slice(&trailer(&place));
    out
}
