//! What an expression is: a tree of sets of characters.

use regex_syntax::hir::{Class, ClassUnicode, Hir, Look, Repetition};

/// How far a part reaches if it can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preference {
    Longest,
    Shortest,
}

/// An expression or a part of one.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// One character of these.
    Set(ClassUnicode),
    /// A condition on where it stands.
    Look(Look),
    /// What a pair of parentheses holds, with the number of the group.
    Group(usize, Box<Node>),
    /// One after the other; none is the empty text.
    Concat(Vec<Node>),
    /// One of several.
    Alternation(Vec<Node>),
    Repeat(Box<Repeat>),
}

/// A quantified atom.
#[derive(Clone, Debug)]
pub(super) struct Repeat {
    pub of: Node,
    pub min: u32,
    /// `None` is any number.
    pub max: Option<u32>,
    /// What the quantifier says; `{n}` says nothing.
    pub preference: Option<Preference>,
}

impl Node {
    /// The texts it matches, as the automata want them: groups and preferences are nothing to them.
    pub fn hir(&self) -> Hir {
        match self {
            Node::Set(set) => Hir::class(Class::Unicode(set.clone())),
            Node::Look(look) => Hir::look(*look),
            Node::Group(_, inner) => inner.hir(),
            Node::Concat(nodes) => Hir::concat(nodes.iter().map(Node::hir).collect()),
            Node::Alternation(branches) => Hir::alternation(branches.iter().map(Node::hir).collect()),
            Node::Repeat(repeat) => repeat.hir(repeat.min, repeat.max),
        }
    }

    /// What it prefers: the first quantifier of a branch that says so decides, several branches want the longest. `None`: no matter.
    pub fn preference(&self) -> Option<Preference> {
        match self {
            Node::Set(_) | Node::Look(_) => None,
            Node::Group(_, inner) => inner.preference(),
            Node::Concat(nodes) => nodes.iter().find_map(Node::preference),
            Node::Alternation(_) => Some(Preference::Longest),
            Node::Repeat(repeat) => repeat.preference.or_else(|| repeat.of.preference()),
        }
    }

    /// Whether there is a group in it.
    pub fn has_groups(&self) -> bool {
        match self {
            Node::Set(_) | Node::Look(_) => false,
            Node::Group(..) => true,
            Node::Concat(nodes) | Node::Alternation(nodes) => nodes.iter().any(Node::has_groups),
            Node::Repeat(repeat) => repeat.of.has_groups(),
        }
    }

    /// Whether parts of it want the longest and others the shortest.
    pub fn is_mixed(&self) -> bool {
        let mut seen = (false, false);
        self.note_preferences(&mut seen);
        seen == (true, true)
    }

    fn note_preferences(&self, seen: &mut (bool, bool)) {
        let mut note = |preference| match preference {
            Some(Preference::Longest) => seen.0 = true,
            Some(Preference::Shortest) => seen.1 = true,
            None => {}
        };
        match self {
            Node::Set(_) | Node::Look(_) => {}
            Node::Group(_, inner) => inner.note_preferences(seen),
            Node::Concat(nodes) => nodes.iter().for_each(|node| node.note_preferences(seen)),
            Node::Alternation(branches) => {
                note(Some(Preference::Longest));
                branches.iter().for_each(|node| node.note_preferences(seen));
            }
            Node::Repeat(repeat) => {
                note(repeat.preference);
                repeat.of.note_preferences(seen);
            }
        }
    }
}

impl Repeat {
    /// The same atom another number of times.
    pub fn hir(&self, min: u32, max: Option<u32>) -> Hir {
        // The automata find every end, so none is preferred here.
        Hir::repetition(Repetition { min, max, greedy: true, sub: Box::new(self.of.hir()) })
    }
}
