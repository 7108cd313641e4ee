//! `to_char` of numbers: a template read into items, the number written out in digits, and both walked side by side.
//!
//! Steps: [`read`] turns the template into items and counts its places; [`Written`] holds the number rounded to them, `#` where it
//! does not fit; [`fill`] goes through the items and puts out signs, blanks, zeros and digits as PostgreSQL does, whose
//! results in odd corners (a sign with nowhere to stand, floats that have fewer digits than the template) are kept.

use heliosdb_types::{Datum, DatumRef, Error, Numeric, Result, SqlState, TextContext};

use super::super::value::{numeric_of, text_of_datum};
use super::T::{F4, F8, Int4, Int8, Num, Text};
use super::number_template::{Item, Key, Side, Template, read};
use super::{Overload, wrong_arguments};

pub(super) const NUMBERS: &[Overload] = &[
    ("to_char", &[Int4, Text], Text, number),
    ("to_char", &[Int8, Text], Text, number),
    ("to_char", &[Num, Text], Text, number),
    ("to_char", &[F4, Text], Text, number),
    ("to_char", &[F8, Text], Text, number),
];

/// Digits a real and a double precision are sure to have.
const REAL_DIGITS: usize = 6;
const DOUBLE_DIGITS: usize = 15;

/// A number in digits, without its sign.
struct Written {
    digits: String,
    negative: bool,
    /// Places of the template it leaves free.
    free: usize,
}

impl Written {
    /// From text with a sign: `#` if its whole part does not fit.
    fn new(text: &str, template: &Template) -> Written {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let whole = digits.find('.').unwrap_or(digits.len());
        let digits = if whole > template.whole { template.full() } else { digits.to_owned() };
        Written { digits, negative, free: template.whole.saturating_sub(whole) }
    }

    /// What is complete as it is.
    fn complete(digits: String) -> Written {
        Written { digits, negative: false, free: 0 }
    }
}

fn number(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let [value, template] = args else { return Err(wrong_arguments("to_char")) };
    let text = text_of_datum(*template)?;
    if text.is_empty() {
        return Ok(Datum::Text(String::new()));
    }
    let mut template = read(text)?;
    let written = if template.roman {
        Written::complete(roman(roman_number(*value)?))
    } else if template.exponent {
        return scientific(*value, &template).map(Datum::Text);
    } else {
        match *value {
            DatumRef::Float32(float) => real(float, &mut template),
            DatumRef::Float64(float) => double(float, &mut template),
            DatumRef::Int32(int) => integer(&int4_shifted(int, &template).to_string(), &mut template),
            DatumRef::Int64(int) => integer(&int8_shifted(int, &template)?.to_string(), &mut template),
            other => exact(&numeric_of(other)?, &mut template)?,
        }
    };
    fill(&template, &written).map(Datum::Text)
}

/// V multiplies; an integer wraps where PostgreSQL's does.
fn int4_shifted(value: i32, template: &Template) -> i32 {
    let factor = u32::try_from(template.shifted).ok().and_then(|places| 10i32.checked_pow(places)).unwrap_or(i32::MIN);
    if template.shift { value.wrapping_mul(factor) } else { value }
}

fn int8_shifted(value: i64, template: &Template) -> Result<i64> {
    if !template.shift {
        return Ok(value);
    }
    let out_of_range = || Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range");
    let factor = u32::try_from(template.shifted).ok().and_then(|places| 10i64.checked_pow(places));
    factor.and_then(|factor| value.checked_mul(factor)).ok_or_else(out_of_range)
}

fn integer(text: &str, template: &mut Template) -> Written {
    template.whole += template.shifted;
    let padded = match template.places {
        0 => text.to_owned(),
        places => format!("{text}.{}", "0".repeat(places)),
    };
    Written::new(&padded, template)
}

fn exact(value: &Numeric, template: &mut Template) -> Result<Written> {
    template.whole += template.shifted;
    let value = match template.shift {
        true => value.mul(&Numeric::parse(&format!("1e{}", template.shifted))?)?,
        false => value.clone(),
    };
    Ok(Written::new(&value.round(template.places as i32)?.to_string(), template))
}

