//! Which part of a match each group holds.
//!
//! A match is divided from the outside in. Of two parts, one after the other, the first gets as much or as little as it prefers,
//! as long as the second fits what is left. Parts without groups that want the same are one part.

use std::ops::Range;
use std::sync::OnceLock;

use heliosdb_types::{Error, Result, SqlState};
use regex_syntax::hir::Hir;

use super::automaton::Automaton;
use super::node::{Node, Preference, Repeat};

/// How many ends of repeated parts are looked at.
const MOST_STEPS: usize = 1 << 26;

/// What groups of a match are found with.
#[derive(Debug)]
pub(super) struct Part {
    hir: Hir,
    preference: Option<Preference>,
    automaton: OnceLock<Automaton>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// No group is in it.
    Plain,
    Group(usize, Box<Part>),
    Pair(Box<Part>, Box<Part>),
    /// The first that fits has the groups.
    Alternation(Vec<Part>),
    /// None or more of the first, after which the others follow: the last one has the groups.
    Repeat(Box<Part>, Rest),
}

/// What follows the first of several.
#[derive(Debug)]
enum Rest {
    /// Any number.
    Same,
    /// As many as are left, each with what may follow it.
    Fewer(Vec<Part>),
}

impl Part {
    pub fn new(node: &Node) -> Part {
        match node {
            Node::Concat(nodes) => Part::branch(nodes),
            Node::Alternation(branches) if node.has_groups() => {
                let parts = branches.iter().map(Part::new).collect();
                Part::of(node.hir(), node.preference(), Kind::Alternation(parts))
            }
            Node::Set(_) | Node::Look(_) | Node::Alternation(_) => Part::plain(node.hir(), node.preference()),
            Node::Group(..) | Node::Repeat(_) => Part::branch(std::slice::from_ref(node)),
        }
    }

    fn of(hir: Hir, preference: Option<Preference>, kind: Kind) -> Part {
        Part { hir, preference, automaton: OnceLock::new(), kind }
    }

    fn plain(hir: Hir, preference: Option<Preference>) -> Part {
        Part::of(hir, preference, Kind::Plain)
    }

    /// What stands one after the other: a run without groups, the first that has some or wants something else than the run, the rest.
    fn branch(nodes: &[Node]) -> Part {
        let run = (0..nodes.len())
            .find(|at| {
                let with = Node::Concat(nodes.get(..=*at).unwrap_or_default().to_vec());
                with.has_groups() || with.is_mixed()
            })
            .unwrap_or(nodes.len());
        let (run, rest) = nodes.split_at(run);
        let hir = Hir::concat(run.iter().map(Node::hir).collect());
        let preference = run.iter().find_map(Node::preference);
        let Some((first, rest)) = rest.split_first() else { return Part::plain(hir, preference) };
        let mut part = Part::atom(first);
        if !rest.is_empty() {
            part = Part::pair(part, Part::branch(rest));
        }
        if !run.is_empty() {
            part = Part::pair(Part::plain(hir, preference), part);
        }
        part
    }

    fn pair(left: Part, right: Part) -> Part {
        let hir = Hir::concat(vec![left.hir.clone(), right.hir.clone()]);
        let preference = left.preference.or(right.preference);
        Part::of(hir, preference, Kind::Pair(Box::new(left), Box::new(right)))
    }

    /// One that has groups or wants something of its own.
    fn atom(node: &Node) -> Part {
        let (hir, preference) = (node.hir(), node.preference());
        match node {
            _ if !node.has_groups() => Part::plain(hir, preference),
            Node::Group(number, inner) => Part::of(hir, preference, Kind::Group(*number, Box::new(Part::new(inner)))),
            Node::Repeat(repeat) => Part::repeat(repeat, preference),
            Node::Set(_) | Node::Look(_) | Node::Concat(_) | Node::Alternation(_) => Part::new(node),
        }
    }

    fn repeat(repeat: &Repeat, preference: Option<Preference>) -> Part {
        let one = Part::new(&repeat.of);
        match (repeat.min, repeat.max) {
            (_, Some(0)) => Part::plain(Hir::empty(), None),
            (1, Some(1)) if repeat.preference.is_none() || repeat.preference == one.preference => one,
            // Only the last one's groups are asked for, so those before are one run.
            (min @ 1.., max) => {
                let before = repeat.hir(min - 1, max.map(|max| max - 1));
                let mut pair = Part::pair(Part::plain(before, preference), one);
                pair.hir = repeat.hir(min, max);
                pair
            }
            (0, max) => {
                let rest = match max {
                    None => Rest::Same,
                    Some(max) => {
                        Rest::Fewer((1..max).rev().map(|max| Part::plain(repeat.hir(0, Some(max)), None)).collect())
                    }
                };
                Part::of(repeat.hir(0, max), preference, Kind::Repeat(Box::new(one), rest))
            }
        }
    }

