//! Sums, averages and spreads of numbers as folds: of numeric, which is exact and so forgets what left a frame, and of double
//! precision, which is not and so adds up a frame's values anew.

use std::collections::{BTreeMap, VecDeque};

use heliosdb_types::{Datum, DatumRef, Error, Numeric, PhysicalType, Result, RowLayout, RowView, SqlState};

use super::super::value::{float_of, int_of, numeric_of};
use super::fold::{Fold, FoldAggregate};
use super::folds::{first, save_row};

/// Count, sum and sum of squares: what sum, avg and variance of numeric need.
#[derive(Clone)]
struct Moments {
    count: i64,
    sum: Numeric,
    squares: Option<Numeric>,
    /// NaN and the infinities are counted, not added: they could not be taken out of a sum.
    special: Special,
    /// How many of the values have which display scale, where values leave again: a sum shows the largest.
    scales: Option<BTreeMap<i32, i64>>,
    finish: fn(&Moments) -> Result<Datum>,
}

#[derive(Clone, Copy, Default)]
struct Special {
    nan: i64,
    positive: i64,
    negative: i64,
}

impl Special {
    fn of(value: &Numeric) -> Option<Special> {
        let none = Special::default();
        match (value.is_nan(), value.is_finite()) {
            (true, _) => Some(Special { nan: 1, ..none }),
            (_, true) => None,
            _ if value.signum() > 0 => Some(Special { positive: 1, ..none }),
            _ => Some(Special { negative: 1, ..none }),
        }
    }

    fn add(&mut self, other: Special, times: i64) {
        self.nan += times * other.nan;
        self.positive += times * other.positive;
        self.negative += times * other.negative;
    }

    /// What a sum with them is.
    fn sum(&self) -> Option<Numeric> {
        match (self.nan, self.positive, self.negative) {
            (0, 0, 0) => None,
            (0, _, 0) => Some(Numeric::infinity()),
            (0, 0, _) => Some(Numeric::negative_infinity()),
            _ => Some(Numeric::nan()),
        }
    }
}

const MOMENTS: [PhysicalType; 6] = [
    PhysicalType::Int64,
    PhysicalType::Numeric,
    PhysicalType::Numeric,
    PhysicalType::Int64,
    PhysicalType::Int64,
    PhysicalType::Int64,
];

impl Moments {
    fn new(squares: bool, finish: fn(&Moments) -> Result<Datum>) -> Moments {
        let (sum, squares) = (Numeric::zero(), squares.then(Numeric::zero));
        Moments { count: 0, sum, squares, special: Special::default(), scales: None, finish }
    }

    /// The sum, with the scale of what is in it.
    fn sum(&self) -> Result<Numeric> {
        match (self.special.sum(), self.scale()) {
            (Some(special), _) => Ok(special),
            (None, Some(scale)) => self.sum.round(scale),
            (None, None) => Ok(self.sum.clone()),
        }
    }

    /// The sum of squares; NaN with anything special, whose spread is none.
    fn squares(&self) -> Result<Option<Numeric>> {
        let Some(squares) = &self.squares else { return Ok(None) };
        match (self.special.sum(), self.scale()) {
            (Some(_), _) => Ok(Some(Numeric::nan())),
            (None, Some(scale)) => squares.round(scale.saturating_mul(2)).map(Some),
            (None, None) => Ok(Some(squares.clone())),
        }
    }

    /// The largest scale there is, if values leave.
    fn scale(&self) -> Option<i32> {
        self.scales.as_ref().map(|scales| scales.last_key_value().map_or(0, |(scale, _)| *scale))
    }
}

impl Fold for Moments {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let value = numeric_of(first(args)?)?;
        self.count += 1;
        if let Some(special) = Special::of(&value) {
            self.special.add(special, 1);
            return Ok(());
        }
        if let Some(scales) = &mut self.scales {
            *scales.entry(value.scale()).or_default() += 1;
        }
        self.sum = self.sum.add(&value)?;
        if let Some(squares) = &mut self.squares {
            *squares = squares.add(&value.mul(&value)?)?;
        }
        Ok(())
    }

    fn start_sliding(&mut self) {
        self.scales = Some(BTreeMap::new());
    }

    fn forgets(&self) -> bool {
        true
    }

    fn remove(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let value = numeric_of(first(args)?)?;
        self.count -= 1;
        if let Some(special) = Special::of(&value) {
            self.special.add(special, -1);
            return Ok(());
        }
        if let Some(scales) = &mut self.scales
            && let Some(times) = scales.get_mut(&value.scale())
        {
            *times -= 1;
            if *times == 0 {
                scales.remove(&value.scale());
            }
        }
        self.sum = self.sum.sub(&value)?;
        if let Some(squares) = &mut self.squares {
            *squares = squares.sub(&value.mul(&value)?)?;
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
            DatumRef::Int64(self.special.nan),
            DatumRef::Int64(self.special.positive),
            DatumRef::Int64(self.special.negative),
        ];
        save_row(&MOMENTS, &values)
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let layout = RowLayout::new(&MOMENTS);
        let view = RowView::new(&layout, saved)?;
        self.count += int_of(view.get(0)?)?;
        self.sum = self.sum.add(&numeric_of(view.get(1)?)?)?;
        if let Some(squares) = &mut self.squares {
            *squares = squares.add(&numeric_of(view.get(2)?)?)?;
        }
        let (nan, positive, negative) = (int_of(view.get(3)?)?, int_of(view.get(4)?)?, int_of(view.get(5)?)?);
        self.special.add(Special { nan, positive, negative }, 1);
        Ok(())
    }

    fn bytes(&self, _came: usize) -> usize {
        self.sum.as_bytes().len() + self.squares.as_ref().map_or(0, |squares| squares.as_bytes().len())
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
    moments("sum", false, |state| if state.count == 0 { Ok(Datum::Null) } else { state.sum().map(Datum::Numeric) })
}

