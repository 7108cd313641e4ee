//! The folds themselves: interval sums, extremes, strings, arrays, single values. Sums of numbers are in `moments`.

use heliosdb_types::{
    ArrayBuilder, ArrayView, Datum, DatumRef, Dimension, Error, Interval, PhysicalType, Result, RowLayout, RowView,
    SqlState, SqlType, compare, encode_row,
};

use super::super::value::{int_of, text_of_datum, wrong_shape};
use super::fold::{Fold, FoldAggregate, datum_bytes};

/// Saves values as one encoded row.
pub(super) fn save_row(types: &[PhysicalType], values: &[DatumRef<'_>]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    encode_row(types, values, &mut out)?;
    Ok(out)
}

pub(super) fn first<'a>(args: &[DatumRef<'a>]) -> Result<DatumRef<'a>> {
    args.first().copied().ok_or_else(|| Error::internal("an argument"))
}

struct IntervalSum {
    count: i64,
    sum: Interval,
    average: bool,
}

const INTERVAL_SUM: [PhysicalType; 2] = [PhysicalType::Int64, PhysicalType::Interval];

impl Fold for IntervalSum {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let DatumRef::Interval(value) = first(args)? else { return Err(wrong_shape("an interval", first(args)?)) };
        self.count += 1;
        self.sum = self.sum.checked_add(value)?;
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        save_row(&INTERVAL_SUM, &[DatumRef::Int64(self.count), DatumRef::Interval(self.sum)])
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let layout = RowLayout::new(&INTERVAL_SUM);
        let view = RowView::new(&layout, saved)?;
        match (view.get(0)?, view.get(1)?) {
            (DatumRef::Int64(count), DatumRef::Interval(sum)) => {
                self.count += count;
                self.sum = self.sum.checked_add(sum)?;
                Ok(())
            }
            _ => Err(Error::internal("damaged aggregate state")),
        }
    }

    fn forgets(&self) -> bool {
        true
    }

    fn remove(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let DatumRef::Interval(value) = first(args)? else { return Err(wrong_shape("an interval", first(args)?)) };
        self.count -= 1;
        self.sum = self.sum.checked_sub(value)?;
        Ok(())
    }

    fn bytes(&self, _came: usize) -> usize {
        0
    }

    fn finish(&self) -> Result<Datum> {
        match (self.count, self.average) {
            (0, _) => Ok(Datum::Null),
            (_, false) => Ok(Datum::Interval(self.sum)),
            (count, true) => self.sum.checked_div(count as f64).map(Datum::Interval),
        }
    }
}

fn interval(name: &str, average: bool) -> FoldAggregate {
    let physical = PhysicalType::Interval;
    FoldAggregate::new(name, format!("interval_{name}"), vec![physical], physical, true, move || IntervalSum {
        count: 0,
        sum: Interval::default(),
        average,
    })
}

pub(super) fn interval_sum() -> FoldAggregate {
    interval("sum", false)
}

pub(super) fn interval_avg() -> FoldAggregate {
    interval("avg", true)
}

/// One value kept: the smallest or largest (of equals that look different the last, as PostgreSQL has it), the first, or the only one.
struct Kept {
    physical: PhysicalType,
    keep: Keep,
    value: Option<Datum>,
}

#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Smallest,
    Largest,
    First,
    Only,
}

impl Kept {
    fn offer(&mut self, value: DatumRef<'_>) -> Result<()> {
        let replace = match (&self.value, self.keep) {
            (None, _) => true,
            (Some(_), Keep::Only) => {
                return Err(Error::invalid(
                    SqlState::CARDINALITY_VIOLATION,
                    "more than one row returned by a subquery used as an expression",
                ));
            }
            (Some(_), Keep::First) => false,
            (Some(kept), Keep::Smallest) => compare(value, kept.as_ref()).is_le(),
            (Some(kept), Keep::Largest) => compare(value, kept.as_ref()).is_ge(),
        };
        if replace {
            self.value = Some(value.to_owned());
        }
        Ok(())
    }
}

impl Fold for Kept {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        self.offer(first(args)?)
    }

    fn save(&self) -> Result<Vec<u8>> {
        let Some(value) = &self.value else { return Ok(Vec::new()) };
        save_row(&[self.physical], &[value.as_ref()])
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        if saved.is_empty() {
            return Ok(());
        }
        let layout = RowLayout::new(&[self.physical]);
        let value = RowView::new(&layout, saved)?.get(0)?;
        self.offer(value)
    }

    fn bytes(&self, _came: usize) -> usize {
        self.value.as_ref().map_or(0, |value| datum_bytes(&value.as_ref()))
    }

    fn finish(&self) -> Result<Datum> {
        Ok(self.value.clone().unwrap_or(Datum::Null))
    }
}

