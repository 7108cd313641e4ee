//! A decoded number: base-10000 digits aligned at the decimal point, and exact operations on them.

use std::cmp::Ordering;

pub(super) const BASE: u32 = 10_000;
pub(super) const BASE_DIGITS: i32 = 4;

/// A decoded [`super::Numeric`].
#[derive(Clone, Debug)]
pub(super) enum Value {
    Finite(Digits),
    Infinity { negative: bool },
    Nan,
}

/// `sum(digits[i] * 10000^(weight - i))`, printed with `dscale` decimals.
///
/// Invariant after [`Digits::normalize`]: no zero digit at either end; zero has no digits and is not negative.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Digits {
    pub negative: bool,
    pub weight: i32,
    pub digits: Vec<u16>,
    pub dscale: i32,
}

impl Digits {
    pub fn zero(dscale: i32) -> Digits {
        Digits { negative: false, weight: 0, digits: Vec::new(), dscale }
    }

    pub fn from_int(value: i64) -> Digits {
        super::codec::split_i128(i128::from(value), 0)
    }

    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    pub fn normalize(&mut self) {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        let zeros = self.digits.iter().take_while(|&&digit| digit == 0).count();
        self.digits.drain(..zeros);
        self.weight -= zeros as i32;
        if self.digits.is_empty() {
            self.negative = false;
            self.weight = 0;
        }
    }

    /// The digit of weight `weight`.
    fn at(&self, weight: i32) -> u32 {
        usize::try_from(self.weight - weight).ok().and_then(|i| self.digits.get(i)).map_or(0, |&digit| u32::from(digit))
    }

    /// Weight of the last digit.
    fn low(&self) -> i32 {
        self.weight + 1 - self.digits.len() as i32
    }

    /// The smallest display scale that shows every digit.
    pub fn min_scale(&self) -> i32 {
        let Some(last) = self.digits.last() else { return 0 };
        let zeros = (1..4u32).take_while(|&k| last % 10u16.pow(k) == 0).count() as i32;
        (-self.low() * BASE_DIGITS - zeros).max(0)
    }

    /// Decimal exponent of the first significant decimal digit: 0 for 1..9, 2 for 123, -1 for 0.5.
    pub fn decimal_weight(&self) -> i32 {
        let first = self.digits.first().copied().unwrap_or(0);
        self.weight * BASE_DIGITS + first.checked_ilog10().unwrap_or(0) as i32
    }

    pub fn is_integer(&self) -> bool {
        self.digits.is_empty() || self.low() >= 0
    }

    pub fn negated(mut self) -> Digits {
        self.negative = !self.negative && !self.is_zero();
        self
    }

    pub fn abs(mut self) -> Digits {
        self.negative = false;
        self
    }

    pub fn compare_abs(&self, other: &Digits) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            _ => {}
        }
        self.weight.cmp(&other.weight).then_with(|| self.digits.cmp(&other.digits))
    }

    pub fn compare(&self, other: &Digits) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_abs(other),
            (true, true) => other.compare_abs(self),
        }
    }

    pub fn add(&self, other: &Digits) -> Digits {
        let dscale = self.dscale.max(other.dscale);
        let mut sum = if self.is_zero() {
            other.clone()
        } else if other.is_zero() {
            self.clone()
        } else if self.negative == other.negative {
            self.add_abs(other)
        } else if self.compare_abs(other) != Ordering::Less {
            self.sub_abs(other)
        } else {
            other.sub_abs(self)
        };
        sum.dscale = dscale;
        sum.normalize();
        sum
    }

    pub fn sub(&self, other: &Digits) -> Digits {
        self.add(&other.clone().negated())
    }

    fn add_abs(&self, other: &Digits) -> Digits {
        let (low, high) = (self.low().min(other.low()), self.weight.max(other.weight) + 1);
        let mut digits = Vec::with_capacity((high - low + 1) as usize);
        let mut carry = 0;
        for weight in low..=high {
            let sum = self.at(weight) + other.at(weight) + carry;
            digits.push((sum % BASE) as u16);
            carry = sum / BASE;
        }
        digits.reverse();
        Digits { negative: self.negative, weight: high, digits, dscale: 0 }
    }

    /// `self - other` of magnitudes; needs |self| >= |other|. Takes self's sign.
    fn sub_abs(&self, other: &Digits) -> Digits {
        let (low, high) = (self.low().min(other.low()), self.weight);
        let mut digits = Vec::with_capacity((high - low + 1) as usize);
        let mut borrow = 0;
        for weight in low..=high {
            let take = other.at(weight) + borrow;
            let have = self.at(weight);
            borrow = u32::from(have < take);
            digits.push((have + borrow * BASE - take) as u16);
        }
        digits.reverse();
        Digits { negative: self.negative, weight: high, digits, dscale: 0 }
    }

    /// The exact product; display scales add up.
    pub fn mul(&self, other: &Digits) -> Digits {
        let dscale = self.dscale + other.dscale;
        if self.is_zero() || other.is_zero() {
            return Digits::zero(dscale);
        }
        // 64-bit column sums: 2^64 / 9999^2 products fit, far more than the longest number has digits.
        let mut columns = vec![0u64; self.digits.len() + other.digits.len()];
        for (i, &a) in self.digits.iter().enumerate() {
            let row = &mut columns[i + 1..=i + other.digits.len()];
            for (column, &b) in row.iter_mut().zip(&other.digits) {
                *column += u64::from(a) * u64::from(b);
            }
        }
        let mut carry = 0;
        let mut digits = vec![0u16; columns.len()];
        for (digit, column) in digits.iter_mut().zip(&columns).rev() {
            let sum = column + carry;
            *digit = (sum % u64::from(BASE)) as u16;
            carry = sum / u64::from(BASE);
        }
        let mut product = Digits {
            negative: self.negative != other.negative,
            weight: self.weight + other.weight + 1,
            digits,
            dscale,
        };
        product.normalize();
        product
    }

    /// The quotient cut off after at least `scale` decimals (not rounded; its dscale is not set). `other` is not zero.
    pub fn div_trunc(&self, other: &Digits, scale: i32) -> Digits {
        let fraction = (scale + BASE_DIGITS - 1).div_euclid(BASE_DIGITS);
        // Quotient digits stand at weights `top` down to `-fraction`.
        let top = self.weight - other.weight;
        let count = top + 1 + fraction;
        if self.is_zero() || count <= 0 {
            return Digits::zero(0);
        }
        let count = count as usize;
        let n = other.digits.len();
        let digits = if n == 1 {
            short_division(&self.digits, other.digits[0], count)
        } else {
            long_division(&self.digits, &other.digits, count)
        };
        let mut quotient = Digits { negative: self.negative != other.negative, weight: top, digits, dscale: 0 };
        quotient.normalize();
        quotient
    }

    /// The quotient rounded half away from zero to `scale` decimals.
    pub fn div(&self, other: &Digits, scale: i32) -> Digits {
        let mut quotient = self.div_trunc(other, scale + 1);
        quotient.round(scale);
        quotient
    }
}

