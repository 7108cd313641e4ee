//! From a key's hash to its first version: what point reads, uniqueness checks and updates ask. One step where a search in order
//! takes twenty, each of them a miss of the processor's caches.
//!
//! One writer at a time (the commit mutex), readers that never wait. A slot holds half of the hash and a version; whoever finds
//! one compares the key. Slots are only ever filled. A part that fills up is replaced by a larger copy; who still reads the smaller
//! one misses only what was added since, which no snapshot taken before can see.
//!
//! No search looks at more than [`PROBES`] slots, whatever the keys are: what found no place is left to the ordered index. The rule
//! that makes "absent" true: a version is in one of the slots its hash may be in, or all of these are taken, in every copy.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use super::chunk::VersionId;

/// Growing copies one part, so that no commit waits for all to be copied.
pub(super) const PARTS: usize = 16;
const SLOTS_MIN: usize = 8;
const PROBES: usize = 64;

pub(super) struct KeyHashes {
    parts: [ArcSwap<Part>; PARTS],
}

pub(super) struct Part {
    /// A power of two of them; 0 is empty, else 32 bits of the hash and the version's number plus one.
    slots: Box<[AtomicU64]>,
    used: AtomicU64,
    /// What found no place; in a larger copy there may be one.
    homeless: Mutex<Vec<u64>>,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hashed {
    Found(VersionId),
    Absent,
    /// Too many other keys were in the way.
    Unknown,
}

pub(crate) fn hash_of(key: &[u8]) -> u64 {
    FxBuildHasher.hash_one(key)
}

/// The part that a key of this hash is in.
pub(super) fn part_of(hash: u64) -> usize {
    // The lower half is the slot's.
    (hash >> 60) as usize % PARTS
}

fn slot_of(hash: u64, id: VersionId) -> u64 {
    (hash << 32) | (u64::from(id.0) + 1)
}

impl Part {
    fn new(slots: usize) -> Part {
        debug_assert!(slots.is_power_of_two());
        let slots = (0..slots).map(|_| AtomicU64::new(0)).collect();
        Part { slots, used: AtomicU64::new(0), homeless: Mutex::default() }
    }

    /// A copy with twice the slots.
    fn larger(&self) -> Part {
        let larger = Part::new(self.slots.len() * 2);
        let placed = self.slots.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|slot| *slot != 0);
        let homeless = self.homeless.lock();
        placed.chain(homeless.iter().copied()).for_each(|slot| _ = larger.put(slot));
        larger
    }

    /// The slots a hash may be in, in the order they are tried: its lower half says where they begin.
    fn probes(&self, hash: u64) -> impl Iterator<Item = &AtomicU64> {
        let mask = self.slots.len() - 1;
        let first = hash as u32 as usize;
        (first..first + PROBES.min(self.slots.len())).filter_map(move |at| self.slots.get(at & mask))
    }

    /// False when there is no place near enough.
    fn put(&self, slot: u64) -> bool {
        for place in self.probes(slot >> 32) {
            if place.load(Ordering::Relaxed) == 0 {
                place.store(slot, Ordering::Release);
                // Nobody else counts.
                self.used.store(self.used.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                return true;
            }
        }
        self.homeless.lock().push(slot);
        false
    }

    /// Adds a key's version; false when the key is not found this way. One caller at a time, of a part that is not crowded.
    pub fn add(&self, hash: u64, id: VersionId) -> bool {
        self.put(slot_of(hash, id))
    }

    /// What the slot holds where a search begins.
    pub fn first_slot(&self, hash: u64) -> u64 {
        self.probes(hash).next().map_or(0, |slot| slot.load(Ordering::Relaxed))
    }

    /// The version whose key `is_it` recognises.
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(VersionId) -> bool) -> Hashed {
        for slot in self.probes(hash) {
            let slot = slot.load(Ordering::Acquire);
            if slot == 0 {
                return Hashed::Absent;
            }
            let id = VersionId((slot as u32).wrapping_sub(1));
            if slot >> 32 == hash & u64::from(u32::MAX) && is_it(id) {
                return Hashed::Found(id);
            }
        }
        Hashed::Unknown
    }

    /// Half full: the next place is seldom far then.
    pub fn is_crowded(&self) -> bool {
        self.used.load(Ordering::Relaxed) * 2 >= self.slots.len() as u64
    }
}

impl KeyHashes {
    pub fn new() -> KeyHashes {
        KeyHashes { parts: std::array::from_fn(|_| ArcSwap::from_pointee(Part::new(SLOTS_MIN))) }
    }

    /// The part that a key of this hash is in, as it is now.
    pub fn part(&self, hash: u64) -> Guard<Arc<Part>> {
        self.parts[part_of(hash)].load()
    }

    /// A part as it is now, by its number.
    pub fn load_part(&self, part: usize) -> Arc<Part> {
        self.parts[part].load_full()
    }

    /// Replaces a part, by its number, by a larger copy. One caller at a time, as `insert`.
    pub fn grow(&self, part: usize) -> Arc<Part> {
        let larger = Arc::new(self.parts[part].load().larger());
        self.parts[part].store(larger.clone());
        larger
    }

    /// Adds a key's version. One caller at a time. False when the key is not found this way.
    pub fn insert(&self, hash: u64, id: VersionId) -> bool {
        let part = self.part(hash);
        if part.is_crowded() {
            return self.grow(part_of(hash)).add(hash, id);
        }
        part.add(hash, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl KeyHashes {
        fn find(&self, hash: u64, is_it: impl FnMut(VersionId) -> bool) -> Hashed {
            self.part(hash).find(hash, is_it)
        }
    }

    #[test]
    fn what_was_put_is_found_however_much_follows() {
        let hashes = KeyHashes::new();
        for n in 0..20_000_u32 {
            assert!(hashes.insert(hash_of(&n.to_be_bytes()), VersionId(n)));
            let early = n / 2;
            let found = hashes.find(hash_of(&early.to_be_bytes()), |id| id.0 == early);
            assert_eq!(found, Hashed::Found(VersionId(early)));
        }
        assert_eq!(hashes.find(hash_of(b"another"), |_| false), Hashed::Absent);
    }

    #[test]
    fn keys_of_one_hash_cost_a_bounded_search_and_are_left_to_the_order() {
        let hashes = KeyHashes::new();
        let mut kept = 0;
        for n in 0..1000_u32 {
            kept += u32::from(hashes.insert(7, VersionId(n)));
        }
        assert!(kept >= SLOTS_MIN as u32 && kept <= PROBES as u32, "{kept} of one hash");
        let tried = std::cell::Cell::new(0);
        let found = hashes.find(7, |_| {
            tried.set(tried.get() + 1);
            false
        });
        assert_eq!(found, Hashed::Unknown);
        assert!(tried.get() <= PROBES as u32);
        // However much the part grows afterwards, none of them is taken for absent.
        for n in 1000..20_000_u32 {
            hashes.insert(u64::from(n.wrapping_mul(0x9e37_79b9)), VersionId(n));
            if n.is_power_of_two() || n == 19_999 {
                for early in 0..1000 {
                    assert_ne!(hashes.find(7, |id| id.0 == early), Hashed::Absent, "{early} of one hash, after {n}");
                }
            }
        }
        for n in 1000..20_000_u32 {
            let found = hashes.find(u64::from(n.wrapping_mul(0x9e37_79b9)), |id| id.0 == n);
            assert_ne!(found, Hashed::Absent, "{n} of its own hash");
        }
    }
}
