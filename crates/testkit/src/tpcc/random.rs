//! The specification's random values (clause 4.3), from a seed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Scale;

/// Parts of last names, by digit.
const SYLLABLES: [&str; 10] = ["BAR", "OUGHT", "ABLE", "PRI", "PRES", "ESE", "ANTI", "CALLY", "ATION", "EING"];

/// A source of values.
pub(crate) struct Random {
    pub rng: StdRng,
    pub scale: Scale,
}

impl Random {
    pub fn new(seed: u64, scale: Scale) -> Random {
        Random { rng: StdRng::seed_from_u64(seed), scale }
    }

    /// Uniform, both ends included.
    pub fn between(&mut self, low: i32, high: i32) -> i32 {
        self.rng.random_range(low..=high)
    }

    pub fn percent(&mut self, chance: i32) -> bool {
        self.between(1, 100) <= chance
    }

    /// NURand: not uniform, so that some rows are hot. `spread` is its A; C is fixed, as one run has one.
    fn skewed(&mut self, spread: i32, low: i32, high: i32) -> i32 {
        let c = spread / 3;
        let mixed = self.between(0, spread) | self.between(low, high);
        (mixed + c) % (high - low + 1) + low
    }

    pub fn customer(&mut self) -> i32 {
        let most = self.scale.customers;
        self.skewed(1023.min(most), 1, most)
    }

    pub fn item(&mut self) -> i32 {
        let most = self.scale.items;
        self.skewed(8191.min(most), 1, most)
    }

    /// A last name some customer has.
    pub fn last_name(&mut self) -> String {
        let names = self.scale.customers.min(1000);
        last_name(self.skewed(255.min(names - 1), 0, names - 1))
    }

    /// Letters and digits.
    pub fn text(&mut self, low: i32, high: i32, out: &mut String) {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789AB";
        let length = self.between(low, high);
        let mut bits = 0u64;
        for at in 0..length {
            if at % 10 == 0 {
                bits = self.rng.random();
            }
            out.push(char::from(LETTERS[(bits & 63) as usize]));
            bits >>= 6;
        }
    }

    pub fn digits(&mut self, length: i32, out: &mut String) {
        for _ in 0..length {
            out.push(char::from(b'0' + self.rng.random_range(0..10u8)));
        }
    }

    /// An item's or a stock's data: one in ten is an original.
    pub fn data(&mut self, out: &mut String) {
        let from = out.len();
        self.text(26, 50, out);
        if self.percent(10) {
            let at = from + self.rng.random_range(0..out.len() - from - 8);
            out.replace_range(at..at + 8, "ORIGINAL");
        }
    }

    /// Street, street, city, state and zip, separated as COPY wants them.
    pub fn address(&mut self, out: &mut String) {
        for _ in 0..3 {
            self.text(10, 20, out);
            out.push('\t');
        }
        self.text(2, 2, out);
        out.push('\t');
        self.digits(4, out);
        out.push_str("11111\t");
    }
}

pub(super) fn last_name(number: i32) -> String {
    let digit = |power: i32| SYLLABLES[(number / power % 10) as usize];
    format!("{}{}{}", digit(100), digit(10), digit(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_in_their_ranges_and_repeat_by_seed() {
        assert_eq!(last_name(371), "PRICALLYOUGHT");
        for scale in [Scale::full(1), Scale::small(1)] {
            let (mut one, mut other) = (Random::new(7, scale), Random::new(7, scale));
            for _ in 0..2000 {
                let customer = one.customer();
                assert!((1..=scale.customers).contains(&customer));
                assert!((1..=scale.items).contains(&one.item()));
                assert_eq!(other.customer(), customer);
                other.item();
            }
            let mut data = String::new();
            one.data(&mut data);
            assert!((26..=50).contains(&data.len()));
        }
    }
}
