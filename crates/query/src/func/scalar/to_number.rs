//! `to_number`: a template walked beside a text, as PostgreSQL does.
//!
//! Each digit or point of the template takes a character of the text, whatever it is; a digit is kept, and so is the first point. Other
//! keys take what they stand for, and characters of the template that are no key take any one.

use heliosdb_types::{Datum, DatumRef, Error, Numeric, Result, TextContext};

use super::super::value::text_of_datum;
use super::T::{Num, Text};
use super::number_template::{Item, Key, Template, read};
use super::{Overload, wrong_arguments};

pub(super) const FUNCTIONS: &[Overload] = &[("to_number", &[Text, Text], Num, to_number)];

fn to_number(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let [text, template] = args else { return Err(wrong_arguments("to_number")) };
    let (text, template) = (text_of_datum(*text)?, text_of_datum(*template)?);
    let template = read(template)?;
    if template.exponent {
        return Err(Error::unsupported("\"EEEE\" for input"));
    }
    if template.roman {
        return Err(Error::unsupported("\"RN\" for input"));
    }
    let mut reader = Reader {
        template: &template,
        rest: text,
        sign: None,
        digits: String::new(),
        whole: 0,
        places: 0,
        point: false,
    };
    reader.walk();
    let Reader { sign, digits, places, .. } = reader;
    let digits = digits.strip_suffix('.').unwrap_or(&digits);
    let written = format!("{}{digits}", sign.unwrap_or(' '));
    let precision = template.whole + template.shifted + places;
    let (Ok(precision), Ok(scale)) = (u16::try_from(precision), i16::try_from(places)) else {
        return Err(Error::unsupported("so many digits"));
    };
    let number = Numeric::parse(&written)?.with_typmod(precision, scale)?;
    if !template.shift {
        return Ok(Datum::Numeric(number));
    }
    let shifted = Numeric::from_i64(10).power(&Numeric::from_i64(-(template.shifted as i64)))?;
    Ok(Datum::Numeric(number.mul(&shifted)?))
}

/// What was read so far.
struct Reader<'a> {
    template: &'a Template,
    rest: &'a str,
    sign: Option<char>,
    digits: String,
    /// Digits read before and after the point.
    whole: usize,
    places: usize,
    point: bool,
}

impl Reader<'_> {
    fn next(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip(&mut self) {
        let mut chars = self.rest.chars();
        chars.next();
        self.rest = chars.as_str();
    }

    fn walk(&mut self) {
        for item in &self.template.items {
            let Some(next) = self.next() else { return };
            let Item::Key { key, .. } = item else {
                self.skip();
                continue;
            };
            match key {
                Key::Nine | Key::Zero | Key::Point => {
                    self.digit(*key != Key::Point);
                    self.skip();
                }
                Key::Comma | Key::Group if next == ',' && !self.template.fill => self.skip(),
                Key::Minus if next == '-' => self.take_sign(),
                Key::Plus if next == '+' => self.take_sign(),
                Key::Signed if matches!(next, '-' | '+') => self.take_sign(),
                Key::Minus | Key::Plus | Key::Signed | Key::Currency => self.skip_other(1),
                Key::Ordinal => self.skip_other(2),
                _ => {}
            }
        }
    }

    fn take_sign(&mut self) {
        self.sign = self.next();
        self.skip();
    }

    /// Skips what cannot be part of a number.
    fn skip_other(&mut self, most: usize) {
        for _ in 0..most {
            if self.next().is_none_or(|next| next.is_ascii_digit() || matches!(next, '.' | ',' | '+' | '-')) {
                return;
            }
            self.skip();
        }
    }

    /// Reads what stands where the template has a digit or the point. The character it ends at is the walk's to skip.
    fn digit(&mut self, is_digit: bool) {
        if self.next() == Some(' ') {
            self.skip();
        }
        if self.sign.is_none() && is_digit && self.whole + self.places == 0 {
            self.sign_before();
        }
        let Some(next) = self.next() else { return };
        let mut is_read = false;
        if next.is_ascii_digit() {
            if self.point && self.places == self.template.places {
                return;
            }
            self.digits.push(next);
            *(if self.point { &mut self.places } else { &mut self.whole }) += 1;
            is_read = true;
        } else if self.template.point && !self.point && next == '.' {
            self.digits.push('.');
            self.point = true;
            is_read = true;
        }
        if self.sign.is_none() && self.whole + self.places > 0 {
            self.sign_after(is_read);
        }
    }

    fn sign_before(&mut self) {
        let Some(next) = self.next() else { return };
        if self.template.bracket && next == '<' {
            self.sign = Some('-');
            self.skip();
        } else if matches!(next, '-' | '+') {
            self.take_sign();
        }
    }

    /// The sign of S stands right behind the last digit; without any key for it, wherever a digit was due.
    fn sign_after(&mut self, is_read: bool) {
        let Template { beside, plus, minus, .. } = self.template;
        if beside.is_some() {
            let mut after = self.rest.chars();
            after.next();
            if is_read && let Some(sign @ ('-' | '+')) = after.clone().next() {
                self.sign = Some(sign);
                self.rest = after.as_str();
            }
        } else if !is_read
            && !plus
            && !minus
            && let Some(sign @ ('-' | '+')) = self.next()
        {
            self.sign = Some(sign);
        }
    }
}
