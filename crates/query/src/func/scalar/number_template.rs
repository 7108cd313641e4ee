//! Templates of numbers, as `to_char` and `to_number` read them: items in order, and how many places they are.

use heliosdb_types::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Nine,
    Zero,
    Point,
    Comma,
    Group,
    Currency,
    Minus,
    Plus,
    Signed,
    /// S: the sign stands beside the digits.
    Beside,
    Bracket,
    Ordinal,
    Roman,
    Blank,
    Fill,
    Shift,
    Exponent,
    /// Known, and without effect.
    Idle,
}

/// Longer names before what they begin with.
const KEYS: [(&str, Key); 20] = [
    (",", Key::Comma),
    (".", Key::Point),
    ("0", Key::Zero),
    ("9", Key::Nine),
    ("B", Key::Blank),
    ("C", Key::Idle),
    ("D", Key::Point),
    ("EEEE", Key::Exponent),
    ("FM", Key::Fill),
    ("G", Key::Group),
    ("L", Key::Currency),
    ("MI", Key::Minus),
    ("PL", Key::Plus),
    ("PR", Key::Bracket),
    ("RN", Key::Roman),
    ("SG", Key::Signed),
    ("SP", Key::Idle),
    ("S", Key::Beside),
    ("TH", Key::Ordinal),
    ("V", Key::Shift),
];

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Key { key: Key, upper: bool },
    Text(char),
}

/// Where S puts the sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// A template and what was counted in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Template {
    pub items: Vec<Item>,
    /// Places before and after the point, and after V.
    pub whole: usize,
    pub places: usize,
    pub shifted: usize,
    /// The place from which on zeros are shown, and the one up to which, counted from 1.
    pub zeros_from: Option<usize>,
    pub zeros_to: usize,
    pub beside: Option<Side>,
    /// Places before a leading S.
    pub before_sign: usize,
    pub point: bool,
    pub fill: bool,
    pub minus: bool,
    pub plus: bool,
    pub bracket: bool,
    pub roman: bool,
    pub blank: bool,
    pub shift: bool,
    pub exponent: bool,
}

fn wrong(message: &str) -> Error {
    Error::syntax(message)
}

impl Template {
    fn count(&mut self, key: Key) -> Result<()> {
        if self.exponent && key != Key::Exponent {
            return Err(wrong("\"EEEE\" must be the last pattern used"));
        }
        match key {
            Key::Nine if self.bracket => return Err(wrong("\"9\" must be ahead of \"PR\"")),
            Key::Nine if self.shift => self.shifted += 1,
            Key::Nine if self.point => self.places += 1,
            Key::Nine => self.whole += 1,
            Key::Zero if self.bracket => return Err(wrong("\"0\" must be ahead of \"PR\"")),
            Key::Zero => {
                if self.point {
                    self.places += 1;
                } else {
                    self.zeros_from = self.zeros_from.or(Some(self.whole));
                    self.whole += 1;
                }
                self.zeros_to = self.whole + self.places;
            }
            Key::Blank => self.blank |= self.whole == 0 && self.places == 0 && self.zeros_from.is_none(),
            Key::Point if self.point => return Err(wrong("multiple decimal points")),
            Key::Point | Key::Shift if self.point || (key == Key::Point && self.shift) => {
                return Err(wrong("cannot use \"V\" and decimal point together"));
            }
            Key::Point => self.point = true,
            Key::Shift => self.shift = true,
            Key::Fill => self.fill = true,
            Key::Beside if self.beside.is_some() => return Err(wrong("cannot use \"S\" twice")),
            Key::Beside if self.plus || self.minus || self.bracket => {
                return Err(wrong("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
            }
            Key::Beside if self.point => self.beside = Some(Side::After),
            Key::Beside => (self.beside, self.before_sign) = (Some(Side::Before), self.whole),
            Key::Minus if self.beside.is_some() => return Err(wrong("cannot use \"S\" and \"MI\" together")),
            Key::Minus => self.minus = true,
            Key::Plus if self.beside.is_some() => return Err(wrong("cannot use \"S\" and \"PL\" together")),
            Key::Plus => self.plus = true,
            Key::Signed if self.beside.is_some() => return Err(wrong("cannot use \"S\" and \"SG\" together")),
            Key::Signed => (self.minus, self.plus) = (true, true),
            Key::Bracket if self.beside.is_some() || self.plus || self.minus => {
                return Err(wrong("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together"));
            }
            Key::Bracket => self.bracket = true,
            Key::Roman => self.roman = true,
            Key::Exponent => self.count_exponent()?,
            Key::Comma | Key::Group | Key::Currency | Key::Ordinal | Key::Idle => {}
        }
        Ok(())
    }

    fn count_exponent(&mut self) -> Result<()> {
        if self.exponent {
            return Err(wrong("cannot use \"EEEE\" twice"));
        }
        let signs = self.beside.is_some() || self.bracket || self.minus || self.plus;
        if self.blank || self.fill || signs || self.roman || self.shift {
            return Err(wrong("\"EEEE\" is incompatible with other formats")
                .with_detail("\"EEEE\" may only be used together with digit and decimal point patterns."));
        }
        self.exponent = true;
        Ok(())
    }

    /// The number in `#`, where it does not fit.
    pub fn full(&self) -> String {
        format!("{}.{}", "#".repeat(self.whole), "#".repeat(self.places))
    }

    /// What scientific notation shows of NaN and infinity.
    pub fn full_exponent(&self) -> String {
        let mut shown = vec![b'#'; (self.whole + self.places + 6).max(self.whole + 2)];
        shown[0] = b' ';
        shown[self.whole + 1] = b'.';
        shown.iter().map(|byte| char::from(*byte)).collect()
    }
}

/// The template's items; keywords are all in upper or all in lower case.
pub(super) fn read(template: &str) -> Result<Template> {
    let mut read = Template::default();
    let mut rest = template;
    while let Some(first) = rest.chars().next() {
        let is_next = |name: &str| rest.starts_with(name) || rest.starts_with(&name.to_ascii_lowercase());
        let found = KEYS.iter().find(|(name, _)| is_next(name));
        if let Some((name, key)) = found {
            read.count(*key)?;
            read.items.push(Item::Key { key: *key, upper: rest.starts_with(name) });
            rest = rest.get(name.len()..).unwrap_or_default();
        } else if first == '"' {
            rest = rest.get(1..).unwrap_or_default();
            let mut chars = rest.chars();
            while let Some(c) = chars.next() {
                if c == '"' {
                    break;
                }
                let taken = if c == '\\' { chars.next().unwrap_or(c) } else { c };
                read.items.push(Item::Text(taken));
            }
            rest = chars.as_str();
        } else {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            if first == '\\' && rest.starts_with('"') {
                read.items.push(Item::Text('"'));
                rest = rest.get(1..).unwrap_or_default();
            } else {
                read.items.push(Item::Text(first));
            }
        }
    }
    Ok(read)
}
