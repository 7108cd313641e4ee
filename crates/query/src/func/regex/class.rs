//! Sets of characters: what classes hold in PostgreSQL's `C.UTF-8`, and what stands for what where case does not matter.

use std::sync::OnceLock;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// The class with a name in `[:name:]`; `None` if there is none.
pub(super) fn named(name: &str) -> Option<&'static ClassUnicode> {
    macro_rules! classes {
        ($($name:literal => $set:literal),* $(,)?) => {
            match name {
                $($name => {
                    static SET: OnceLock<ClassUnicode> = OnceLock::new();
                    Some(SET.get_or_init(|| of($set)))
                })*
                _ => None,
            }
        };
    }
    // No-break spaces are neither space nor blank there, and digits are ASCII's.
    classes! {
        "alpha" => r"[\p{Alphabetic}\p{Nd}--[0-9]]",
        "alnum" => r"[\p{Alphabetic}\p{Nd}]",
        "word" => r"[\p{Alphabetic}\p{Nd}_]",
        "digit" => "[0-9]",
        "xdigit" => "[0-9A-Fa-f]",
        "lower" => r"\p{Lowercase}",
        "upper" => r"\p{Uppercase}",
        "space" => r"[\t-\r \u{1680}\u{2000}-\u{2006}\u{2008}-\u{200a}\u{2028}\u{2029}\u{205f}\u{3000}]",
        "blank" => r"[\t \u{1680}\u{2000}-\u{2006}\u{2008}-\u{200a}\u{205f}\u{3000}]",
        "cntrl" => r"[\p{Cc}\u{2028}\u{2029}]",
        "punct" => r"[[!-~\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}\u{a0}\u{2007}\u{202f}]--[\p{Alphabetic}\p{Nd}]]",
        "graph" => r"[[!-~\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}\u{a0}\u{2007}\u{202f}]]",
        "print" => r"[ -~\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}\p{Zs}]",
        "ascii" => r"[\x00-\x7f]",
    }
}

/// A set written as a class of `regex_syntax`.
fn of(set: &str) -> ClassUnicode {
    match regex_syntax::parse(set).map(|hir| hir.into_kind()) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        _ => ClassUnicode::empty(),
    }
}

/// One character.
pub(super) fn one(c: char) -> ClassUnicode {
    range(c, c)
}

/// All characters from one to another.
pub(super) fn range(from: char, to: char) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(from, to)])
}

/// All characters.
pub(super) fn any() -> ClassUnicode {
    range('\0', char::MAX)
}

/// With each character also its lower and its upper case, as long as these are one character.
pub(super) fn with_cases(set: &ClassUnicode) -> ClassUnicode {
    let mut all = set.clone();
    for part in set.ranges() {
        // Of most characters there is but one case.
        if part.len() > ALL_CASED {
            all.union(&folded(part));
            continue;
        }
        for c in part.start()..=part.end() {
            for case in [single(c.to_lowercase()), single(c.to_uppercase())].into_iter().flatten() {
                all.push(ClassUnicodeRange::new(case, case));
            }
        }
    }
    all
}

/// From how many characters on the library's own cases, which hold a few more, are close enough.
const ALL_CASED: usize = 0x3000;

fn folded(part: &ClassUnicodeRange) -> ClassUnicode {
    let mut set = ClassUnicode::new([*part]);
    set.case_fold_simple();
    set
}

fn single(mut cases: impl Iterator<Item = char>) -> Option<char> {
    let first = cases.next()?;
    cases.next().is_none().then_some(first)
}