/// A float in `places` digits after the point, its words spelt as PostgreSQL does.
fn fixed(value: f64, places: usize) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        value if value.is_infinite() => if value < 0.0 { "-Infinity" } else { "Infinity" }.to_owned(),
        value => format!("{value:.places$}"),
    }
}

fn real(value: f32, template: &mut Template) -> Written {
    let value = if template.shift { value * 10f32.powi(template.shifted as i32) } else { value };
    float(f64::from(value), REAL_DIGITS, template)
}

fn double(value: f64, template: &mut Template) -> Written {
    let value = if template.shift { value * 10f64.powi(template.shifted as i32) } else { value };
    float(value, DOUBLE_DIGITS, template)
}

/// A float shows no more digits than it has.
fn float(value: f64, digits: usize, template: &mut Template) -> Written {
    template.whole += template.shifted;
    let whole = fixed(value.abs(), 0).len();
    template.places = template.places.min(digits.saturating_sub(whole));
    Written::new(&fixed(value, template.places), template)
}

/// What is written in Roman numerals: a float to the nearest even, anything else as an integer, which it has to be.
fn roman_number(value: DatumRef<'_>) -> Result<i64> {
    let out_of_range = || Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "integer out of range");
    let float = match value {
        DatumRef::Float32(float) => Some(f64::from(float)),
        DatumRef::Float64(float) => Some(float),
        _ => None,
    };
    if let Some(float) = float {
        return Ok(if float.is_nan() { 0 } else { float.round_ties_even() as i64 });
    }
    let value = numeric_of(value)?;
    if !value.is_finite() {
        let word = if value.is_nan() { "NaN" } else { "infinity" };
        let message = format!("cannot convert {word} to integer");
        return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    value.round(0)?.to_i64().filter(|number| i32::try_from(*number).is_ok()).ok_or_else(out_of_range)
}

/// 1 to 3999; `#` beyond.
fn roman(mut number: i64) -> String {
    const NUMERALS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    if !(1..=3999).contains(&number) {
        return "#".repeat(15);
    }
    let mut out = String::new();
    for (worth, numeral) in NUMERALS {
        while number >= worth {
            out.push_str(numeral);
            number -= worth;
        }
    }
    out
}

/// `9.99EEEE`: one digit before the point, as many after it as the template has.
fn scientific(value: DatumRef<'_>, template: &Template) -> Result<String> {
    let places = template.places;
    let float = match value {
        DatumRef::Float32(float) => Some(f64::from(float)),
        DatumRef::Float64(float) => Some(float),
        DatumRef::Int32(int) => Some(f64::from(int)),
        _ => None,
    };
    let (mantissa, exponent) = match float {
        Some(float) if !float.is_finite() => return Ok(template.full_exponent()),
        Some(float) => {
            let text = format!("{float:.places$e}");
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            (mantissa.to_owned(), exponent.parse().unwrap_or(0))
        }
        None => {
            let value = numeric_of(value)?;
            if !value.is_finite() {
                return Ok(template.full_exponent());
            }
            exact_scientific(&value, places)?
        }
    };
    let lead = if mantissa.starts_with('-') { "" } else { " " };
    let sign = if exponent < 0 { '-' } else { '+' };
    Ok(format!("{lead}{mantissa}e{sign}{:02}", exponent.unsigned_abs()))
}

/// A numeric's digits are rounded after its exponent was found, so `9.99` in one place is `10.0e+00`.
fn exact_scientific(value: &Numeric, places: usize) -> Result<(String, i32)> {
    let text = value.abs().to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let exponent = match whole.trim_start_matches('0') {
        "" => fraction.find(|c| c != '0').map_or(0, |zeros| -(zeros as i32) - 1),
        digits => digits.len() as i32 - 1,
    };
    let scaled = value.mul(&Numeric::parse(&format!("1e{}", -exponent))?)?;
    Ok((scaled.round(places as i32)?.to_string(), exponent))
}