/// `count` quotient digits of `dividend / divisor`, the first at the dividend's first digit.
fn short_division(dividend: &[u16], divisor: u16, count: usize) -> Vec<u16> {
    let divisor = u32::from(divisor);
    let mut remainder = 0;
    let mut digits = Vec::with_capacity(count);
    for i in 0..count {
        let have = remainder * BASE + u32::from(dividend.get(i).copied().unwrap_or(0));
        digits.push((have / divisor) as u16);
        remainder = have % divisor;
    }
    digits
}

/// Knuth's algorithm D in base 10000. The first quotient digit pairs the divisor with the dividend's first n digits.
fn long_division(dividend: &[u16], divisor: &[u16], count: usize) -> Vec<u16> {
    let n = divisor.len();
    // Scale both so that the divisor's first digit is at least half the base: then each guess is at most 2 too large.
    let factor = BASE / (u32::from(divisor[0]) + 1);
    let mut v = vec![0u32; n];
    let mut carry = 0;
    for (scaled, &digit) in v.iter_mut().zip(divisor).rev() {
        let product = u32::from(digit) * factor + carry;
        *scaled = product % BASE;
        carry = product / BASE;
    }
    let len = n + count;
    let mut u = vec![0u32; len];
    carry = 0;
    for i in (0..len - 1).rev() {
        let product = u32::from(dividend.get(i).copied().unwrap_or(0)) * factor + carry;
        u[i + 1] = product % BASE;
        carry = product / BASE;
    }
    u[0] = carry;
    let mut digits = Vec::with_capacity(count);
    for j in 0..count {
        let head = u[j] * BASE + u[j + 1];
        let mut guess = head / v[0];
        let mut rest = head % v[0];
        while guess >= BASE || guess * v[1] > rest * BASE + u[j + 2] {
            guess -= 1;
            rest += v[0];
            if rest >= BASE {
                break;
            }
        }
        if guess > 0 && subtract_multiple(&mut u[j..=j + n], &v, guess) {
            guess -= 1;
            add_back(&mut u[j..=j + n], &v);
        }
        digits.push(guess as u16);
    }
    digits
}

/// `u -= v * guess` where u has one digit more; true when that went below zero (u then wraps).
fn subtract_multiple(u: &mut [u32], v: &[u32], guess: u32) -> bool {
    let (mut carry, mut borrow) = (0, 0);
    for (have, &digit) in u[1..].iter_mut().zip(v).rev() {
        let product = digit * guess + carry;
        carry = product / BASE;
        let take = product % BASE + borrow;
        borrow = u32::from(*have < take);
        *have = *have + borrow * BASE - take;
    }
    let take = carry + borrow;
    let below = u[0] < take;
    u[0] = (u[0] + u32::from(below) * BASE) - take;
    below
}

fn add_back(u: &mut [u32], v: &[u32]) {
    let mut carry = 0;
    for (have, &digit) in u[1..].iter_mut().zip(v).rev() {
        let sum = *have + digit + carry;
        *have = sum % BASE;
        carry = sum / BASE;
    }
    u[0] = (u[0] + carry) % BASE;
}
