//! One pass over a table: random rows of what is read, and different values counted in all of it.
//!
//! Of a large table only pieces spread over it are read (`TableScan::thin`). A sample of rows has each row read with the same chance:
//! Li's algorithm L ("Reservoir-sampling algorithms of time complexity O(n(1 + log(N/n)))", 1994), which draws how many rows to
//! leave out rather than whether to take each.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use datafusion::common::hash_utils::{HLL_RANDOM_STATE, create_hashes};
use heliosdb_contracts::datum_at;
use heliosdb_types::{Datum, DatumRef, PhysicalType, Result, SqlType};

use super::column::{Cell, WIDE_BYTES};
use super::distinct::Distinct;
use crate::exec::from_datafusion;

/// A small generator (SplitMix64); the seed comes from outside.
pub(super) struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, below 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

/// A column to be looked at.
pub(super) struct Wanted {
    pub sql_type: SqlType,
    pub physical: PhysicalType,
    /// Equal values have equal hashes.
    pub hashable: bool,
}

/// The sample while it grows.
pub(super) struct Sample<'a> {
    columns: &'a [Wanted],
    size: usize,
    /// By column, then slot.
    cells: Vec<Vec<Cell>>,
    /// Which row of those read is in each slot.
    places: Vec<u64>,
    pub distinct: Vec<Option<Distinct>>,
    /// Different combinations of the columns at some places.
    combinations: Vec<(Vec<usize>, Distinct)>,
    pub rows: u64,
    random: Random,
    /// The next row to take once the slots are full.
    next: u64,
    w: f64,
    hashes: Vec<u64>,
    /// Bytes of what is kept, roughly.
    pub bytes: usize,
}

