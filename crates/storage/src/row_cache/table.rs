//! From a key's hash to where its row is: open addressing in slots of a word each.
//!
//! A slot holds the hash, so that a search reads rows only where their hashes agree, and so that growing, and moving up what follows one
//! that is removed, read none: no search walks over places that were left empty.

/// Where a row begins, in the units of the ring it is in.
pub(super) type Place = u32;

#[derive(Debug)]
pub(super) struct Table {
    /// The hash above, the place plus one below; 0 is free.
    slots: Vec<u64>,
    slots_max: usize,
    len: usize,
}

const SLOTS_MIN: usize = 64;

impl Table {
    /// Takes seven eighths of `slots_max` rows; has half as many slots or less while it has so few.
    pub fn new(slots_max: usize) -> Table {
        Table { slots: vec![0; SLOTS_MIN], slots_max: slots_max.max(SLOTS_MIN), len: 0 }
    }

    /// How many more it takes.
    pub fn room(&self) -> usize {
        (self.slots_max / 8 * 7).saturating_sub(self.len)
    }

    /// Doubles, up to as many slots as there may be. Hashes stay in their order, so that memory is gone through once.
    fn grow(&mut self) {
        let more = (self.slots.len() * 2).min(self.slots_max);
        let before = std::mem::replace(&mut self.slots, vec![0; more]);
        for slot in before.into_iter().filter(|slot| *slot != 0) {
            self.put(slot);
        }
    }

    fn put(&mut self, new: u64) {
        let mut slot = self.home((new >> 32) as u32);
        while self.at(slot) != 0 {
            slot = self.after(slot);
        }
        self.set(slot, new);
    }

    /// Where a search for the hash begins.
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    fn at(&self, slot: usize) -> u64 {
        self.slots.get(slot).copied().unwrap_or(0)
    }

    fn set(&mut self, slot: usize, to: u64) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = to;
        }
    }

    /// The slot of the hash whose row is the one wanted.
    fn slot(&self, hash: u32, mut is_it: impl FnMut(Place) -> bool) -> Option<usize> {
        let mut slot = self.home(hash);
        // One is always free.
        loop {
            let found = self.at(slot);
            if found == 0 {
                return None;
            }
            if (found >> 32) as u32 == hash && is_it(found as u32 - 1) {
                return Some(slot);
            }
            slot = self.after(slot);
        }
    }

    pub fn find(&self, hash: u32, is_it: impl FnMut(Place) -> bool) -> Option<Place> {
        self.slot(hash, is_it).map(|slot| self.at(slot) as u32 - 1)
    }

    /// Adds a place; the caller has seen that there is room.
    pub fn insert(&mut self, hash: u32, place: Place) {
        if self.len >= self.slots.len() / 8 * 7 && self.slots.len() < self.slots_max {
            self.grow();
        }
        assert!(self.len + 1 < self.slots.len(), "a search ends at a free slot");
        self.put((u64::from(hash) << 32) | (u64::from(place) + 1));
        self.len += 1;
    }

    /// False if it is not there.
    pub fn remove(&mut self, hash: u32, place: Place) -> bool {
        let Some(mut free) = self.slot(hash, |found| found == place) else { return false };
        let slots = self.slots.len();
        let distance = |from: usize, to: usize| if to >= from { to - from } else { to + slots - from };
        let mut next = self.after(free);
        loop {
            let found = self.at(next);
            if found == 0 {
                break;
            }
            // It may move up unless its search begins behind the free slot.
            if distance(self.home((found >> 32) as u32), next) >= distance(free, next) {
                self.set(free, found);
                free = next;
            }
            next = self.after(next);
        }
        self.set(free, 0);
        self.len -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_was_added_and_not_removed_is_found() {
        // Hashes of few homes, the last slots' among them: runs grow together and wrap around.
        let mut table = Table::new(200);
        let mut model: BTreeMap<Place, u32> = BTreeMap::new();
        let mut random = 7_u64;
        for place in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let hash = u32::MAX - (random >> 60) as u32 * 40_000_000;
            if table.room() == 0 || (random >> 40) % 5 < 2 {
                let oldest = model.iter().nth((random >> 33) as usize % model.len().max(1)).map(|(p, h)| (*p, *h));
                if let Some((place, hash)) = oldest {
                    model.remove(&place);
                    assert!(table.remove(hash, place));
                    assert!(!table.remove(hash, place), "only once");
                }
            } else {
                table.insert(hash, place);
                model.insert(place, hash);
            }
            assert_eq!(table.len, model.len());
            for (place, hash) in &model {
                assert_eq!(table.find(*hash, |found| found == *place), Some(*place));
            }
        }
        assert!(model.len() > 10, "{} at the end", model.len());
        assert_eq!(table.find(1, |_| true), None);
    }
}