/// Where a walk through template and digits is.
struct Walk<'a> {
    template: &'a Template,
    digits: &'a [u8],
    negative: bool,
    free: usize,
    /// The next digit.
    at: usize,
    /// Places gone through.
    place: usize,
    /// Something of the number itself has been put out.
    begun: bool,
    signed: bool,
    bracket: bool,
    beside: Option<Side>,
    /// The place after which the number's end is marked; none in a template without places.
    last_place: isize,
    /// FM: the last digit that is no trailing zero, or the point.
    relevant: Option<usize>,
    out: String,
}

/// The text: template and number side by side.
fn fill(template: &Template, written: &Written) -> Result<String> {
    if template.roman {
        return Ok(fill_roman(template, &written.digits));
    }
    let mut walk = Walk::new(template, written);
    for item in &template.items {
        let (key, upper) = match item {
            Item::Text(c) => {
                walk.out.push(*c);
                continue;
            }
            Item::Key { key, upper } => (*key, *upper),
        };
        match key {
            Key::Nine | Key::Zero | Key::Point => {
                if walk.step(key).is_none() {
                    // Digits have run out: PostgreSQL's text ends here.
                    return Ok(walk.out);
                }
            }
            Key::Comma | Key::Group if walk.begun => walk.out.push(','),
            Key::Comma | Key::Group => walk.blank(),
            Key::Currency => walk.out.push(' '),
            Key::Ordinal if written.digits.starts_with('#') || written.negative || template.point => {}
            Key::Ordinal => walk.out.push_str(ordinal(&written.digits, upper)?),
            Key::Minus if written.negative => walk.out.push('-'),
            Key::Plus if !written.negative => walk.out.push('+'),
            Key::Minus | Key::Plus => walk.blank(),
            Key::Signed => walk.out.push(if written.negative { '-' } else { '+' }),
            Key::Beside
            | Key::Bracket
            | Key::Roman
            | Key::Blank
            | Key::Fill
            | Key::Shift
            | Key::Exponent
            | Key::Idle => {}
        }
    }
    Ok(walk.out)
}

fn fill_roman(template: &Template, numeral: &str) -> String {
    let mut out = String::new();
    for item in &template.items {
        match item {
            Item::Text(c) => out.push(*c),
            Item::Key { key: Key::Roman, upper } => {
                let numeral = if *upper { numeral.to_owned() } else { numeral.to_ascii_lowercase() };
                out.push_str(&if template.fill { numeral } else { format!("{numeral:>15}") });
            }
            Item::Key { key: Key::Comma | Key::Group, .. } if !template.fill => out.push(' '),
            Item::Key { key: Key::Currency, .. } => out.push(' '),
            Item::Key { key: Key::Minus | Key::Plus, .. } if !template.fill => out.push(' '),
            Item::Key { .. } => {}
        }
    }
    out
}

/// 1ST, 2ND, 3RD, 4TH, 11TH.
fn ordinal(digits: &str, upper: bool) -> Result<&'static str> {
    let bytes = digits.as_bytes();
    let last = bytes.last().copied().unwrap_or_default();
    if !last.is_ascii_digit() {
        let message = format!("\"{digits}\" is not a number");
        return Err(Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, message));
    }
    let teen = bytes.len() > 1 && bytes.get(bytes.len() - 2) == Some(&b'1');
    Ok(match (last, teen, upper) {
        (b'1', false, true) => "ST",
        (b'1', false, false) => "st",
        (b'2', false, true) => "ND",
        (b'2', false, false) => "nd",
        (b'3', false, true) => "RD",
        (b'3', false, false) => "rd",
        (_, _, true) => "TH",
        (_, _, false) => "th",
    })
}