impl<'a> Sample<'a> {
    pub fn new(columns: &'a [Wanted], size: usize, random: Random) -> Sample<'a> {
        Sample {
            size: size.max(1),
            cells: columns.iter().map(|_| Vec::new()).collect(),
            places: Vec::new(),
            distinct: columns.iter().map(|column| column.hashable.then(Distinct::new)).collect(),
            combinations: Vec::new(),
            rows: 0,
            random,
            next: 0,
            w: 1.0,
            hashes: Vec::new(),
            bytes: 0,
            columns,
        }
    }

    /// Counts different combinations of the columns at these places too, NULL being a value.
    pub fn count(&mut self, places: Vec<usize>) {
        let known = self.combinations.iter().any(|(known, _)| *known == places);
        let hashable = places.iter().all(|at| self.columns.get(*at).is_some_and(|column| column.hashable));
        if !known && hashable {
            self.combinations.push((places, Distinct::new()));
        }
    }

    /// How many of each there are in the whole table, of which `share` was read.
    pub fn combinations(&self, share: f64) -> HashMap<Vec<usize>, f64> {
        self.combinations.iter().map(|(places, distinct)| (places.clone(), distinct.whole(share))).collect()
    }

    fn add_combinations(&mut self, batch: &RecordBatch, apart: bool) -> Result<()> {
        let rows = batch.num_rows();
        let mut alone: Vec<Option<Vec<u64>>> = vec![None; batch.num_columns()];
        for at in self.combinations.iter().flat_map(|(places, _)| places) {
            let (Some(hashes @ None), Some(array)) = (alone.get_mut(*at), batch.columns().get(*at)) else { continue };
            let mut own = vec![0; rows];
            create_hashes([array], &HLL_RANDOM_STATE, &mut own).map_err(from_datafusion)?;
            *hashes = Some(own);
        }
        for (places, distinct) in &mut self.combinations {
            if apart {
                distinct.gap();
            }
            let columns: Vec<&[u64]> = places.iter().filter_map(|at| alone.get(*at)?.as_deref()).collect();
            for row in 0..rows {
                let mix = |hash: u64, column: &&[u64]| {
                    let next = hash.rotate_left(23) ^ column.get(row).copied().unwrap_or(0);
                    next.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                };
                let hash = columns.iter().fold(0x51_7c_c1_b7_27_22_0a_95, mix);
                distinct.add(hash ^ (hash >> 32));
            }
        }
        Ok(())
    }

    /// The rows that come next; `apart`: others lie between them and those before.
    pub fn add(&mut self, batch: &RecordBatch, apart: bool) -> Result<()> {
        let rows = batch.num_rows();
        for (array, distinct) in batch.columns().iter().zip(&mut self.distinct) {
            let Some(distinct) = distinct else { continue };
            self.hashes.clear();
            self.hashes.resize(rows, 0);
            create_hashes([array], &HLL_RANDOM_STATE, &mut self.hashes).map_err(from_datafusion)?;
            if apart {
                distinct.gap();
            }
            for (row, hash) in self.hashes.iter().enumerate() {
                if !array.is_null(row) {
                    distinct.add(*hash);
                }
            }
        }
        if !self.combinations.is_empty() {
            self.add_combinations(batch, apart)?;
        }
        let (first, end) = (self.rows, self.rows + rows as u64);
        self.rows = end;
        let mut row = first;
        while self.places.len() < self.size && row < end {
            self.take(batch, (row - first) as usize, row, None)?;
            row += 1;
            if self.places.len() == self.size {
                self.next = row;
                self.skip();
            }
        }
        while self.places.len() == self.size && self.next < end {
            let slot = (self.random.next() % self.size as u64) as usize;
            self.take(batch, (self.next - first) as usize, self.next, Some(slot))?;
            self.next += 1;
            self.skip();
        }
        Ok(())
    }

    /// Draws how many rows to leave out.
    fn skip(&mut self) {
        self.w *= (self.random.unit().ln() / self.size as f64).exp();
        let left_out = self.random.unit().ln() / (1.0 - self.w).ln();
        self.next = self.next.saturating_add(left_out.max(0.0) as u64);
    }

    fn take(&mut self, batch: &RecordBatch, row: usize, place: u64, slot: Option<usize>) -> Result<()> {
        for ((array, wanted), cells) in batch.columns().iter().zip(self.columns).zip(&mut self.cells) {
            let value = datum_at(array, row, wanted.physical)?;
            let cell = match value {
                DatumRef::Null => Cell::Null,
                DatumRef::Text(text) if text.len() > WIDE_BYTES => Cell::Wide(text.len() + 4),
                DatumRef::Bytes(bytes) if bytes.len() > WIDE_BYTES => Cell::Wide(bytes.len() + 4),
                value => Cell::Value(value.to_owned()),
            };
            let bytes = |cell: &Cell| match cell {
                Cell::Value(Datum::Text(text)) => text.len(),
                Cell::Value(Datum::Bytes(bytes)) => bytes.len(),
                _ => 0,
            };
            match slot.and_then(|slot| cells.get_mut(slot)) {
                Some(old) => {
                    self.bytes = (self.bytes + bytes(&cell)).saturating_sub(bytes(old));
                    *old = cell;
                }
                None => {
                    self.bytes += size_of::<Cell>() + bytes(&cell);
                    cells.push(cell);
                }
            }
        }
        match slot.and_then(|slot| self.places.get_mut(slot)) {
            Some(old) => *old = place,
            None => self.places.push(place),
        }
        Ok(())
    }

    /// Rows in the sample.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Every row that was read is in it.
    pub fn has_all(&self) -> bool {
        self.rows == self.places.len() as u64
    }

    /// Takes a column's cells, in the order of the rows.
    pub fn column(&mut self, at: usize) -> Vec<Cell> {
        let mut slots: Vec<usize> = (0..self.places.len()).collect();
        slots.sort_unstable_by_key(|slot| self.places.get(*slot).copied());
        let Some(cells) = self.cells.get_mut(at) else { return Vec::new() };
        slots.into_iter().filter_map(|slot| cells.get_mut(slot).map(std::mem::take)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn every_row_has_the_same_chance() {
        let columns = [Wanted { sql_type: SqlType::Int4, physical: PhysicalType::Int32, hashable: true }];
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]));
        let mut tenths = [0usize; 10];
        for seed in 0..40 {
            let mut sample = Sample::new(&columns, 100, Random(seed));
            for part in 0..10 {
                let values: ArrayRef = Arc::new(Int32Array::from_iter_values(part * 1000..(part + 1) * 1000));
                sample.add(&RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap(), false).unwrap();
            }
            assert_eq!((sample.len(), sample.rows, sample.has_all()), (100, 10_000, false));
            assert!((sample.distinct[0].as_ref().unwrap().count() / 10_000.0 - 1.0).abs() < 0.05);
            let mut last = -1;
            for cell in sample.column(0) {
                let Cell::Value(Datum::Int32(value)) = cell else { panic!("{cell:?}") };
                assert!(value > last, "in order, none twice");
                last = value;
                tenths[value as usize / 1000] += 1;
            }
        }
        // 400 expected of each, with a standard deviation of 19.
        assert!(tenths.iter().all(|count| (320..480).contains(count)), "{tenths:?}");
    }
}
