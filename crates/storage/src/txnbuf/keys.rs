//! Where a transaction's newest write of a key is.
//!
//! What comes in the order of its keys, as bulk loads and statements over a whole table do, is found by halving; only
//! keys out of order are hashed.

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::Entry;

#[derive(Default)]
pub(super) struct Keys {
    /// So many entries from the first on have ascending keys, each the first write of its key.
    ascending: usize,
    /// Keys written in another order or again, which are asked first.
    others: FxHashMap<Bytes, u32>,
}

impl Keys {
    pub fn find(&self, entries: &[Entry], key: &[u8]) -> Option<u32> {
        if let Some(at) = self.others.get(key) {
            return Some(*at);
        }
        let run = entries.get(..self.ascending).unwrap_or(entries);
        // Mostly behind the last.
        if run.last().is_none_or(|last| last.key < key) {
            return None;
        }
        run.binary_search_by(|entry| entry.key[..].cmp(key)).ok().map(|at| at as u32)
    }

    /// The next entry, the one after `entries`, will be a write of this key. Gives the one before.
    pub fn append(&mut self, entries: &[Entry], key: &Bytes) -> Option<u32> {
        let last = entries.last();
        if self.ascending == entries.len() && last.is_none_or(|last| last.key < *key) {
            self.ascending += 1;
            return None;
        }
        let before = self.find(entries, key);
        self.others.insert(key.clone(), entries.len() as u32);
        before
    }

    /// The last entry was taken out; `left` are left, and `older` of them is now the newest write of its key.
    pub fn taken(&mut self, left: usize, key: &Bytes, older: Option<u32>) {
        self.ascending = self.ascending.min(left);
        match older {
            None => _ = self.others.remove(key),
            Some(at) => _ = self.others.insert(key.clone(), at),
        }
    }
}

#[cfg(test)]
mod tests {
    use heliosdb_types::{CommandId, SchemaVersion};

    use super::super::{Base, Image, NEVER};
    use super::*;

    /// Writes in runs of ascending keys, some again, entries taken from the end now and then: every key is found where its
    /// newest write is.
    #[test]
    fn every_key_is_found_at_its_newest_write() {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let (mut keys, mut entries, mut next) = (Keys::default(), Vec::<Entry>::new(), 0_u8);
            for _ in 0..random(100) {
                let what = random(8);
                if what == 0 {
                    for _ in 0..random(4) {
                        let Some(entry) = entries.pop() else { break };
                        keys.taken(entries.len(), &entry.key, entry.older);
                    }
                } else {
                    next = if what < 6 { next.saturating_add(1) } else { random(40) as u8 };
                    let key = Bytes::from(vec![next]);
                    let older = keys.append(&entries, &key);
                    let (image, schema, command) = (Image::Deleted, SchemaVersion(1), CommandId(0));
                    entries.push(Entry { key, image, schema, command, superseded: NEVER, older, base: Base::Nothing });
                }
                for key in 0..=130_u8 {
                    let newest = entries.iter().rposition(|entry| entry.key[..] == [key]);
                    assert_eq!(keys.find(&entries, &[key]), newest.map(|at| at as u32));
                }
            }
        }
    }
}