impl<'a> Walk<'a> {
    fn new(template: &'a Template, written: &'a Written) -> Walk<'a> {
        let (mut bracket, mut beside) = (template.bracket, template.beside);
        let marks = template.plus || template.minus;
        let signed = if marks {
            // MI and SG write it themselves; PL writes a plus only.
            template.minus
        } else {
            bracket &= written.negative || !template.fill;
            if beside == Some(Side::Before) && template.whole == template.before_sign {
                beside = Some(Side::After);
            }
            !written.negative && template.fill && beside.is_none()
        };
        let digits = written.digits.as_bytes();
        let mut relevant = None;
        if template.fill && template.point {
            relevant = written.digits.find('.').map(|point| {
                let after = written.digits.trim_end_matches('0').len().saturating_sub(1);
                point.max(after)
            });
            // What a 0 of the template asks for stays.
            if template.zeros_to > written.free {
                let zero = (digits.len().saturating_sub(1)).min(template.zeros_to - written.free);
                relevant = relevant.map(|relevant| relevant.max(zero));
            }
        }
        let counted = (template.places + template.whole) as isize - 1;
        let own_sign = isize::from(!signed && written.free == 0);
        let last_place = counted + own_sign + isize::from(written.free > 0) + isize::from(template.point);
        let Written { digits: _, negative, free } = *written;
        let (at, place, begun, out) = (0, 0, false, String::new());
        Walk { template, digits, negative, free, at, place, begun, signed, bracket, beside, last_place, relevant, out }
    }

    fn blank(&mut self) {
        if !self.template.fill {
            self.out.push(' ');
        }
    }

    fn relevant_is_point(&self) -> bool {
        self.relevant.is_some_and(|at| self.digits.get(at) == Some(&b'.'))
    }

    /// A zero before the point that is not shown: `.1`.
    fn is_hidden_zero(&self) -> bool {
        self.template.zeros_from.is_none()
            && self.at == 0
            && self.digits.first() == Some(&b'0')
            && self.template.places != 0
    }

    fn put_sign(&mut self) {
        match (self.beside, self.bracket, self.negative) {
            (Some(Side::Before), _, negative) => {
                self.out.push(if negative { '-' } else { '+' });
                self.signed = true;
            }
            (Some(Side::After), _, _) => {}
            (None, true, negative) => {
                self.out.push(if negative { '<' } else { ' ' });
                self.signed = true;
            }
            (None, false, negative) => {
                if negative {
                    self.out.push('-');
                } else {
                    self.blank();
                }
                self.signed = true;
            }
        }
    }

    /// One place of the template, the point among them; `None`: the number has no digit for it.
    fn step(&mut self, key: Key) -> Option<()> {
        let zeros = self.template.zeros_from;
        let first = self.place >= self.free || zeros == Some(self.place);
        if !self.signed && first && (!self.is_hidden_zero() || self.relevant_is_point()) {
            self.put_sign();
        }
        self.begun = false;
        if self.place < self.free {
            if zeros.is_some_and(|from| from <= self.place) {
                self.out.push('0');
                self.begun = true;
            } else {
                self.blank();
            }
        } else {
            match self.digits.get(self.at) {
                Some(b'.') => {
                    if self.relevant.is_none() || !self.relevant_is_point() || self.template.fill {
                        self.out.push('.');
                    }
                }
                digit => {
                    if self.relevant.is_some_and(|last| self.at > last) && key != Key::Zero {
                        // FM leaves it out.
                    } else if self.is_hidden_zero() {
                        if !self.template.fill {
                            self.out.push(' ');
                        } else if self.relevant_is_point() {
                            self.out.push('0');
                        }
                    } else {
                        self.out.push(char::from(*digit?));
                        self.begun = true;
                    }
                }
            }
            if self.at < self.digits.len() {
                self.at += 1;
            }
        }
        let end = if self.relevant == Some(self.at) { self.place as isize } else { self.last_place };
        if self.place as isize + 1 == end {
            if self.signed && self.bracket {
                self.out.push(if self.negative { '>' } else { ' ' });
            } else if self.beside == Some(Side::After) {
                self.out.push(if self.negative { '-' } else { '+' });
            }
        }
        self.place += 1;
        Some(())
    }
}
