//! The number that several keys make.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int64Array, PrimitiveArray, RecordBatch, TimestampMicrosecondArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;

/// What a row of the probe side has if nothing can match it: no number is negative.
const NOTHING: i64 = -1;

/// One key's place in the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Digit {
    /// The key that counts as 0.
    least: i64,
    /// The greatest key, counted from the least.
    most: u64,
    /// What one more is worth.
    worth: i64,
}

impl Digit {
    /// The digits of keys within these ranges and how many numbers they make; `None` if those have no room in 63 bits.
    pub(super) fn all(ranges: &[(i64, i64)]) -> Option<(Arc<[Digit]>, u64)> {
        let mut numbers = 1_i64;
        let mut digits = Vec::with_capacity(ranges.len());
        for (least, greatest) in ranges.iter().rev() {
            let most = greatest.wrapping_sub(*least).cast_unsigned();
            digits.push(Digit { least: *least, most, worth: numbers });
            numbers = numbers.checked_mul(i64::try_from(most).ok()?.checked_add(1)?)?;
        }
        digits.reverse();
        Some((digits.into(), numbers.cast_unsigned()))
    }

    fn greatest(&self) -> i64 {
        self.least.wrapping_add_unsigned(self.most)
    }
}

/// Which rows a number is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// Those whose keys the digits were made of: NULL if one of the keys is.
    Build,
    /// Those that look for them: `NOTHING` if a key is NULL or has no digit.
    Probe,
}

/// What table a join makes of the numbers. It tells by their type: of moments it makes no array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Table {
    Array,
    Hashed,
}

