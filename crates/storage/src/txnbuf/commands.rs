//! Which command did something to which rows of a segment.
//!
//! Exactly, for as long as the transaction lives: a cursor reads on with the eyes of the command that opened it, and a rollback to
//! a savepoint undoes commands, not more and not less. Rows that a command has many of cost two bytes each, or a bit if they are
//! dense; others eight bytes.

use std::borrow::Cow;

use heliosdb_types::{CommandId, Error, Result};
use roaring::RoaringBitmap;

#[derive(Default)]
pub(crate) struct RowCommands {
    all: RoaringBitmap,
    /// No row has an earlier command...
    oldest: CommandId,
    /// ...nor a later one. If they are the same, nothing else is kept.
    newest: CommandId,
    /// Rows of commands with many of them.
    many: Vec<(CommandId, RoaringBitmap)>,
    /// All other rows, ascending.
    few: Vec<(u32, CommandId)>,
}

/// From so many rows on, added together, a command's are kept as a bitmap.
const MANY: usize = 256;

impl RowCommands {
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn len(&self) -> u64 {
        self.all.len()
    }

    /// Adds rows; one that is there already is an error, and then none is added.
    pub fn add(&mut self, mut rows: Vec<(u32, CommandId)>) -> Result<()> {
        rows.sort_unstable_by_key(|&(row, command)| (command, row));
        let all: RoaringBitmap = rows.iter().map(|&(row, _)| row).collect();
        if all.len() != rows.len() as u64 || !all.is_disjoint(&self.all) {
            return Err(Error::internal("a transaction writes a row it has deleted or replaced"));
        }
        let (Some(&(_, first)), Some(&(_, last))) = (rows.first(), rows.last()) else { return Ok(()) };
        let (oldest, newest) = match self.is_empty() {
            true => (first, last),
            false => (self.oldest.min(first), self.newest.max(last)),
        };
        if oldest < newest {
            if self.oldest == self.newest && !self.is_empty() {
                self.tell_apart(self.all.iter().map(|row| (row, self.newest)).collect());
            }
            self.tell_apart(rows);
        }
        (self.oldest, self.newest) = (oldest, newest);
        self.all |= all;
        Ok(())
    }

    /// Keeps the commands of rows that are not all of one; they are sorted by it.
    fn tell_apart(&mut self, rows: Vec<(u32, CommandId)>) {
        for of_one in rows.chunk_by(|a, b| a.1 == b.1) {
            let Some(&(_, command)) = of_one.first() else { continue };
            match self.many.iter_mut().rev().find(|(known, _)| *known == command) {
                Some((_, known)) => known.extend(of_one.iter().map(|&(row, _)| row)),
                None if of_one.len() >= MANY => {
                    self.many.push((command, of_one.iter().map(|&(row, _)| row).collect()));
                }
                None => self.few.extend_from_slice(of_one),
            }
        }
        self.few.sort_by_key(|&(row, _)| row);
    }

    /// Whether a command before `before` did it to a row.
    pub fn contains(&self, row: u32, before: CommandId) -> bool {
        if !self.all.contains(row) {
            return false;
        }
        if self.newest < before || self.oldest >= before {
            return self.newest < before;
        }
        match self.few.binary_search_by_key(&row, |&(few, _)| few) {
            Ok(at) => self.few.get(at).is_some_and(|&(_, command)| command < before),
            Err(_) => self.many.iter().any(|(command, rows)| *command < before && rows.contains(row)),
        }
    }

