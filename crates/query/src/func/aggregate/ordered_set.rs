//! Ordered-set aggregates: `percentile_cont`, `percentile_disc`, `mode`, over values kept until their group ends.

use std::cmp::Ordering;

use heliosdb_types::{
    ArrayBuilder, ArrayView, Datum, DatumRef, Error, Interval, Numeric, PhysicalType, Result, RowLayout, RowView,
    SqlState, SqlType, compare, encode_row,
};

use super::fold::{Fold, FoldAggregate, parts, push_part};
use crate::exec::{check_cancelled, sort_checked};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Continuous,
    Discrete,
    Mode,
}

struct Sorted {
    kind: Kind,
    physical: PhysicalType,
    descending: bool,
    /// The fractions come as an array.
    several: bool,
    /// Of an array of results.
    element: SqlType,
    values: Vec<Datum>,
    /// The fractions, the same on every row; `None` before the first, or NULL.
    fractions: Option<Vec<Option<f64>>>,
}

fn fraction_of(value: DatumRef<'_>) -> Result<Option<f64>> {
    let fraction = match value {
        DatumRef::Null => return Ok(None),
        DatumRef::Float64(fraction) => fraction,
        _ => return Err(Error::internal("a fraction is a float")),
    };
    if !(0.0..=1.0).contains(&fraction) {
        let mut shown = String::new();
        heliosdb_types::write_float8(fraction, &mut shown);
        let message = format!("percentile value {shown} is not between 0 and 1");
        return Err(Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
    }
    Ok(Some(fraction))
}

impl Sorted {
    fn note_fractions(&mut self, value: DatumRef<'_>) -> Result<()> {
        if self.fractions.is_some() {
            return Ok(());
        }
        self.fractions = match value {
            DatumRef::Bytes(bytes) if self.several => {
                let array = ArrayView::new(&SqlType::Float8, bytes)?;
                Some(array.iter().map(|fraction| fraction_of(fraction?.as_ref())).collect::<Result<_>>()?)
            }
            DatumRef::Null => None,
            other => Some(vec![fraction_of(other)?]),
        };
        Ok(())
    }

    fn sorted(&self) -> Result<Vec<&Datum>> {
        let mut values: Vec<&Datum> = self.values.iter().collect();
        let order = |a: &&Datum, b: &&Datum| -> Ordering {
            let order = compare(a.as_ref(), b.as_ref());
            if self.descending { order.reverse() } else { order }
        };
        sort_checked(&mut values, check_cancelled, order)?;
        Ok(values)
    }

    fn percentile(&self, values: &[&Datum], fraction: f64) -> Result<Datum> {
        let count = values.len();
        let at = |at: usize| values.get(at).copied().cloned().unwrap_or(Datum::Null);
        if self.kind == Kind::Discrete {
            let row = (fraction * count as f64).ceil() as usize;
            return Ok(at(row.max(1) - 1));
        }
        let place = fraction * (count - 1) as f64;
        let (low, high) = (place.floor() as usize, place.ceil() as usize);
        if low == high {
            return Ok(at(low));
        }
        let part = place - low as f64;
        match (at(low), at(high)) {
            (Datum::Float64(low), Datum::Float64(high)) => Ok(Datum::Float64(low + part * (high - low))),
            (Datum::Interval(low), Datum::Interval(high)) => between(low, high, part).map(Datum::Interval),
            _ => Err(Error::internal("percentile_cont of other than floats and intervals")),
        }
    }

    fn mode(&self) -> Result<Datum> {
        let mut best: Option<(&Datum, usize)> = None;
        let mut run: Option<(&Datum, usize)> = None;
        for value in self.sorted()? {
            run = match run {
                Some((first, count)) if compare(first.as_ref(), value.as_ref()).is_eq() => Some((first, count + 1)),
                _ => Some((value, 1)),
            };
            if let Some((value, count)) = run
                && best.is_none_or(|(_, most)| count > most)
            {
                best = Some((value, count));
            }
        }
        Ok(best.map_or(Datum::Null, |(value, _)| value.clone()))
    }
}

fn between(low: Interval, high: Interval, part: f64) -> Result<Interval> {
    low.checked_add(high.checked_sub(low)?.checked_mul(part)?)
}

impl Fold for Sorted {
    fn add(&mut self, args: &[DatumRef<'_>]) -> Result<()> {
        let [value, fractions @ ..] = args else { return Err(Error::internal("an ordered value")) };
        if let Some(fractions) = fractions.first() {
            self.note_fractions(*fractions)?;
        }
        if !value.is_null() {
            self.values.push(value.to_owned());
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut put = |row: Vec<u8>| push_part(&row, &mut out);
        // First the fractions, as an array if there are any.
        let mut fractions = ArrayBuilder::new(&SqlType::Float8)?;
        for fraction in self.fractions.iter().flatten() {
            fractions.push(fraction.map_or(DatumRef::Null, DatumRef::Float64))?;
        }
        put(if self.fractions.is_some() { fractions.finish()? } else { Vec::new() });
        for value in &self.values {
            let mut row = Vec::new();
            encode_row(&[self.physical], &[value.as_ref()], &mut row)?;
            put(row);
        }
        Ok(out)
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let parts = parts(saved)?;
        let Some((fractions, values)) = parts.split_first() else { return Ok(()) };
        if self.fractions.is_none() && !fractions.is_empty() {
            let array = ArrayView::new(&SqlType::Float8, fractions)?;
            self.fractions = Some(array.iter().map(|fraction| fraction_of(fraction?.as_ref())).collect::<Result<_>>()?);
        }
        let layout = RowLayout::new(&[self.physical]);
        for row in values {
            check_cancelled()?;
            self.values.push(RowView::new(&layout, row)?.get(0)?.to_owned());
        }
        Ok(())
    }

    fn bytes(&self, came: usize) -> usize {
        came + self.values.capacity() * size_of::<Datum>()
    }

    fn finish(&self) -> Result<Datum> {
        if self.values.is_empty() {
            return Ok(Datum::Null);
        }
        if self.kind == Kind::Mode {
            return self.mode();
        }
        let Some(fractions) = &self.fractions else { return Ok(Datum::Null) };
        let values = self.sorted()?;
        let of = |fraction: &Option<f64>| match fraction {
            Some(fraction) => self.percentile(&values, *fraction),
            None => Ok(Datum::Null),
        };
        if !self.several {
            return fractions.first().map_or(Ok(Datum::Null), of);
        }
        let mut builder = ArrayBuilder::new(&self.element)?;
        for fraction in fractions {
            let value = of(fraction)?;
            // Elements of a numeric array have one form.
            let value = match value {
                Datum::Decimal { unscaled, scale } => Datum::Numeric(Numeric::from_unscaled(unscaled, scale)),
                other => other,
            };
            builder.push(value.as_ref())?;
        }
        builder.finish().map(Datum::Bytes)
    }
}

/// The fold over (value, fraction) rows, or values alone for a mode.
pub(super) fn fold(
    name: &str,
    kind: Kind,
    value: (PhysicalType, SqlType),
    fraction: Option<(PhysicalType, bool)>,
    descending: bool,
    returns: PhysicalType,
) -> FoldAggregate {
    let (physical, element) = value;
    let several = fraction.is_some_and(|(_, several)| several);
    let mut arguments = vec![physical];
    arguments.extend(fraction.map(|(fraction, _)| fraction));
    let key = format!("{name} {arguments:?} {} {several} {descending}", element.name());
    FoldAggregate::new(name, key, arguments, returns, false, move || Sorted {
        kind,
        physical,
        descending,
        several,
        element: element.clone(),
        values: Vec::new(),
        fractions: None,
    })
}