pub(super) fn extreme(largest: bool, physical: PhysicalType) -> FoldAggregate {
    let (name, keep) = if largest { ("max", Keep::Largest) } else { ("min", Keep::Smallest) };
    let key = format!("{name} {physical:?}");
    FoldAggregate::new(name, key, vec![physical], physical, true, move || Kept { physical, keep, value: None })
}

/// Whichever value comes first.
pub(super) fn first_value(physical: PhysicalType) -> FoldAggregate {
    FoldAggregate::new("first", format!("first {physical:?}"), vec![physical], physical, true, move || Kept {
        physical,
        keep: Keep::First,
        value: None,
    })
}

/// `bool_and` and `bool_or` over frames: how many rows say what.
struct Truth {
    any: bool,
    trues: i64,
    falses: i64,
}

const TRUTH: [PhysicalType; 2] = [PhysicalType::Int64, PhysicalType::Int64];

impl Truth {
    fn count(&mut self, value: DatumRef<'_>, by: i64) -> Result<()> {
        match value {
            DatumRef::Bool(true) => self.trues += by,
            DatumRef::Bool(false) => self.falses += by,
            other => return Err(wrong_shape("a truth value", other)),
        }
        Ok(())
    }
}

impl Fold for Truth {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        self.count(first(args)?, 1)
    }

    fn save(&self) -> Result<Vec<u8>> {
        save_row(&TRUTH, &[DatumRef::Int64(self.trues), DatumRef::Int64(self.falses)])
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let layout = RowLayout::new(&TRUTH);
        let view = RowView::new(&layout, saved)?;
        self.trues += int_of(view.get(0)?)?;
        self.falses += int_of(view.get(1)?)?;
        Ok(())
    }

    fn bytes(&self, _came: usize) -> usize {
        0
    }

    fn finish(&self) -> Result<Datum> {
        Ok(match (self.trues, self.falses) {
            (0, 0) => Datum::Null,
            (trues, _) if self.any => Datum::Bool(trues > 0),
            (_, falses) => Datum::Bool(falses == 0),
        })
    }

    fn forgets(&self) -> bool {
        true
    }

    fn remove(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        self.count(first(args)?, -1)
    }
}

pub(super) fn truth(any: bool) -> FoldAggregate {
    let (name, physical) = (if any { "bool_or" } else { "bool_and" }, PhysicalType::Bool);
    FoldAggregate::new(name, format!("{name} rows"), vec![physical], physical, true, move || Truth {
        any,
        trues: 0,
        falses: 0,
    })
}

/// `bit_and`, `bit_or`, `bit_xor` of integers.
struct Bits {
    combine: fn(i64, i64) -> i64,
    physical: PhysicalType,
    bits: Option<i64>,
}

impl Fold for Bits {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let value = int_of(first(args)?)?;
        self.bits = Some(self.bits.map_or(value, |bits| (self.combine)(bits, value)));
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        let Some(bits) = self.bits else { return Ok(Vec::new()) };
        save_row(&[PhysicalType::Int64], &[DatumRef::Int64(bits)])
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        if saved.is_empty() {
            return Ok(());
        }
        let layout = RowLayout::new(&[PhysicalType::Int64]);
        self.add(&[RowView::new(&layout, saved)?.get(0)?])
    }

    fn bytes(&self, _came: usize) -> usize {
        0
    }

    fn finish(&self) -> Result<Datum> {
        let Some(bits) = self.bits else { return Ok(Datum::Null) };
        // Bits of a narrow integer's sign are its upper ones: combined they fit again.
        Ok(match self.physical {
            PhysicalType::Int16 => Datum::Int16(bits as i16),
            PhysicalType::Int32 => Datum::Int32(bits as i32),
            _ => Datum::Int64(bits),
        })
    }
}

pub(super) fn bits(name: &str, physical: PhysicalType) -> FoldAggregate {
    let combine: fn(i64, i64) -> i64 = match name {
        "bit_and" => |a, b| a & b,
        "bit_or" => |a, b| a | b,
        _ => |a, b| a ^ b,
    };
    let key = format!("{name} {physical:?}");
    FoldAggregate::new(name, key, vec![physical], physical, true, move || Bits { combine, physical, bits: None })
}

/// A scalar subquery's row. NULL counts as a row.
pub(super) fn single_value(physical: PhysicalType) -> FoldAggregate {
    let key = format!("single_value {physical:?}");
    FoldAggregate::new("single_value", key, vec![physical], physical, false, move || Kept {
        physical,
        keep: Keep::Only,
        value: None,
    })
}

