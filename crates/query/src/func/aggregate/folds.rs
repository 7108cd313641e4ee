//! The folds themselves: numeric and interval sums, spread, extremes, strings, arrays, single values.

use heliosdb_types::{
    ArrayBuilder, ArrayView, Datum, DatumRef, Dimension, Error, Interval, Numeric, PhysicalType, Result, RowLayout,
    RowView, SqlState, SqlType, compare, encode_row,
};

use super::super::value::{int_of, numeric_of, text_of_datum, wrong_shape};
use super::fold::{Fold, FoldAggregate};

/// Saves values as one encoded row.
fn save_row(types: &[PhysicalType], values: &[DatumRef<'_>]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    encode_row(types, values, &mut out)?;
    Ok(out)
}

fn first<'a>(args: &[DatumRef<'a>]) -> Result<DatumRef<'a>> {
    args.first().copied().ok_or_else(|| Error::internal("an argument"))
}

/// Count, sum and sum of squares: what sum, avg and variance of numeric need.
#[derive(Clone)]
struct Moments {
    count: i64,
    sum: Numeric,
    squares: Option<Numeric>,
    finish: fn(&Moments) -> Result<Datum>,
}

const MOMENTS: [PhysicalType; 3] = [PhysicalType::Int64, PhysicalType::Numeric, PhysicalType::Numeric];

impl Moments {
    fn new(squares: bool, finish: fn(&Moments) -> Result<Datum>) -> Moments {
        Moments { count: 0, sum: Numeric::zero(), squares: squares.then(Numeric::zero), finish }
    }
}

impl Fold for Moments {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let value = numeric_of(first(args)?)?;
        self.count += 1;
        self.sum = self.sum.add(&value)?;
        if let Some(squares) = &mut self.squares {
            *squares = squares.add(&value.mul(&value)?)?;
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        let zero = Numeric::zero();
        let squares = self.squares.as_ref().unwrap_or(&zero);
        let values = [
            DatumRef::Int64(self.count),
            DatumRef::Numeric(self.sum.as_bytes()),
            DatumRef::Numeric(squares.as_bytes()),
        ];
        save_row(&MOMENTS, &values)
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let layout = RowLayout::new(&MOMENTS);
        let view = RowView::new(&layout, saved)?;
        let DatumRef::Int64(count) = view.get(0)? else { return Err(Error::internal("damaged aggregate state")) };
        self.count += count;
        self.sum = self.sum.add(&numeric_of(view.get(1)?)?)?;
        if let Some(squares) = &mut self.squares {
            *squares = squares.add(&numeric_of(view.get(2)?)?)?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<Datum> {
        (self.finish)(self)
    }
}

fn moments(name: &str, squares: bool, finish: fn(&Moments) -> Result<Datum>) -> FoldAggregate {
    let types = vec![PhysicalType::Numeric];
    FoldAggregate::new(name, format!("numeric_{name}"), types, PhysicalType::Numeric, true, move || {
        Moments::new(squares, finish)
    })
}

pub(super) fn numeric_sum() -> FoldAggregate {
    moments("sum", false, |state| Ok(if state.count == 0 { Datum::Null } else { Datum::Numeric(state.sum.clone()) }))
}

pub(super) fn numeric_avg() -> FoldAggregate {
    moments("avg", false, |state| {
        if state.count == 0 {
            return Ok(Datum::Null);
        }
        state.sum.div(&Numeric::from_i64(state.count)).map(Datum::Numeric)
    })
}

/// Variance or standard deviation, of a sample or a population.
pub(super) fn variance(population: bool, root: bool) -> FoldAggregate {
    match (population, root) {
        (false, false) => moments("var_samp", true, |state| spread(state, false, false)),
        (true, false) => moments("var_pop", true, |state| spread(state, true, false)),
        (false, true) => moments("stddev_samp", true, |state| spread(state, false, true)),
        (true, true) => moments("stddev_pop", true, |state| spread(state, true, true)),
    }
}

fn spread(state: &Moments, population: bool, root: bool) -> Result<Datum> {
    let least = if population { 1 } else { 2 };
    let Some(squares) = state.squares.as_ref().filter(|_| state.count >= least) else { return Ok(Datum::Null) };
    let count = Numeric::from_i64(state.count);
    // (N sum(x^2) - sum(x)^2) / (N (N - 1)), or / N^2.
    let numerator = count.mul(squares)?.sub(&state.sum.mul(&state.sum)?)?;
    if !numerator.is_nan() && numerator.signum() <= 0 {
        return Ok(Datum::Numeric(Numeric::zero()));
    }
    let other = if population { count.clone() } else { Numeric::from_i64(state.count - 1) };
    let variance = numerator.div(&count.mul(&other)?)?;
    let result = if root { variance.sqrt()?.round(variance.scale())? } else { variance };
    Ok(Datum::Numeric(result))
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

/// One value kept: the smallest, the largest, or the only one.
struct Kept {
    physical: PhysicalType,
    keep: Keep,
    value: Option<Datum>,
}

#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Smallest,
    Largest,
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
            (Some(kept), Keep::Smallest) => compare(value, kept.as_ref()).is_lt(),
            (Some(kept), Keep::Largest) => compare(value, kept.as_ref()).is_gt(),
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

    fn finish(&self) -> Result<Datum> {
        Ok(self.value.clone().unwrap_or(Datum::Null))
    }
}

pub(super) fn extreme(largest: bool, physical: PhysicalType) -> FoldAggregate {
    let (name, keep) = if largest { ("max", Keep::Largest) } else { ("min", Keep::Smallest) };
    let key = format!("{name} {physical:?}");
    FoldAggregate::new(name, key, vec![physical], physical, true, move || Kept { physical, keep, value: None })
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
