//! Variance, standard deviation, correlation and regression of floats, by Youngs and Cramer's recurrence: step for step what PostgreSQL computes, so that
//! rounding shows in the same digits.

use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result, RowLayout, RowView, SqlState, encode_row};

use super::super::value::{float_of, int_of};
use super::fold::{Fold, FoldAggregate};

const STATE: [PhysicalType; 3] = [PhysicalType::Int64, PhysicalType::Float64, PhysicalType::Float64];

#[derive(Clone, Copy)]
struct Spread {
    count: i64,
    sum: f64,
    /// Sum of squared differences from the mean.
    squares: f64,
    population: bool,
    root: bool,
}

fn overflow() -> Error {
    Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")
}

impl Spread {
    fn absorb(&mut self, other: Spread) -> Result<()> {
        if other.count == 0 {
            return Ok(());
        }
        if self.count == 0 {
            (self.count, self.sum, self.squares) = (other.count, other.sum, other.squares);
            return Ok(());
        }
        let (mine, theirs) = (self.count as f64, other.count as f64);
        let apart = self.sum / mine - other.sum / theirs;
        let sum = self.sum + other.sum;
        let squares = self.squares + other.squares + mine * theirs * apart * apart / (mine + theirs);
        if squares.is_infinite() && self.squares.is_finite() && other.squares.is_finite() {
            return Err(overflow());
        }
        (self.count, self.sum, self.squares) = (self.count + other.count, sum, squares);
        Ok(())
    }
}

impl Fold for Spread {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let value = float_of(*args.first().ok_or_else(|| Error::internal("an argument"))?)?;
        let (before, sum) = (self.count as f64, self.sum + value);
        self.count += 1;
        if before > 0.0 {
            let count = before + 1.0;
            let apart = value * count - sum;
            self.squares += apart * apart / (count * before);
            if sum.is_infinite() || self.squares.is_infinite() {
                if self.sum.is_finite() && value.is_finite() {
                    return Err(overflow());
                }
                self.squares = f64::NAN;
            }
        } else if !value.is_finite() {
            self.squares = f64::NAN;
        }
        self.sum = sum;
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let values = [DatumRef::Int64(self.count), DatumRef::Float64(self.sum), DatumRef::Float64(self.squares)];
        encode_row(&STATE, &values, &mut out)?;
        Ok(out)
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let layout = RowLayout::new(&STATE);
        let view = RowView::new(&layout, saved)?;
        let (count, sum, squares) = (int_of(view.get(0)?)?, float_of(view.get(1)?)?, float_of(view.get(2)?)?);
        self.absorb(Spread { count, sum, squares, ..*self })
    }

    fn bytes(&self, _came: usize) -> usize {
        0
    }

    fn finish(&self) -> Result<Datum> {
        let least = if self.population { 1 } else { 2 };
        if self.count < least {
            return Ok(Datum::Null);
        }
        let count = if self.population { self.count } else { self.count - 1 };
        let variance = self.squares / count as f64;
        Ok(Datum::Float64(if self.root { variance.sqrt() } else { variance }))
    }
}

/// Of a population or a sample; the root of it is the standard deviation.
pub(super) fn spread(population: bool, root: bool) -> FoldAggregate {
    let name = match (population, root) {
        (false, false) => "var_samp",
        (true, false) => "var_pop",
        (false, true) => "stddev_samp",
        (true, true) => "stddev_pop",
    };
    let float = PhysicalType::Float64;
    FoldAggregate::new(name, format!("float_{name}"), vec![float], float, true, move || Spread {
        count: 0,
        sum: 0.0,
        squares: 0.0,
        population,
        root,
    })
}

const PAIR_STATE: [PhysicalType; 6] = [
    PhysicalType::Int64,
    PhysicalType::Float64,
    PhysicalType::Float64,
    PhysicalType::Float64,
    PhysicalType::Float64,
    PhysicalType::Float64,
];

/// Sums over pairs, y before x as PostgreSQL's arguments are; a pair with a NULL counts for nothing.
#[derive(Clone, Copy)]
struct Pairs {
    count: i64,
    x: f64,
    xx: f64,
    y: f64,
    yy: f64,
    xy: f64,
    finish: Finish,
}

impl Pairs {
    fn new(finish: Finish) -> Pairs {
        Pairs { count: 0, x: 0.0, xx: 0.0, y: 0.0, yy: 0.0, xy: 0.0, finish }
    }

    /// Infinite sums are of infinite values, or an error.
    fn checked(&mut self, before: Pairs, x: f64, y: f64) -> Result<()> {
        let (xx, yy, xy) = (self.xx.is_infinite(), self.yy.is_infinite(), self.xy.is_infinite());
        if !(xx || yy || xy) {
            return Ok(());
        }
        if (xx || xy) && before.x.is_finite() && x.is_finite() || (yy || xy) && before.y.is_finite() && y.is_finite() {
            return Err(overflow());
        }
        for sum in [&mut self.xx, &mut self.yy, &mut self.xy] {
            if sum.is_infinite() {
                *sum = f64::NAN;
            }
        }
        Ok(())
    }
}