/// `string_agg`: each value after the first comes after its own delimiter.
#[derive(Default)]
struct Strings {
    /// The first delimiter, kept for merging, and the text so far.
    first_delimiter: String,
    text: Option<String>,
}

impl Fold for Strings {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let [value, delimiter] = args else { return Err(Error::internal("string_agg of two arguments")) };
        let delimiter = if delimiter.is_null() { "" } else { text_of_datum(*delimiter)? };
        let value = text_of_datum(*value)?;
        match &mut self.text {
            None => {
                self.first_delimiter = delimiter.to_owned();
                self.text = Some(value.to_owned());
            }
            Some(text) => {
                text.push_str(delimiter);
                text.push_str(value);
            }
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        let Some(text) = &self.text else { return Ok(Vec::new()) };
        save_row(&[PhysicalType::Text; 2], &[DatumRef::Text(&self.first_delimiter), DatumRef::Text(text)])
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        if saved.is_empty() {
            return Ok(());
        }
        let layout = RowLayout::new(&[PhysicalType::Text; 2]);
        let view = RowView::new(&layout, saved)?;
        self.add(&[view.get(1)?, view.get(0)?])
    }

    fn finish(&self) -> Result<Datum> {
        Ok(self.text.clone().map_or(Datum::Null, Datum::Text))
    }
}

pub(super) fn string_agg() -> FoldAggregate {
    let types = vec![PhysicalType::Text; 2];
    FoldAggregate::new("string_agg", "string_agg".into(), types, PhysicalType::Text, true, Strings::default)
}

/// `array_agg`: the elements, or for arrays the elements of all of them.
struct Elements {
    element: SqlType,
    /// The values are arrays themselves.
    nested: bool,
    builder: ArrayBuilder,
    /// Values so far, and the dimensions of each if they are arrays.
    count: usize,
    inner: Vec<Dimension>,
}

impl Elements {
    fn new(element: SqlType, nested: bool) -> Result<Elements> {
        let builder = ArrayBuilder::new(&element)?;
        Ok(Elements { element, nested, builder, count: 0, inner: Vec::new() })
    }

    fn add_array(&mut self, bytes: &[u8]) -> Result<()> {
        let wrong = |message| Err(Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, message));
        let array = ArrayView::new(&self.element, bytes)?;
        if array.is_empty() {
            return wrong("cannot accumulate empty arrays");
        }
        if self.count == 0 {
            self.inner = array.dimensions().to_vec();
        } else if self.inner != array.dimensions() {
            return wrong("cannot accumulate arrays of different dimensionality");
        }
        array.iter().try_for_each(|value| self.builder.push(value?.as_ref()))
    }

    fn array(&self) -> Result<Option<Vec<u8>>> {
        if self.count == 0 {
            return Ok(None);
        }
        let mut dimensions = vec![Dimension::of(self.count)?];
        if self.nested {
            dimensions.extend(&self.inner);
        }
        self.builder.clone().finish_as(&dimensions).map(Some)
    }
}

impl Fold for Elements {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        match (first(args)?, self.nested) {
            (DatumRef::Null, true) => {
                return Err(Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, "cannot accumulate null arrays"));
            }
            (DatumRef::Bytes(bytes), true) => self.add_array(bytes)?,
            (value, _) => self.builder.push(value)?,
        }
        self.count += 1;
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.array()?.unwrap_or_default())
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        if saved.is_empty() {
            return Ok(());
        }
        let array = ArrayView::new(&self.element, saved)?;
        let (Some(outer), inner) = (array.dimensions().first(), array.dimensions().get(1..).unwrap_or(&[])) else {
            return Err(Error::internal("damaged aggregate state"));
        };
        if self.count > 0 && self.inner != inner {
            let message = "cannot accumulate arrays of different dimensionality";
            return Err(Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, message));
        }
        self.inner = inner.to_vec();
        self.count += outer.length as usize;
        array.iter().try_for_each(|value| self.builder.push(value?.as_ref()))
    }

    fn finish(&self) -> Result<Datum> {
        Ok(self.array()?.map_or(Datum::Null, Datum::Bytes))
    }
}

/// 0A000 where there are no arrays of the type.
pub(super) fn array_agg(physical: PhysicalType, sql_type: &SqlType) -> Result<FoldAggregate> {
    let array = sql_type.array_of();
    let element = array.element().cloned().ok_or_else(|| Error::internal("an array has elements"))?;
    let nested = array == *sql_type;
    Elements::new(element.clone(), nested)?;
    let key = format!("array_agg {physical:?} {}", super::super::type_key(sql_type));
    Ok(FoldAggregate::new("array_agg", key, vec![physical], PhysicalType::Bytes, false, move || {
        Elements::new(element.clone(), nested).expect("made once before")
    }))
}
