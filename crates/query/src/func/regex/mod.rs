//! PostgreSQL's advanced regular expressions.
//!
//! Invariants:
//! - A match begins as far left as one can. Where it ends is the preference of the whole expression: the longest or the shortest, never
//!   the first alternative that fits; and so on down to each part that a group is in ([`dissect`]).
//! - Whatever runs over a text takes time linear in it: look-around and back-references, which cannot, are refused when an
//!   expression is read.
//!
//! [`parse`] reads an expression into a [`Node`](node::Node), [`dissect`] makes parts of it, [`automaton`] runs one part.

mod automaton;
mod class;
mod dissect;
mod lex;
mod node;
mod parse;

#[cfg(test)]
#[path = "regex_test.rs"]
mod tests;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use heliosdb_types::{Error, Result, SqlState};
use regex_automata::{Input, meta};

use automaton::{Automaton, LARGEST};
use dissect::Part;
use node::Preference;

/// How an expression is read and matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RegexOptions {
    pub case_insensitive: bool,
    /// A dot does not match the end of a line, and neither do brackets with a caret.
    pub dot_stops: bool,
    /// `^` and `$` match at every line.
    pub lines: bool,
    /// Blanks and comments in the expression do not count.
    pub expanded: bool,
    /// The expression is the text to find.
    pub literal: bool,
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Regex {
    /// Says whether and where something matches; its ends are those of another kind of expression.
    search: meta::Regex,
    whole: Automaton,
    preference: Preference,
    /// How groups lie in a match; `None` if there are none.
    parts: Option<Part>,
    groups: usize,
}

/// A match and its groups.
pub(crate) struct Captures<'t> {
    text: &'t str,
    /// Of all of it, then of each group that took part.
    ranges: Vec<Option<Range<usize>>>,
}

impl<'t> Captures<'t> {
    /// How many groups there are, all of the match being one.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Where a group lies; 0 is all of the match.
    pub fn range(&self, group: usize) -> Option<Range<usize>> {
        self.ranges.get(group)?.clone()
    }

    /// What a group holds; 0 is all of the match.
    pub fn get(&self, group: usize) -> Option<&'t str> {
        self.text.get(self.range(group)?)
    }
}

impl Regex {
    /// Reads an expression. Errors are PostgreSQL's (2201B); what is not supported is 0A000.
    pub fn new(pattern: &str, options: RegexOptions) -> Result<Regex> {
        let (node, groups) = parse::parse(pattern, options)?;
        let hir = node.hir();
        let config = meta::Config::new().nfa_size_limit(Some(LARGEST));
        let search = meta::Builder::new().configure(config).build_from_hir(&hir).map_err(|_| too_complex())?;
        let preference = node.preference().unwrap_or(Preference::Longest);
        let parts = (groups > 0).then(|| Part::new(&node));
        Ok(Regex { search, whole: Automaton::new(&hir)?, preference, parts, groups })
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.search.is_match(text)
    }

    /// The first match that begins at `from` or later. What stands before `from` counts for `^` and the like.
    pub fn find_at(&self, text: &str, from: usize) -> Result<Option<Range<usize>>> {
        let Some(first) = self.search.find(Input::new(text).range(from..)) else { return Ok(None) };
        let (start, rest) = (first.start(), first.start()..text.len());
        let end = match self.preference {
            // Nothing is longer.
            Preference::Longest if first.end() == text.len() => Some(first.end()),
            Preference::Longest => self.whole.longest(text, rest)?,
            Preference::Shortest => self.whole.shortest(text, rest)?,
        };
        Ok(Some(start..end.ok_or_else(|| Error::internal("a match without an end"))?))
    }

    /// What the groups of a match hold.
    pub fn groups<'t>(&self, text: &'t str, whole: Range<usize>) -> Result<Captures<'t>> {
        let mut ranges = vec![None; self.groups + 1];
        if let Some(parts) = &self.parts {
            parts.dissect(text, whole.clone(), &mut ranges)?;
        }
        if let Some(first) = ranges.first_mut() {
            *first = Some(whole);
        }
        Ok(Captures { text, ranges })
    }

    /// The first match with its groups.
    pub fn captures<'t>(&self, text: &'t str) -> Result<Option<Captures<'t>>> {
        self.find_at(text, 0)?.map(|whole| self.groups(text, whole)).transpose()
    }

    /// All matches that begin at `from` or later, one after the other: the next is looked for where the last ended, or one
    /// character on if it was empty.
    pub fn matches(&self, text: &str, from: usize) -> impl Iterator<Item = Result<Range<usize>>> {
        let mut next = Some(from);
        std::iter::from_fn(move || {
            let found = self.find_at(text, next.take()?).transpose()?;
            if let Ok(whole) = &found {
                next = match whole.is_empty() {
                    false => Some(whole.end),
                    true => {
                        text.get(whole.end..).and_then(|rest| rest.chars().next()).map(|c| whole.end + c.len_utf8())
                    }
                };
            }
            Some(found)
        })
    }
}

/// The compiled form of an expression. Patterns are nearly always one literal, so each thread keeps the last one.
pub(crate) fn compile(pattern: &str, options: RegexOptions) -> Result<Arc<Regex>> {
    thread_local! {
        static LAST: RefCell<Option<(String, RegexOptions, Arc<Regex>)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        if let Some((known, with, regex)) = last
            && known == pattern
            && *with == options
        {
            return Ok(regex.clone());
        }
        let regex = Arc::new(Regex::new(pattern, options)?);
        *last = Some((pattern.to_owned(), options, regex.clone()));
        Ok(regex)
    })
}

/// What is wrong with an expression, in PostgreSQL's words.
fn invalid(reason: &str) -> Error {
    Error::invalid(SqlState::INVALID_REGULAR_EXPRESSION, format!("invalid regular expression: {reason}"))
}

fn too_complex() -> Error {
    invalid("regular expression is too complex")
}
