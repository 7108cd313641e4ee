//! Where the texts of one part of an expression end or begin.

use std::ops::Range;
use std::panic::{RefUnwindSafe, UnwindSafe};

use heliosdb_types::{Error, Result, SqlState};
use regex_automata::hybrid::dfa::{Cache, DFA, OverlappingState};
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::{Anchored, Input, MatchKind, meta};
use regex_syntax::hir::Hir;

use super::too_complex;

/// How large an automaton may get, in bytes; PostgreSQL has such a limit too.
pub(super) const LARGEST: usize = 16 << 20;
/// How many positions may be tried where each is tried for itself.
const MOST_TRIED: usize = 1 << 12;

/// All methods look at a range of a text, and see what stands beside it for `^`, `\m` and the like.
#[derive(Debug)]
pub(super) enum Automaton {
    Linear(Box<Linear>),
    /// Ends of words, letters beyond ASCII included, are not what a deterministic automaton can see.
    Words(Box<meta::Regex>),
}

#[derive(Debug)]
pub(super) struct Linear {
    forward: Machine,
    reverse: Machine,
}

#[derive(Debug)]
struct Machine {
    dfa: DFA,
    caches: Pool<Cache, NewCache>,
}

/// Makes the memory of a search.
type NewCache = Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

impl Machine {
    fn new(hir: &Hir, reverse: bool) -> Result<Machine> {
        let config = thompson::Config::new().nfa_size_limit(Some(LARGEST)).reverse(reverse);
        let config = config.which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(hir).map_err(|_| too_complex())?;
        let config = DFA::config().match_kind(MatchKind::All).skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).map_err(|_| too_complex())?;
        let of = dfa.clone();
        let new: NewCache = Box::new(move || of.create_cache());
        Ok(Machine { dfa, caches: Pool::new(new) })
    }
}

impl Automaton {
    pub fn new(hir: &Hir) -> Result<Automaton> {
        if hir.properties().look_set().contains_word_unicode() {
            let config = meta::Config::new().match_kind(MatchKind::All).nfa_size_limit(Some(LARGEST));
            let config = config.auto_prefilter(false).backtrack(false).onepass(false);
            let regex = meta::Builder::new().configure(config).build_from_hir(hir).map_err(|_| too_complex())?;
            return Ok(Automaton::Words(Box::new(regex)));
        }
        let linear = Linear { forward: Machine::new(hir, false)?, reverse: Machine::new(hir, true)? };
        Ok(Automaton::Linear(Box::new(linear)))
    }

    /// The last end of a match that begins where the range does.
    pub fn longest(&self, text: &str, range: Range<usize>) -> Result<Option<usize>> {
        let input = Input::new(text).range(range).anchored(Anchored::Yes);
        match self {
            Automaton::Linear(linear) => {
                let machine = &linear.forward;
                let end = machine.dfa.try_search_fwd(&mut machine.caches.get(), &input).map_err(failed)?;
                Ok(end.map(|end| end.offset()))
            }
            Automaton::Words(regex) => Ok(regex.search_half(&input).map(|end| end.offset())),
        }
    }

    /// The first end of a match that begins where the range does.
    pub fn shortest(&self, text: &str, range: Range<usize>) -> Result<Option<usize>> {
        match self {
            Automaton::Linear(linear) => {
                let input = Input::new(text).range(range).anchored(Anchored::Yes);
                let (machine, mut state) = (&linear.forward, OverlappingState::start());
                let mut cache = machine.caches.get();
                machine.dfa.try_search_overlapping_fwd(&mut cache, &input, &mut state).map_err(failed)?;
                Ok(state.get_match().map(|end| end.offset()))
            }
            Automaton::Words(_) => {
                let mut tried = 0..MOST_TRIED;
                for end in positions(text, range.clone()) {
                    tried.next().ok_or_else(too_long)?;
                    if self.is_whole(text, range.start..end)? {
                        return Ok(Some(end));
                    }
                }
                Ok(None)
            }
        }
    }

    /// Whether all of the range matches.
    pub fn is_whole(&self, text: &str, range: Range<usize>) -> Result<bool> {
        Ok(self.longest(text, range.clone())? == Some(range.end))
    }

    /// Every end of a match that begins where the range does, in order.
    pub fn ends(&self, text: &str, range: Range<usize>) -> Result<Vec<usize>> {
        match self {
            Automaton::Linear(linear) => {
                let input = Input::new(text).range(range).anchored(Anchored::Yes);
                let (machine, mut state, mut ends) = (&linear.forward, OverlappingState::start(), Vec::new());
                let mut cache = machine.caches.get();
                loop {
                    machine.dfa.try_search_overlapping_fwd(&mut cache, &input, &mut state).map_err(failed)?;
                    match state.get_match() {
                        Some(end) => ends.push(end.offset()),
                        None => return Ok(ends),
                    }
                }
            }
            Automaton::Words(_) => self.tried(text, &range, positions(text, range.clone()), |end| range.start..end),
        }
    }

    /// Every start of a match that ends where the range does, in order.
    pub fn starts(&self, text: &str, range: Range<usize>) -> Result<Vec<usize>> {
        match self {
            Automaton::Linear(linear) => {
                let input = Input::new(text).range(range).anchored(Anchored::Yes);
                let (machine, mut state, mut starts) = (&linear.reverse, OverlappingState::start(), Vec::new());
                let mut cache = machine.caches.get();
                loop {
                    machine.dfa.try_search_overlapping_rev(&mut cache, &input, &mut state).map_err(failed)?;
                    match state.get_match() {
                        Some(start) => starts.push(start.offset()),
                        None => break,
                    }
                }
                starts.reverse();
                Ok(starts)
            }
            Automaton::Words(_) => self.tried(text, &range, positions(text, range.clone()), |start| start..range.end),
        }
    }

    /// Those positions between which and the range's other end all matches.
    fn tried(
        &self,
        text: &str,
        range: &Range<usize>,
        positions: impl Iterator<Item = usize>,
        part: impl Fn(usize) -> Range<usize>,
    ) -> Result<Vec<usize>> {
        if range.len() > MOST_TRIED {
            return Err(too_long());
        }
        let mut found = Vec::new();
        for at in positions {
            if self.is_whole(text, part(at))? {
                found.push(at);
            }
        }
        Ok(found)
    }
}

/// Where characters begin or end in a range.
fn positions(text: &str, range: Range<usize>) -> impl Iterator<Item = usize> + '_ {
    (range.start..=range.end).filter(|at| text.is_char_boundary(*at))
}

fn too_long() -> Error {
    let message = format!(
        "a match with groups or reluctant quantifiers beside \\m, \\M or \\y is longer than {MOST_TRIED} bytes"
    );
    Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
        .with_hint("Find the part of the text that matters with a simpler expression first.")
}

fn failed(error: regex_automata::MatchError) -> Error {
    Error::internal(format!("an automaton stopped: {error}"))
}