pub(super) fn numeric_avg() -> FoldAggregate {
    moments("avg", false, |state| {
        if state.count == 0 {
            return Ok(Datum::Null);
        }
        state.sum()?.div(&Numeric::from_i64(state.count)).map(Datum::Numeric)
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
    let Some(squares) = state.squares()?.filter(|_| state.count >= least) else { return Ok(Datum::Null) };
    let (count, sum) = (Numeric::from_i64(state.count), state.sum()?);
    // (N sum(x^2) - sum(x)^2) / (N (N - 1)), or / N^2.
    let numerator = count.mul(&squares)?.sub(&sum.mul(&sum)?)?;
    if !numerator.is_nan() && numerator.signum() <= 0 {
        return Ok(Datum::Numeric(Numeric::zero()));
    }
    let other = if population { count.clone() } else { Numeric::from_i64(state.count - 1) };
    let variance = numerator.div(&count.mul(&other)?)?;
    let result = if root { variance.sqrt_to(variance.scale())? } else { variance };
    Ok(Datum::Numeric(result))
}

struct FloatSum {
    count: i64,
    sum: f64,
    average: bool,
    /// The values of a moving frame.
    frame: Option<VecDeque<f64>>,
}

const FLOAT_SUM: [PhysicalType; 2] = [PhysicalType::Int64, PhysicalType::Float64];

/// 22003 where a sum of finite values is not finite.
fn added(sum: f64, value: f64) -> Result<f64> {
    let total = sum + value;
    if total.is_infinite() && sum.is_finite() && value.is_finite() {
        return Err(Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
    }
    Ok(total)
}

impl Fold for FloatSum {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let value = float_of(first(args)?)?;
        self.count += 1;
        match &mut self.frame {
            Some(frame) => frame.push_back(value),
            None => self.sum = added(self.sum, value)?,
        }
        Ok(())
    }

    fn start_sliding(&mut self) {
        self.frame = Some(VecDeque::new());
    }

    fn forgets(&self) -> bool {
        true
    }

    /// What leaves a frame is what came first.
    fn remove(&mut self, _args: &[DatumRef<'_>]) -> Result<()> {
        self.count -= 1;
        if let Some(frame) = &mut self.frame {
            frame.pop_front();
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        save_row(&FLOAT_SUM, &[DatumRef::Int64(self.count), DatumRef::Float64(self.sum)])
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let layout = RowLayout::new(&FLOAT_SUM);
        let view = RowView::new(&layout, saved)?;
        self.count += int_of(view.get(0)?)?;
        self.sum = added(self.sum, float_of(view.get(1)?)?)?;
        Ok(())
    }

    fn bytes(&self, _came: usize) -> usize {
        self.frame.as_ref().map_or(0, |frame| frame.capacity() * size_of::<f64>())
    }

    fn finish(&self) -> Result<Datum> {
        let sum = match &self.frame {
            Some(frame) => frame.iter().try_fold(0.0, |sum, value| added(sum, *value))?,
            None => self.sum,
        };
        Ok(match (self.count, self.average) {
            (0, _) => Datum::Null,
            (count, true) => Datum::Float64(sum / count as f64),
            (_, false) => Datum::Float64(sum),
        })
    }
}

/// Sum or average of double precision over window frames.
pub(super) fn float_sum(average: bool) -> FoldAggregate {
    let name = if average { "avg" } else { "sum" };
    let (types, returns) = (vec![PhysicalType::Float64], PhysicalType::Float64);
    FoldAggregate::new(name, format!("float_{name}"), types, returns, true, move || FloatSum {
        count: 0,
        sum: 0.0,
        average,
        frame: None,
    })
}
