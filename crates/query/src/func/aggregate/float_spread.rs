//! Variance and standard deviation of floats, by Youngs and Cramer's recurrence: step for step what PostgreSQL computes, so that
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