impl Fold for Pairs {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let [y, x] = args else { return Err(Error::internal("two arguments")) };
        if y.is_null() || x.is_null() {
            return Ok(());
        }
        let (x, y, before) = (float_of(*x)?, float_of(*y)?, *self);
        self.count += 1;
        self.x += x;
        self.y += y;
        if before.count > 0 {
            let count = self.count as f64;
            let (from_x, from_y) = (x * count - self.x, y * count - self.y);
            let scale = 1.0 / (count * before.count as f64);
            self.xx += from_x * from_x * scale;
            self.yy += from_y * from_y * scale;
            self.xy += from_x * from_y * scale;
            return self.checked(before, x, y);
        }
        if !x.is_finite() {
            (self.xx, self.xy) = (f64::NAN, f64::NAN);
        }
        if !y.is_finite() {
            (self.yy, self.xy) = (f64::NAN, f64::NAN);
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        let mut values = vec![DatumRef::Int64(self.count)];
        values.extend([self.x, self.xx, self.y, self.yy, self.xy].map(DatumRef::Float64));
        let mut out = Vec::new();
        encode_row(&PAIR_STATE, &values, &mut out)?;
        Ok(out)
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let layout = RowLayout::new(&PAIR_STATE);
        let view = RowView::new(&layout, saved)?;
        let float = |at: usize| view.get(at).and_then(float_of);
        let (count, finish) = (int_of(view.get(0)?)?, self.finish);
        let other = Pairs { count, x: float(1)?, xx: float(2)?, y: float(3)?, yy: float(4)?, xy: float(5)?, finish };
        if other.count == 0 {
            return Ok(());
        }
        if self.count == 0 {
            *self = other;
            return Ok(());
        }
        let (before, mine, theirs) = (*self, self.count as f64, count as f64);
        let (x, y) = (self.x / mine - other.x / theirs, self.y / mine - other.y / theirs);
        let weight = mine * theirs / (mine + theirs);
        self.count += count;
        self.x += other.x;
        self.y += other.y;
        self.xx += other.xx + weight * x * x;
        self.yy += other.yy + weight * y * y;
        self.xy += other.xy + weight * x * y;
        self.checked(before, other.x, other.y)
    }

    fn bytes(&self, _came: usize) -> usize {
        0
    }

    fn finish(&self) -> Result<Datum> {
        if self.count < 1 {
            return Ok(Datum::Null);
        }
        Ok((self.finish)(self).map_or(Datum::Null, Datum::Float64))
    }
}

type Finish = fn(&Pairs) -> Option<f64>;

/// Aggregates of pairs, and what each makes of the sums.
const PAIRS: [(&str, Finish); 11] = [
    ("corr", |p| (p.xx != 0.0 && p.yy != 0.0).then(|| p.xy / (p.xx * p.yy).sqrt())),
    ("covar_pop", |p| Some(p.xy / p.count as f64)),
    ("covar_samp", |p| (p.count > 1).then(|| p.xy / (p.count - 1) as f64)),
    ("regr_avgx", |p| Some(p.x / p.count as f64)),
    ("regr_avgy", |p| Some(p.y / p.count as f64)),
    ("regr_intercept", |p| (p.xx != 0.0).then(|| (p.y - p.x * p.xy / p.xx) / p.count as f64)),
    ("regr_r2", |p| match (p.xx == 0.0, p.yy == 0.0) {
        (true, _) => None,
        (false, true) => Some(1.0),
        (false, false) => Some(p.xy * p.xy / (p.xx * p.yy)),
    }),
    ("regr_slope", |p| (p.xx != 0.0).then(|| p.xy / p.xx)),
    ("regr_sxx", |p| Some(p.xx)),
    ("regr_sxy", |p| Some(p.xy)),
    ("regr_syy", |p| Some(p.yy)),
];

/// An aggregate of pairs by its name; `None`: there is none.
pub(super) fn pairs(name: &str) -> Option<FoldAggregate> {
    let (name, finish) = *PAIRS.iter().find(|(known, _)| *known == name)?;
    let float = PhysicalType::Float64;
    Some(FoldAggregate::new(name, format!("float_{name}"), vec![float, float], float, false, move || {
        Pairs::new(finish)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Spread {
        let mut spread = Spread { count: 0, sum: 0.0, squares: 0.0, population: false, root: false };
        for value in values {
            spread.add(&[DatumRef::Float64(*value)]).unwrap();
        }
        spread
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let (mut left, right) = (of(&[1.0, 2.5, -7.0]), of(&[4.0, 1e3]));
        left.merge(&right.save().unwrap()).unwrap();
        let Datum::Float64(merged) = left.finish().unwrap() else { panic!("a float") };
        let Datum::Float64(whole) = of(&[1.0, 2.5, -7.0, 4.0, 1e3]).finish().unwrap() else { panic!("a float") };
        assert!((merged - whole).abs() < 1e-9 * whole);
        left.merge(&of(&[]).save().unwrap()).unwrap();
        assert_eq!(left.finish().unwrap(), Datum::Float64(merged));
    }

    #[test]
    fn what_is_no_number_spreads_to_none() {
        assert_eq!(of(&[1.0]).finish().unwrap(), Datum::Null);
        let Datum::Float64(spread) = of(&[1.0, f64::INFINITY]).finish().unwrap() else { panic!("a float") };
        assert!(spread.is_nan());
        let mut large = of(&[1e308]);
        assert!(large.add(&[DatumRef::Float64(1e308)]).is_err());
    }
}
