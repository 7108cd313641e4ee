//! Whole numbers as bits: which keys the other side of a join has.
//!
//! Within a span every number has its bit; outside of it nothing is known, or nothing is there. The span is chosen by whoever
//! makes the set and costs an eighth of a byte a number.

use crate::DatumRef;

/// A set of numbers from `first` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    first: i64,
    /// Numbers that have a bit: from `first` to `first + span - 1`.
    span: u64,
    bits: Vec<u64>,
    /// What is said of all other numbers.
    elsewhere: bool,
}

impl KeySet {
    /// No number of the span, and all or none of the others. The span is cut where numbers end.
    pub fn new(first: i64, span: u64, elsewhere: bool) -> KeySet {
        // As a difference of unsigned numbers, one short of what is left: 2^64 does not fit.
        let last = (i64::MAX as u64).wrapping_sub(first as u64);
        let span = if span > last { last.saturating_add(1) } else { span };
        KeySet { first, span, bits: vec![0; span.div_ceil(64) as usize], elsewhere }
    }

    /// Adds a number of the span; others are ignored.
    pub fn insert(&mut self, number: i64) {
        let at = self.place(number);
        if at < self.span
            && let Some(word) = self.bits.get_mut((at / 64) as usize)
        {
            *word |= 1 << (at % 64);
        }
    }

    /// The number that sets hold for a value: of whole numbers themselves, of days their distance from the first.
    pub fn number(value: &DatumRef<'_>) -> Option<i64> {
        match value {
            DatumRef::Int16(v) => Some(i64::from(*v)),
            DatumRef::Int32(v) | DatumRef::Date(v) => Some(i64::from(*v)),
            DatumRef::Int64(v) => Some(*v),
            _ => None,
        }
    }

    /// Whether a value's number is in the set; NULL has none.
    pub fn holds(&self, value: &DatumRef<'_>) -> bool {
        KeySet::number(value).is_some_and(|number| self.contains(number))
    }

    /// Numbers below `first` wrap to places beyond any span.
    fn place(&self, number: i64) -> u64 {
        (number as u64).wrapping_sub(self.first as u64)
    }

    #[inline]
    pub fn contains(&self, number: i64) -> bool {
        let at = self.place(number);
        if at >= self.span {
            return self.elsewhere;
        }
        self.bits.get((at / 64) as usize).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Whether a number from `low` to `high` is in the set.
    pub fn meets(&self, low: i64, high: i64) -> bool {
        if low > high {
            return false;
        }
        let last = self.first.saturating_add_unsigned(self.span.saturating_sub(1));
        if self.span == 0 || low < self.first || high > last {
            if self.elsewhere {
                return true;
            }
            if self.span == 0 || high < self.first || low > last {
                return false;
            }
        }
        let (from, to) = (self.place(low.max(self.first)), self.place(high.min(last)));
        let (start, end) = ((from / 64) as usize, (to / 64) as usize);
        let words = self.bits.get(start..=end).unwrap_or(&[]);
        words.iter().enumerate().any(|(at, word)| {
            let mut word = *word;
            if at == 0 {
                word &= u64::MAX << (from % 64);
            }
            if at == end - start {
                word &= u64::MAX >> (63 - to % 64);
            }
            word != 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_answers_for_ranges() {
        for elsewhere in [false, true] {
            let mut set = KeySet::new(-70, 200, elsewhere);
            let numbers = [-70, -69, -5, 0, 63, 64, 129];
            numbers.iter().for_each(|number| set.insert(*number));
            set.insert(130);
            set.insert(-71);
            let has = |n: i64| if (-70..130).contains(&n) { numbers.contains(&n) } else { elsewhere };
            for n in -80..140 {
                assert_eq!(set.contains(n), has(n), "{n}");
                for m in n - 2..140 {
                    assert_eq!(set.meets(n, m), (n..=m).any(has), "{n} to {m}, elsewhere {elsewhere}");
                }
            }
            assert_eq!(set.contains(i64::MIN), elsewhere);
            assert_eq!(set.contains(i64::MAX), elsewhere);
        }
    }

    #[test]
    fn the_ends_of_numbers_are_no_ends_of_the_world() {
        let mut set = KeySet::new(i64::MAX - 2, 1 << 20, false);
        set.insert(i64::MAX);
        assert!(set.contains(i64::MAX) && !set.contains(i64::MAX - 1) && !set.contains(i64::MIN));
        assert!(set.meets(i64::MIN, i64::MAX) && !set.meets(i64::MIN, i64::MAX - 1));
        let none = KeySet::new(5, 0, false);
        assert!(!none.contains(5) && !none.meets(i64::MIN, i64::MAX));
        let mut low = KeySet::new(i64::MIN, 10, false);
        low.insert(i64::MIN);
        assert!(low.contains(i64::MIN) && low.meets(i64::MIN, i64::MIN) && !low.meets(i64::MIN + 1, 0));
    }
}