impl Table {
    fn kind(self) -> DataType {
        match self {
            Table::Array => DataType::Int64,
            Table::Hashed => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

/// Several keys as one number.
#[derive(Clone, Debug)]
pub(in crate::exec) struct PackedKey {
    parts: Vec<Arc<dyn PhysicalExpr>>,
    digits: Arc<[Digit]>,
    side: Side,
    table: Table,
}

impl PackedKey {
    pub(super) fn new(parts: Vec<Arc<dyn PhysicalExpr>>, digits: Arc<[Digit]>, side: Side, table: Table) -> PackedKey {
        PackedKey { parts, digits, side, table }
    }

    /// Keys that lie within these ranges, of rows that look for them.
    #[cfg(test)]
    pub(in crate::exec) fn within(parts: Vec<Arc<dyn PhysicalExpr>>, ranges: &[(i64, i64)]) -> PackedKey {
        PackedKey::new(parts, Digit::all(ranges).unwrap().0, Side::Probe, Table::Array)
    }

    /// The keys, each with the least and the greatest value it has where a number stands for it.
    pub(in crate::exec) fn parts(&self) -> impl Iterator<Item = (&Arc<dyn PhysicalExpr>, i64, i64)> {
        self.parts.iter().zip(&*self.digits).map(|(part, digit)| (part, digit.least, digit.greatest()))
    }

    /// The number that a value of such a key is, which may be NULL; `None` if it is none.
    pub(in crate::exec) fn number(value: &ScalarValue) -> Option<Option<i64>> {
        match value {
            ScalarValue::Int64(number) | ScalarValue::TimestampMicrosecond(number, None) => Some(*number),
            _ => None,
        }
    }

    /// The key at a place of `parts` in a number.
    pub(in crate::exec) fn part_of(&self, number: i64, place: usize) -> Option<i64> {
        let digit = self.digits.get(place)?;
        let at = u64::try_from(number).ok()? / digit.worth.cast_unsigned();
        // `most` is less than 2^63.
        Some(digit.least.wrapping_add_unsigned(at % (digit.most + 1)))
    }
}

/// A key's value as its column has it.
pub(in crate::exec) fn as_value(value: i64, kind: &DataType) -> Option<ScalarValue> {
    Some(match kind {
        DataType::Int8 => ScalarValue::Int8(Some(i8::try_from(value).ok()?)),
        DataType::Int16 => ScalarValue::Int16(Some(i16::try_from(value).ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(i32::try_from(value).ok()?)),
        DataType::Date32 => ScalarValue::Date32(Some(i32::try_from(value).ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(value)),
        _ => return None,
    })
}

/// Whether keys of this type can be digits.
pub(super) fn is_packable(kind: &DataType) -> bool {
    matches!(kind, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32)
}

/// Calls a function of arrays of numbers with the array as what it is.
macro_rules! with_numbers {
    ($values:expr, $function:ident ( $($argument:expr),* )) => {
        match $values.data_type() {
            DataType::Int8 => Ok($function($values.as_primitive::<Int8Type>() $(, $argument)*)),
            DataType::Int16 => Ok($function($values.as_primitive::<Int16Type>() $(, $argument)*)),
            DataType::Int32 => Ok($function($values.as_primitive::<Int32Type>() $(, $argument)*)),
            DataType::Int64 => Ok($function($values.as_primitive::<Int64Type>() $(, $argument)*)),
            DataType::Date32 => Ok($function($values.as_primitive::<Date32Type>() $(, $argument)*)),
            other => Err(DataFusionError::Internal(format!("a key of type {other} is no digit"))),
        }
    };
}

/// The least and the greatest value; `None` if there is none.
pub(super) fn range(values: &ArrayRef) -> DfResult<Option<(i64, i64)>> {
    with_numbers!(values, range_of())
}

fn range_of<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>) -> Option<(i64, i64)>
where
    T::Native: Into<i64> + Ord,
{
    fn ends<N: Into<i64> + Ord + Copy>(mut values: impl Iterator<Item = N>) -> Option<(i64, i64)> {
        let first = values.next()?;
        let (least, greatest) = values.fold((first, first), |(least, greatest), v| (least.min(v), greatest.max(v)));
        Some((least.into(), greatest.into()))
    }
    if values.null_count() == 0 { ends(values.values().iter().copied()) } else { ends(values.iter().flatten()) }
}

/// So many rows' numbers, and their marks, stay in the nearest cache from key to key.
const ROWS_AT_ONCE: usize = 1024;

/// Adds a key's digit to the numbers of rows from `first` on; rows without one are marked with all bits in `outside`.
fn add_key(values: &ArrayRef, first: usize, digit: Digit, numbers: &mut [i64], outside: &mut [i64]) -> DfResult<()> {
    with_numbers!(values, add(first, digit, numbers, outside))
}

fn add<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    first: usize,
    digit: Digit,
    numbers: &mut [i64],
    outside: &mut [i64],
) where
    T::Native: Into<i64>,
{
    let values = &values.values()[first..first + numbers.len()];
    let rows = values.iter().zip(numbers).zip(outside);
    match (i32::try_from(digit.least), u32::try_from(digit.most), u32::try_from(digit.worth)) {
        // A product of halves is one step for several rows where one of whole words is not.
        (Ok(least), Ok(most), Ok(worth)) if size_of::<T::Native>() <= size_of::<i32>() => {
            for ((value, number), outside) in rows {
                let value: i64 = (*value).into();
                let at = (value as i32).wrapping_sub(least).cast_unsigned();
                *number = number.wrapping_add_unsigned(u64::from(at) * u64::from(worth));
                *outside |= -i64::from(at > most);
            }
        }
        _ => {
            for ((value, number), outside) in rows {
                let value: i64 = (*value).into();
                let at = value.wrapping_sub(digit.least);
                *number = number.wrapping_add(at.wrapping_mul(digit.worth));
                *outside |= -i64::from(at.cast_unsigned() > digit.most);
            }
        }
    }
}

impl PhysicalExpr for PackedKey {
    fn data_type(&self, _: &Schema) -> DfResult<DataType> {
        Ok(self.table.kind())
    }

    fn nullable(&self, _: &Schema) -> DfResult<bool> {
        Ok(self.side == Side::Build)
    }

    fn evaluate(&self, batch: &RecordBatch) -> DfResult<ColumnarValue> {
        let rows = batch.num_rows();
        let keys = evaluate_expressions_to_arrays(&self.parts, batch)?;
        let mut nulls = NullBuffer::union_many(keys.iter().map(|values| values.nulls()));
        let mut numbers = vec![0; rows];
        for (at, numbers) in numbers.chunks_mut(ROWS_AT_ONCE).enumerate() {
            let outside = &mut [0; ROWS_AT_ONCE][..numbers.len()];
            for (values, digit) in keys.iter().zip(&*self.digits) {
                add_key(values, at * ROWS_AT_ONCE, *digit, numbers, outside)?;
            }
            if self.side == Side::Probe {
                for (number, outside) in numbers.iter_mut().zip(outside) {
                    *number |= *outside;
                }
            }
        }
        if self.side == Side::Probe
            && let Some(nulls) = nulls.take()
        {
            for (row, _) in nulls.iter().enumerate().filter(|(_, valid)| !valid) {
                numbers[row] = NOTHING;
            }
        }
        Ok(ColumnarValue::Array(match self.table {
            Table::Array => Arc::new(Int64Array::new(numbers.into(), nulls)),
            Table::Hashed => Arc::new(TimestampMicrosecondArray::new(numbers.into(), nulls)),
        }))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.parts.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, parts: Vec<Arc<dyn PhysicalExpr>>) -> DfResult<Arc<dyn PhysicalExpr>> {
        if parts.len() != self.digits.len() {
            return Err(DataFusionError::Internal("a packed key has lost a part".into()));
        }
        Ok(Arc::new(PackedKey::new(parts, Arc::clone(&self.digits), self.side, self.table)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for PackedKey {
    fn eq(&self, other: &PackedKey) -> bool {
        (self.side, self.table) == (other.side, other.table) && self.parts == other.parts && self.digits == other.digits
    }
}

impl Eq for PackedKey {}

impl Hash for PackedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.parts, &self.digits, self.side, self.table).hash(state);
    }
}

impl fmt::Display for PackedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("packed(")?;
        for (place, part) in self.parts.iter().enumerate() {
            write!(f, "{}{part}", if place > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}
