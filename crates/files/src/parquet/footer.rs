//! A look at a file's end before it is read: is it a Parquet file, and are its counts possible?
//!
//! The footer is Thrift in the compact encoding, full of lists with a count in front. The reading crate reserves memory by
//! some of those counts and recurses into others; a count that the bytes behind it cannot hold, or columns nested a
//! hundred thousand deep, would end the process, which nobody could catch. So the footer is walked once here, for its shape
//! only: every element takes at least one byte, and the tree of columns adds up.

use super::source::Source;

const MAGIC: &[u8] = b"PAR1";
const ENCRYPTED: &[u8] = b"PARE";
/// Structures within structures; the format needs a dozen.
const DEPTH_MAX: usize = 64;

// Kinds of values in the encoding.
const I32: u8 = 5;
const LIST: u8 = 9;
const STRUCTURE: u8 = 12;

/// What is wrong with the file's end.
pub(super) fn check(source: &Source) -> Result<(), String> {
    let not_ours = || "not a Parquet file, or cut off".to_owned();
    let tail_at = source.len.checked_sub(8).filter(|&at| at >= 4).ok_or_else(not_ours)?;
    let tail = source.bytes(tail_at, 8).map_err(|error| error.to_string())?;
    let (length, magic) = tail.split_at_checked(4).ok_or_else(not_ours)?;
    if magic == ENCRYPTED {
        return Err("encrypted Parquet files cannot be read".to_owned());
    }
    if magic != MAGIC {
        return Err(not_ours());
    }
    let length = u32::from_le_bytes(length.try_into().map_err(|_| not_ours())?);
    let start =
        tail_at.checked_sub(u64::from(length)).ok_or_else(|| "damaged: its footer is longer than it".to_owned())?;
    let footer = source.bytes(start, length as usize).map_err(|error| error.to_string())?;
    Walk { rest: &footer }.file().ok_or_else(|| "damaged: its footer makes no sense".to_owned())
}

struct Walk<'a> {
    rest: &'a [u8],
}

/// What to do with a field: its number and its kind.
type Field<'f, 'a> = &'f mut dyn FnMut(&mut Walk<'a>, i64, u8) -> Option<()>;

impl<'a> Walk<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        let folded = self.varint()?;
        Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    fn skip(&mut self, bytes: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(bytes).ok()?..)?;
        Some(())
    }

    /// The whole footer: a structure whose field 2 is the tree of columns, written as a list of nodes.
    fn file(&mut self) -> Option<()> {
        self.fields(&mut |walk, number, kind| {
            if (number, kind) == (2, LIST) { walk.tree() } else { walk.value(kind, 1) }
        })
    }

    /// Each node says how many children follow it, which must add up and not nest without end: the tree is built by
    /// recursion.
    fn tree(&mut self) -> Option<()> {
        let (count, kind) = self.list()?;
        if kind != STRUCTURE {
            return None;
        }
        // How many children are still to come, level by level.
        let mut open: Vec<u64> = vec![1];
        for _ in 0..count {
            let mut children = 0;
            self.fields(&mut |walk, number, kind| {
                if (number, kind) != (5, I32) {
                    return walk.value(kind, 2);
                }
                children = u64::try_from(walk.integer()?).ok()?;
                Some(())
            })?;
            while open.last() == Some(&0) {
                open.pop();
            }
            *open.last_mut()? -= 1;
            if children > count {
                return None;
            }
            open.push(children);
            if open.len() > DEPTH_MAX {
                return None;
            }
        }
        open.iter().all(|&missing| missing == 0).then_some(())
    }

    /// Reads a structure field by field.
    fn fields(&mut self, each: Field<'_, 'a>) -> Option<()> {
        let mut number = 0_i64;
        loop {
            let header = self.byte()?;
            let kind = header & 0x0f;
            if kind == 0 {
                return Some(());
            }
            // Short field numbers are a difference in the header, others follow it.
            number = if header >> 4 == 0 { self.integer()? } else { number.checked_add(i64::from(header >> 4))? };
            // A boolean field is its header.
            if kind > 2 {
                each(self, number, kind)?;
            }
        }
    }

    /// A list's length and the kind of its elements.
    fn list(&mut self) -> Option<(u64, u8)> {
        let header = self.byte()?;
        let count = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
        (count <= self.rest.len() as u64).then_some((count, header & 0x0f))
    }

    fn value(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match kind {
            1..=3 => self.byte().map(drop),
            4..=6 => self.varint().map(drop),
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            LIST | 10 => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.value(kind, depth + 1))
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                if count > self.rest.len() as u64 {
                    return None;
                }
                (0..count).try_for_each(|_| {
                    self.value(kinds >> 4, depth + 1)?;
                    self.value(kinds & 0x0f, depth + 1)
                })
            }
            STRUCTURE => self.fields(&mut |walk, _, kind| walk.value(kind, depth + 1)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_cannot_be_are_seen() {
        let walk = |bytes: &[u8]| Walk { rest: bytes }.file();
        // Field 1: 1; field 3: a list of two i32.
        assert_eq!(walk(&[0x15, 2, 0x29, 0x25, 2, 4, 0]), Some(()));
        assert_eq!(walk(&[0x15, 2, 0x29, 0x25, 2, 4]), None, "no end");
        assert_eq!(walk(&[0x39, 0xfc, 0xff, 0xff, 0xff, 0xff, 7, 0]), None, "two thousand million structures");
        assert_eq!(walk(&[0x18, 0xff, 0xff, 3, 0]), None, "a text longer than the footer");
        assert_eq!(walk(&[0x1c; 1000]), None, "structures without end");
        assert_eq!(walk(&[0x19; 1000]), None, "lists without end");
    }

    #[test]
    fn the_tree_of_columns_adds_up() {
        // Nodes with these numbers of children; field 5 of each.
        let tree = |children: &[u8]| {
            let nodes: Vec<u8> = children.iter().flat_map(|&n| [0x55, n * 2, 0]).collect();
            let list = [&[0x29, 0xfc, children.len() as u8][..], &nodes, &[0]].concat();
            Walk { rest: &list }.file()
        };
        assert_eq!(tree(&[2, 0, 0]), Some(()));
        assert_eq!(tree(&[2, 1, 0, 0]), Some(()));
        assert_eq!(tree(&[2, 0]), None, "a column is missing");
        assert_eq!(tree(&[1, 0, 0]), None, "one too many");
        assert_eq!(tree(&[100, 0]), None);
        assert_eq!(tree(&[&[1; 100][..], &[0]].concat()), None, "too deep");
    }
}
