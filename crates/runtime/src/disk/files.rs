//! One simulated file: what is on the platter, what only the page cache knows, and what a crash makes of it.

use rand::Rng;
use rand::rngs::StdRng;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Resize(u64),
}

/// A file's content, volatile and durable.
#[derive(Clone, Debug, Default)]
pub(super) struct SimInode {
    /// What reads see.
    current: Vec<u8>,
    durable: Vec<u8>,
    /// What separates `durable` from `current`, oldest first.
    pending: Vec<Change>,
    /// Bits that are flipped and have not been written over since.
    flipped: Vec<(u64, u8)>,
}

impl SimInode {
    pub(super) fn len(&self) -> u64 {
        self.current.len() as u64
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let start = (offset.min(self.len())) as usize;
        let count = buf.len().min(self.current.len() - start);
        buf[..count].copy_from_slice(&self.current[start..start + count]);
        count
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        self.change(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn resize(&mut self, len: u64) {
        self.change(Change::Resize(len));
    }

    fn change(&mut self, change: Change) {
        self.flipped.retain(|(offset, _)| !change.covers(*offset));
        apply(&mut self.current, &change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            apply(&mut self.durable, &change);
        }
        // After a failed sync the length, being metadata, still arrives; the bytes lost then do not.
        self.durable.resize(self.current.len(), 0);
    }

    /// A sync that failed: the kernel drops the dirty mark, so the cache goes on showing what will never be written,
    /// and a second sync succeeds without writing it (PostgreSQL's "fsyncgate").
    pub(super) fn fail_sync(&mut self, rng: &mut StdRng) {
        self.settle(rng);
    }

    /// Power loss: of each change since the last sync, all, some sectors or nothing reached the platter.
    pub(super) fn crash(&mut self, rng: &mut StdRng) {
        self.settle(rng);
        self.current = self.durable.clone();
    }

    fn settle(&mut self, rng: &mut StdRng) {
        // Half of the crashes are clean cuts, so that both the plain and the torn cases are met often.
        let torn = rng.random_bool(0.5);
        let keep = if rng.random_bool(0.3) { 1.0 } else { rng.random_range(0.0..1.0) };
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { offset, bytes } if torn => tear(&mut self.durable, offset, &bytes, keep, rng),
                change if rng.random_bool(keep) => apply(&mut self.durable, &change),
                _ => {}
            }
        }
    }

    /// Flips one bit of the platter, of the cache and of what is on its way from one to the other.
    pub(super) fn flip(&mut self, offset: u64, bit: u8) {
        let pending = self.pending.iter_mut().filter_map(|change| match change {
            Change::Write { offset: start, bytes } => bytes.get_mut(offset.checked_sub(*start)? as usize),
            Change::Resize(_) => None,
        });
        let stored = [&mut self.current, &mut self.durable].into_iter().filter_map(|all| all.get_mut(offset as usize));
        stored.chain(pending).for_each(|byte| *byte ^= 1 << (bit & 7));
        self.flipped.push((offset, bit));
    }

    /// Undoes a flip, unless the place has been written over.
    pub(super) fn flip_back(&mut self, offset: u64, bit: u8) {
        if self.flipped.contains(&(offset, bit)) {
            self.flip(offset, bit);
            self.flipped.retain(|flipped| *flipped != (offset, bit));
        }
    }
}

impl Change {
    fn covers(&self, at: u64) -> bool {
        match self {
            Change::Write { offset, bytes } => (*offset..offset + bytes.len() as u64).contains(&at),
            Change::Resize(len) => at >= *len,
        }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Resize(len) => bytes.resize(*len as usize, 0),
        Change::Write { offset, bytes: new } => {
            let (start, end) = (*offset as usize, *offset as usize + new.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(new);
        }
    }
}

/// Applies a write sector by sector, each with the chance `keep`.
fn tear(bytes: &mut Vec<u8>, offset: u64, new: &[u8], keep: f64, rng: &mut StdRng) {
    let mut done = 0;
    while done < new.len() {
        let at = offset + done as u64;
        let room = (SECTOR_BYTES - at % SECTOR_BYTES) as usize;
        let part = &new[done..(done + room).min(new.len())];
        if rng.random_bool(keep) {
            apply(bytes, &Change::Write { offset: at, bytes: part.to_vec() });
        }
        done += part.len();
    }
}