    /// The rows of commands before `before`.
    pub fn before(&self, before: CommandId) -> Cow<'_, RoaringBitmap> {
        if self.newest < before {
            return Cow::Borrowed(&self.all);
        }
        if self.oldest >= before {
            return Cow::Owned(RoaringBitmap::new());
        }
        let few = self.few.iter().filter(|(_, command)| *command < before).map(|&(row, _)| row);
        let mut rows: RoaringBitmap = few.collect();
        self.many.iter().filter(|(command, _)| *command < before).for_each(|(_, many)| rows |= many);
        Cow::Owned(rows)
    }

    /// Every row, whatever the command.
    pub fn all(&self) -> &RoaringBitmap {
        &self.all
    }

    /// Every row with its command; those of one command mostly together and ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, CommandId)> {
        let many = self.many.iter().flat_map(|(command, rows)| rows.iter().map(|row| (row, *command)));
        let of_one = if self.oldest == self.newest { Some(&self.all) } else { None };
        let of_one = of_one.into_iter().flatten().map(|row| (row, self.newest));
        many.chain(self.few.iter().copied()).chain(of_one)
    }

    /// Takes out the rows of `from` and later commands, and gives them.
    pub fn take_from(&mut self, from: CommandId) -> RoaringBitmap {
        if self.newest < from {
            return RoaringBitmap::new();
        }
        let stays = self.before(from).into_owned();
        let taken = &self.all - &stays;
        self.many.retain(|(command, _)| *command < from);
        self.few.retain(|(_, command)| *command < from);
        let commands =
            self.many.iter().map(|(command, _)| *command).chain(self.few.iter().map(|(_, command)| *command));
        self.newest = commands.max().unwrap_or_default();
        self.all = stays;
        if self.is_empty() {
            *self = RowCommands::default();
        } else if self.oldest == self.newest {
            (self.many, self.few) = (Vec::new(), Vec::new());
        }
        taken
    }

    /// Memory it takes, about.
    pub fn bytes(&self) -> usize {
        let of = |rows: &RoaringBitmap| rows.serialized_size() + size_of::<RoaringBitmap>() + 64;
        let many: usize = self.many.iter().map(|(_, rows)| of(rows)).sum();
        of(&self.all) + many + self.few.capacity() * size_of::<(u32, CommandId)>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Random additions and undoings beside a map: every question has the map's answer.
    #[test]
    fn every_row_keeps_its_command() {
        let mut state = 7_u64;
        let mut random = |below: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32 % below
        };
        for _ in 0..40 {
            let (mut rows, mut model) = (RowCommands::default(), BTreeMap::<u32, CommandId>::new());
            let mut command = 1;
            for _ in 0..30 {
                command += random(3);
                match random(8) {
                    0 => {
                        let from = CommandId(random(command + 2));
                        let gone: RoaringBitmap =
                            model.iter().filter(|(_, command)| **command >= from).map(|(row, _)| *row).collect();
                        assert_eq!(rows.take_from(from), gone);
                        model.retain(|_, command| *command < from);
                    }
                    1..=3 => {
                        let (first, count) = (random(20_000), random(2 * MANY as u32));
                        let added: Vec<_> = (first..first + count).filter(|row| !model.contains_key(row)).collect();
                        model.extend(added.iter().map(|row| (*row, CommandId(command))));
                        rows.add(added.into_iter().map(|row| (row, CommandId(command))).collect()).unwrap();
                    }
                    _ => {
                        let some: BTreeMap<u32, CommandId> =
                            (0..random(20)).map(|_| (random(20_000), CommandId(random(command + 1)))).collect();
                        let some: Vec<_> = some.into_iter().filter(|(row, _)| !model.contains_key(row)).collect();
                        model.extend(some.iter().copied());
                        rows.add(some).unwrap();
                    }
                }
                let before = CommandId(random(command + 2));
                let expected: RoaringBitmap =
                    model.iter().filter(|(_, command)| **command < before).map(|(row, _)| *row).collect();
                assert_eq!(*rows.before(before), expected);
                for _ in 0..20 {
                    let row = random(20_500);
                    assert_eq!(rows.contains(row, before), expected.contains(row));
                }
                assert_eq!(rows.iter().collect::<BTreeMap<_, _>>(), model);
                assert_eq!((rows.len(), rows.is_empty()), (model.len() as u64, model.is_empty()));
            }
            if let Some((row, command)) = model.into_iter().next() {
                assert!(rows.add(vec![(30_000, command), (row, command)]).is_err());
                assert!(!rows.contains(30_000, CommandId(u32::MAX)), "all or nothing");
            }
        }
    }

    #[test]
    fn rows_cost_little() {
        let mut one = RowCommands::default();
        one.add((0..500_000).map(|row| (row, CommandId(3))).collect()).unwrap();
        assert!(one.bytes() < 150_000, "{} bytes of a command's 500 thousand rows", one.bytes());
        let mut thousands = RowCommands::default();
        for command in 0..500 {
            let rows = command * 1000..command * 1000 + 1000;
            thousands.add(rows.map(|row| (row, CommandId(command))).collect()).unwrap();
        }
        assert!(thousands.bytes() < 1_500_000, "{} bytes of 500 commands' 500 thousand rows", thousands.bytes());
    }
}
