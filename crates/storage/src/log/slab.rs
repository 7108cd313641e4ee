//! Where a commit's record, and with it its rows in memory, lies: behind those of the same thread's earlier commits, in large pieces.
//! An allocator that is given a million small pieces back at once, when a memtable is forgotten, makes everybody wait for seconds.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// A piece lasts for some fifty commits of a few rows, and is freed with the last of its rows.
const SLAB_BYTES: usize = 256 << 10;

#[derive(Default)]
struct Slab {
    record: Vec<u8>,
    room: BytesMut,
}

thread_local! {
    static SLAB: RefCell<Slab> = RefCell::default();
}

/// What `write` writes.
pub(super) fn keep(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    SLAB.with_borrow_mut(|Slab { record, room }| {
        record.clear();
        write(record);
        if record.len() > SLAB_BYTES / 4 {
            // Room for it would be left over of every slab.
            return Bytes::from(std::mem::take(record));
        }
        if room.capacity() < record.len() {
            *room = BytesMut::with_capacity(SLAB_BYTES);
        }
        room.extend_from_slice(record);
        room.split().freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stay_what_they_were() {
        let write = |n: usize| move |out: &mut Vec<u8>| out.extend((0..n * 977 % 70_000).map(|at| (at * n) as u8));
        let kept: Vec<Bytes> = (0..300).map(|n| keep(write(n))).collect();
        let mut expected = Vec::new();
        for (n, kept) in kept.iter().enumerate() {
            expected.clear();
            write(n)(&mut expected);
            assert_eq!(kept, &expected, "record {n}");
        }
        let side_by_side = |pair: &[Bytes]| pair[0].as_ptr_range().end == pair[1].as_ptr();
        assert!(kept.windows(2).filter(|pair| side_by_side(pair)).count() > 100);
    }
}
