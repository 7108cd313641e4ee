//! Interval arithmetic: each part on its own, fractions spill downwards, 22008 on overflow.

use super::calendar::MICROS_PER_DAY;
use crate::{Error, Interval, Result, SqlState};

const DAYS_PER_MONTH: i32 = 30;
const SECONDS_PER_DAY: f64 = 86_400.0;

pub(super) fn interval_out_of_range() -> Error {
    Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

impl Interval {
    pub fn new(months: i32, days: i32, micros: i64) -> Interval {
        Interval { months, days, micros }
    }

    pub fn checked_add(self, other: Interval) -> Result<Interval> {
        let sum = || {
            Some(Interval {
                months: self.months.checked_add(other.months)?,
                days: self.days.checked_add(other.days)?,
                micros: self.micros.checked_add(other.micros)?,
            })
        };
        sum().ok_or_else(interval_out_of_range)
    }

    pub fn checked_sub(self, other: Interval) -> Result<Interval> {
        self.checked_add(other.checked_neg()?)
    }

    pub fn checked_neg(self) -> Result<Interval> {
        let negated = || {
            Some(Interval {
                months: self.months.checked_neg()?,
                days: self.days.checked_neg()?,
                micros: self.micros.checked_neg()?,
            })
        };
        negated().ok_or_else(interval_out_of_range)
    }

    /// `interval * factor`: fractions of months spill into days, fractions of days into time.
    pub fn checked_mul(self, factor: f64) -> Result<Interval> {
        self.scaled(|part| part * factor)
    }

    pub fn checked_div(self, divisor: f64) -> Result<Interval> {
        if divisor == 0.0 {
            return Err(Error::invalid(SqlState::DIVISION_BY_ZERO, "division by zero"));
        }
        self.scaled(|part| part / divisor)
    }

    fn scaled(self, scale: impl Fn(f64) -> f64) -> Result<Interval> {
        let whole = |value: f64| -> Result<i32> {
            let fits = !value.is_nan() && value <= f64::from(i32::MAX) && value >= f64::from(i32::MIN);
            if fits { Ok(value as i32) } else { Err(interval_out_of_range()) }
        };
        // Spilled parts are rounded to microseconds of their unit, so that binary fractions do not accumulate.
        let snap = |value: f64| (value * 1e6).round_ties_even() / 1e6;
        let months_exact = scale(f64::from(self.months));
        let months = whole(months_exact)?;
        let days_exact = scale(f64::from(self.days));
        let mut days = whole(days_exact)?;
        let spilled_days = snap((months_exact - f64::from(months)) * f64::from(DAYS_PER_MONTH));
        let mut seconds = snap((days_exact - f64::from(days) + spilled_days - spilled_days.trunc()) * SECONDS_PER_DAY);
        if seconds.abs() >= SECONDS_PER_DAY {
            let carried = (seconds / SECONDS_PER_DAY).trunc();
            days = days.checked_add(carried as i32).ok_or_else(interval_out_of_range)?;
            seconds -= carried * SECONDS_PER_DAY;
        }
        days = days.checked_add(spilled_days as i32).ok_or_else(interval_out_of_range)?;
        let micros = (scale(self.micros as f64) + seconds * 1e6).round_ties_even();
        if micros.is_nan() || micros.abs() >= 9.223_372_036_854_775e18 {
            return Err(interval_out_of_range());
        }
        Ok(Interval { months, days, micros: micros as i64 })
    }

    /// Whole days out of the time part; both get the same sign.
    pub fn justify_hours(self) -> Result<Interval> {
        let carried = self.micros / MICROS_PER_DAY;
        let days = i64::from(self.days) + carried;
        let (mut days, mut micros) = (days, self.micros % MICROS_PER_DAY);
        if days > 0 && micros < 0 {
            (days, micros) = (days - 1, micros + MICROS_PER_DAY);
        } else if days < 0 && micros > 0 {
            (days, micros) = (days + 1, micros - MICROS_PER_DAY);
        }
        Ok(Interval { months: self.months, days: i32::try_from(days).map_err(|_| interval_out_of_range())?, micros })
    }

    /// Whole 30-day months out of the days; both get the same sign.
    pub fn justify_days(self) -> Result<Interval> {
        let months = i64::from(self.months) + i64::from(self.days / DAYS_PER_MONTH);
        let (mut months, mut days) = (months, self.days % DAYS_PER_MONTH);
        if months > 0 && days < 0 {
            (months, days) = (months - 1, days + DAYS_PER_MONTH);
        } else if months < 0 && days > 0 {
            (months, days) = (months + 1, days - DAYS_PER_MONTH);
        }
        Ok(Interval { months: i32::try_from(months).map_err(|_| interval_out_of_range())?, days, micros: self.micros })
    }

    /// Both, with one sign for all parts.
    pub fn justify(self) -> Result<Interval> {
        let total_days = i64::from(self.days) + self.micros / MICROS_PER_DAY;
        let mut micros = self.micros % MICROS_PER_DAY;
        let mut months = i64::from(self.months) + total_days / i64::from(DAYS_PER_MONTH);
        let mut days = total_days % i64::from(DAYS_PER_MONTH);
        let month = i64::from(DAYS_PER_MONTH);
        if months > 0 && (days < 0 || (days == 0 && micros < 0)) {
            (months, days) = (months - 1, days + month);
        } else if months < 0 && (days > 0 || (days == 0 && micros > 0)) {
            (months, days) = (months + 1, days - month);
        }
        if days > 0 && micros < 0 {
            (days, micros) = (days - 1, micros + MICROS_PER_DAY);
        } else if days < 0 && micros > 0 {
            (days, micros) = (days + 1, micros - MICROS_PER_DAY);
        }
        let narrow = |value: i64| i32::try_from(value).map_err(|_| interval_out_of_range());
        Ok(Interval { months: narrow(months)?, days: narrow(days)?, micros })
    }
}