    fn automaton(&self) -> Result<&Automaton> {
        if let Some(known) = self.automaton.get() {
            return Ok(known);
        }
        let new = Automaton::new(&self.hir)?;
        Ok(self.automaton.get_or_init(|| new))
    }

    /// Notes what each group holds when all of this part is the range of the text.
    pub fn dissect(&self, text: &str, range: Range<usize>, groups: &mut [Option<Range<usize>>]) -> Result<()> {
        match &self.kind {
            Kind::Plain => Ok(()),
            Kind::Group(number, inner) => {
                if let Some(group) = groups.get_mut(*number) {
                    *group = Some(range.clone());
                }
                inner.dissect(text, range, groups)
            }
            Kind::Pair(left, right) => {
                let middle = left.split(right.automaton()?, text, &range)?.ok_or_else(does_not_fit)?;
                left.dissect(text, range.start..middle, groups)?;
                right.dissect(text, middle..range.end, groups)
            }
            Kind::Alternation(parts) => {
                for part in parts {
                    if part.automaton()?.is_whole(text, range.clone())? {
                        return part.dissect(text, range, groups);
                    }
                }
                Err(does_not_fit())
            }
            // One if it may be empty, else none.
            Kind::Repeat(one, _) if range.is_empty() => match one.automaton()?.is_whole(text, range.clone())? {
                true => one.dissect(text, range, groups),
                false => Ok(()),
            },
            Kind::Repeat(one, rest) => match rest.last(self, one, text, range)? {
                Some(last) => one.dissect(text, last, groups),
                None => Err(does_not_fit()),
            },
        }
    }

    /// Where this part ends and what comes after it begins.
    fn split(&self, after: &Automaton, text: &str, range: &Range<usize>) -> Result<Option<usize>> {
        // What it likes best mostly fits.
        let best = match self.preference {
            Some(Preference::Shortest) => self.automaton()?.shortest(text, range.clone())?,
            _ => self.automaton()?.longest(text, range.clone())?,
        };
        let Some(best) = best else { return Ok(None) };
        if after.is_whole(text, best..range.end)? {
            return Ok(Some(best));
        }
        let mut ends = self.automaton()?.ends(text, range.clone())?;
        let starts = after.starts(text, range.clone())?;
        ends.retain(|end| starts.binary_search(end).is_ok());
        Ok(self.preferred(&ends))
    }

    /// The one of several positions that this part prefers to end at.
    fn preferred(&self, ends: &[usize]) -> Option<usize> {
        match self.preference {
            Some(Preference::Shortest) => ends.first().copied(),
            _ => ends.last().copied(),
        }
    }
}

impl Rest {
    /// Where the last of the repeated ones lies. None of them is empty.
    fn last(&self, all: &Part, one: &Part, text: &str, range: Range<usize>) -> Result<Option<Range<usize>>> {
        let starts_of_any = match self {
            Rest::Same => all.automaton()?.starts(text, range.clone())?,
            Rest::Fewer(_) => Vec::new(),
        };
        let (mut start, mut steps) = (range.start, 0);
        for count in 0.. {
            let left = start..range.end;
            let mut ends = one.automaton()?.ends(text, left.clone())?;
            steps += ends.len();
            if steps > MOST_STEPS {
                return Err(too_long());
            }
            ends.retain(|end| *end > start);
            match self {
                Rest::Same => ends.retain(|end| starts_of_any.binary_search(end).is_ok()),
                Rest::Fewer(parts) => {
                    let starts = match parts.get(count) {
                        Some(part) => part.automaton()?.starts(text, left)?,
                        None => vec![range.end],
                    };
                    ends.retain(|end| starts.binary_search(end).is_ok());
                }
            }
            // Each is as long as one of them wants to be, whatever the quantifier says.
            match one.preferred(&ends) {
                Some(end) if end == range.end => return Ok(Some(start..end)),
                Some(end) => start = end,
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

fn too_long() -> Error {
    Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, "a match is too long to find what its repeated groups hold")
        .with_hint("Find the part of the text that matters with a simpler expression first.")
}

fn does_not_fit() -> Error {
    Error::internal("parts of a regular expression do not fit its match")
}
