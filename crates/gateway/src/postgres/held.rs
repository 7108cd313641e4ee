//! What a connection keeps by name, its portals, within bounds of number and memory.
//!
//! The unnamed one is replaced by each of its kind and bounded by a message's length, so it is not counted.

use std::collections::HashMap;

use heliosdb_types::{Error, ErrorKind, Result, SqlState};

/// More names than any client needs.
const NAMES_MAX: usize = 65_536;

pub(crate) struct Held<T> {
    what: &'static str,
    bytes_max: usize,
    items: HashMap<String, (T, usize)>,
    bytes: usize,
}

impl<T> Held<T> {
    /// Of `what`, in plural.
    pub(crate) fn new(what: &'static str, bytes_max: usize) -> Held<T> {
        Held { what, bytes_max, items: HashMap::new(), bytes: 0 }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.items.get(name).map(|(item, _)| item)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.items.contains_key(name)
    }

    /// Whether one more, of `bytes`, may be kept.
    pub(crate) fn room(&self, name: &str, bytes: usize) -> Result<()> {
        let (what, most) = (self.what, self.bytes_max);
        let wrong = if self.items.len() >= NAMES_MAX {
            (SqlState::CONFIGURATION_LIMIT_EXCEEDED, format!("a connection may hold at most {NAMES_MAX} {what}"))
        } else if !name.is_empty() && self.bytes.saturating_add(bytes) > most {
            (SqlState::OUT_OF_MEMORY, format!("the {what} of this connection need more than {most} bytes"))
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Unavailable, wrong.0, wrong.1).with_hint("Close those that are no longer needed."))
    }

    pub(crate) fn insert(&mut self, name: String, item: T, bytes: usize) {
        self.remove(&name);
        let counted = if name.is_empty() { 0 } else { bytes };
        self.bytes += counted;
        self.items.insert(name, (item, counted));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<T> {
        let (item, bytes) = self.items.remove(name)?;
        self.bytes -= bytes;
        Some(item)
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_until_they_go() {
        let mut held = Held::new("portals", 100);
        held.room("a", 60).unwrap();
        held.insert("a".into(), 1, 60);
        assert_eq!(held.room("b", 60).unwrap_err().state(), SqlState::OUT_OF_MEMORY);
        held.room("", 1_000_000).unwrap();
        held.insert(String::new(), 2, 1_000_000);
        held.room("b", 40).unwrap();
        held.insert("a".into(), 3, 10);
        held.room("b", 90).unwrap();
        assert_eq!(held.get("a"), Some(&3));
        assert_eq!(held.remove("a"), Some(3));
        held.room("b", 100).unwrap();
        held.insert("b".into(), 4, 100);
        held.clear();
        held.room("b", 100).unwrap();
        assert!(!held.contains("b"));
    }
}
