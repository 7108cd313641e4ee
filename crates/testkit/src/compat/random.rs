//! Many random statements on both servers; what differs is made small.

use std::collections::BTreeMap;

use super::generate::{Param, SETUP, Statement};
use super::listed::{NOT_NEEDED, told_apart};
use super::verdict::{Verdict, compare, same_failure};
use super::wire::{Answer, Wire};

/// CI runs these first statements and holds their rates.
pub const KEPT_STATEMENTS: u64 = 1000;

/// Simpler statements looked at in one step of making one small; of large ones there are very many, most of them no shorter.
const CANDIDATES_MAX: usize = 5000;

/// How long the pieces of one statement may take.
const PIECES_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// Both servers, with the generator's tables in a schema of their own.
pub struct Pair {
    ours: Wire,
    theirs: Wire,
    ports: (u16, u16),
}

/// What became of the statements of one area.
#[derive(Debug, Default, Clone, Copy)]
pub struct AreaTally {
    pub statements: u64,
    pub same: u64,
    pub refused: u64,
    pub listed: u64,
    pub errors: u64,
    pub silent: u64,
}

impl AreaTally {
    /// Statements answered as PostgreSQL answers, or as documented, per thousand, rounded down.
    pub fn per_mille(&self) -> usize {
        ((self.same + self.listed) * 1000).checked_div(self.statements).unwrap_or(1000) as usize
    }
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Tally {
    pub areas: BTreeMap<&'static str, AreaTally>,
    /// The areas after [`KEPT_STATEMENTS`]; empty in a shorter run, and in one of other seeds.
    pub kept: BTreeMap<&'static str, AreaTally>,
    /// Documented differences: how often each was met.
    pub listed: BTreeMap<&'static str, u64>,
    /// What was refused, by message.
    pub refused: BTreeMap<String, u64>,
    /// Loud differences: shrunk statement and what was said.
    pub errors: BTreeMap<String, Difference>,
    /// Silent differences, and internal errors (XX000, lost connections), which must not be.
    pub silent: BTreeMap<String, Difference>,
}

#[derive(Clone, Debug)]
pub struct Difference {
    pub seed: u64,
    pub said: String,
    pub times: u64,
}

impl Pair {
    pub fn connect(ours: u16, theirs: u16) -> Result<Pair, String> {
        let text = |error: std::io::Error| error.to_string();
        let mut pair = Pair {
            ours: Wire::connect(ours).map_err(text)?,
            theirs: Wire::connect(theirs).map_err(text)?,
            ports: (ours, theirs),
        };
        pair.session()?;
        Ok(pair)
    }

    /// Creates the tables on both.
    pub fn set_up(&mut self) -> Result<(), String> {
        for sql in SETUP {
            for wire in [&mut self.ours, &mut self.theirs] {
                let answer = wire.query(sql).map_err(|error| error.to_string())?;
                if let Some(error) = answer.error {
                    return Err(format!("{} {}: {sql}", error.sqlstate, error.message));
                }
            }
        }
        Ok(())
    }

    fn session(&mut self) -> Result<(), String> {
        for wire in [&mut self.ours, &mut self.theirs] {
            for sql in ["SET TimeZone = 'UTC'", "SET statement_timeout = '20s'"] {
                wire.query(sql).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Runs a statement on both, undone afterwards.
    pub fn run(&mut self, statement: &Statement) -> Result<Verdict, String> {
        self.run_unless(statement, |_| false)
    }

    /// The same; a verdict for which `uninteresting` says so is not looked into.
    fn run_unless(
        &mut self,
        statement: &Statement,
        uninteresting: impl Fn(&Verdict) -> bool,
    ) -> Result<Verdict, String> {
        let (sql, params) = statement.sql();
        let lost = |error: std::io::Error| format!("PostgreSQL: {error}: {sql}");
        let writes = statement.writes();
        // Both work at the same time.
        if writes {
            self.theirs.query("BEGIN").map_err(lost)?;
        }
        self.theirs.send(&sql, &params).map_err(lost)?;
        let ours = answered(&mut self.ours, &sql, &params, writes);
        let theirs = self.theirs.until_ready().map_err(lost)?;
        if writes {
            self.theirs.query("ROLLBACK").map_err(lost)?;
        }
        match ours {
            Ok(ours) => {
                let verdict = told_apart(compare(&ours, &theirs, statement.ordered()), &sql, &ours, &theirs);
                match verdict {
                    verdict if uninteresting(&verdict) => Ok(verdict),
                    Verdict::Error(_) | Verdict::Silent(_) | Verdict::Refused(_)
                        if self.not_needed(statement, &ours, &theirs)? =>
                    {
                        Ok(Verdict::Listed(NOT_NEEDED))
                    }
                    verdict => Ok(verdict),
                }
            }
            Err(error) => {
                self.ours =
                    Wire::connect(self.ports.0).map_err(|error| format!("the server is gone: {error}: {sql}"))?;
                self.session()?;
                Ok(Verdict::Silent(format!("connection lost: {error}")))
            }
        }
    }

    /// Whether the two differ only in which errors they came upon: each raises what the other raised once it is made to
    /// compute the same expression. What a server need not compute (rows that are filtered, columns nobody uses, the rest
    /// of a condition that is decided) is its own affair, in PostgreSQL's words "the order of evaluation is not defined".
    /// Nor is it which of several errors an expression raises first.
    fn not_needed(&mut self, statement: &Statement, ours: &Answer, theirs: &Answer) -> Result<bool, String> {
        let state = |answer: &Answer| answer.error.as_ref().map(|error| error.sqlstate.clone());
        let (mut for_ours, mut for_theirs) = (state(theirs), state(ours));
        if for_ours.is_none() && for_theirs.is_none() {
            return Ok(false);
        }
        let internal = |state: &Option<String>| state.as_ref().is_some_and(|state| state.starts_with("XX"));
        if internal(&for_ours) || internal(&for_theirs) {
            return Ok(false);
        }
        let started = std::time::Instant::now();
        // The short ones are the cheap ones.
        let mut pieces = statement.pieces();
        pieces.sort_by_key(|(sql, _)| sql.len());
        for (sql, params) in pieces {
            if started.elapsed() > PIECES_TIME_MAX {
                // Over products of many tables every piece takes its time: a difference then, until somebody looks.
                return Ok(false);
            }
            let writes = sql.starts_with("UPDATE ");
            for (wanted, is_ours) in [(&mut for_ours, true), (&mut for_theirs, false)] {
                let Some(error) = wanted.clone() else { continue };
                let mut raised = |ours: bool| {
                    let wire = if ours { &mut self.ours } else { &mut self.theirs };
                    let answer = answered(wire, &sql, &params, writes).map_err(|error| format!("{error}: {sql}"))?;
                    Ok::<_, String>(state(&answer))
                };
                let Some(mine) = raised(is_ours)? else { continue };
                let is_it = |raised: &str| same_failure(raised, &error);
                if is_it(&mine) || !mine.starts_with("XX") && raised(!is_ours)?.is_some_and(|other| is_it(&other)) {
                    *wanted = None;
                }
            }
            if for_ours.is_none() && for_theirs.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Runs the statements of `seeds`; at most `shrink` differences of each kind are shrunk and told.
    pub fn run_seeds(&mut self, seeds: std::ops::Range<u64>, shrink: usize) -> Result<Tally, String> {
        let mut tally = Tally::default();
        let from_the_start = seeds.start == 1;
        for (n, seed) in seeds.enumerate() {
            if n as u64 == KEPT_STATEMENTS && from_the_start {
                tally.kept.clone_from(&tally.areas);
            }
            if n % 1000 == 0 && n > 0 {
                println!("{n} statements: {}", tally.line());
            }
            let statement = Statement::of_seed(seed);
            let area = tally.areas.entry(statement.area).or_default();
            area.statements += 1;
            match self.run(&statement)? {
                Verdict::Same => area.same += 1,
                Verdict::Refused(message) => {
                    area.refused += 1;
                    *tally.refused.entry(message).or_default() += 1;
                }
                Verdict::Listed(name) => {
                    area.listed += 1;
                    *tally.listed.entry(name).or_default() += 1;
                }
                verdict => {
                    let must_not_be = worst(&verdict);
                    let (kind, count) = if must_not_be {
                        (&mut tally.silent, &mut area.silent)
                    } else {
                        (&mut tally.errors, &mut area.errors)
                    };
                    *count += 1;
                    let (sql, said) = if kind.len() < shrink {
                        let (sql, said) = self.shrink(statement, verdict)?;
                        if !kind.contains_key(&sql) {
                            println!("seed {seed}: {sql}\n    {said}");
                        }
                        (sql, said)
                    } else {
                        println!("seed {seed}: {}\n    {}", statement.shown(), text(&verdict));
                        ("(more, not shrunk)".to_owned(), text(&verdict))
                    };
                    kind.entry(sql).or_insert(Difference { seed, said, times: 0 }).times += 1;
                }
            }
        }
        if from_the_start && tally.total().statements == KEPT_STATEMENTS {
            tally.kept.clone_from(&tally.areas);
        }
        Ok(tally)
    }

    /// The smallest statement found that still differs in the same way.
    fn shrink(&mut self, statement: Statement, verdict: Verdict) -> Result<(String, String), String> {
        let (mut smallest, mut said) = (statement, verdict);
        let mut attempts = 0;
        'smaller: loop {
            let mut found = None;
            for candidate in smallest.simpler().take(CANDIDATES_MAX) {
                if candidate.length() >= smallest.length() {
                    continue;
                }
                attempts += 1;
                if attempts > 150 {
                    break 'smaller;
                }
                let wanted = signature(&said);
                let verdict = self.run_unless(&candidate, |verdict| signature(verdict) != wanted)?;
                if signature(&verdict) == wanted {
                    found = Some((candidate, verdict));
                    break;
                }
            }
            match found {
                Some(smaller) => (smallest, said) = smaller,
                None => break,
            }
        }
        Ok((smallest.shown(), text(&said)))
    }
}

fn answered(wire: &mut Wire, sql: &str, params: &[Param], writes: bool) -> std::io::Result<Answer> {
    if writes {
        wire.query("BEGIN")?;
    }
    wire.send(sql, params)?;
    let answer = wire.until_ready()?;
    if writes {
        wire.query("ROLLBACK")?;
    }
    Ok(answer)
}

/// What kind of difference it is: while it is made small it stays of this kind.
fn signature(verdict: &Verdict) -> String {
    let codes = |said: &str| {
        let words = said.split_whitespace().filter(|word| {
            ["columns:", "tag:", "rows:"].contains(word)
                || (word.len() == 5 && word.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()))
        });
        words.collect::<Vec<_>>().join(" ")
    };
    match verdict {
        Verdict::Error(said) => format!("error {}", codes(said)),
        Verdict::Silent(said) => format!("silent {}", codes(said)),
        other => text(other),
    }
}

/// Silent differences and internal errors.
fn worst(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Silent(_) => true,
        Verdict::Error(said) => said.starts_with("ours XX"),
        _ => false,
    }
}

fn text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Same => "same".into(),
        Verdict::Refused(message) => message.clone(),
        Verdict::Listed(name) => (*name).into(),
        Verdict::Error(said) | Verdict::Silent(said) => said.clone(),
    }
}

impl Tally {
    /// All areas together.
    pub fn total(&self) -> AreaTally {
        self.areas.values().fold(AreaTally::default(), |sum, area| AreaTally {
            statements: sum.statements + area.statements,
            same: sum.same + area.same,
            refused: sum.refused + area.refused,
            listed: sum.listed + area.listed,
            errors: sum.errors + area.errors,
            silent: sum.silent + area.silent,
        })
    }

    /// One line of counts.
    pub fn line(&self) -> String {
        let AreaTally { statements: _, same, refused, listed, errors, silent } = self.total();
        format!(
            "{same} same, {refused} refused (0A000), {listed} as documented, {errors} other errors, {silent} silent differences or internal errors",
        )
    }

    pub fn print(&self) {
        for (title, all) in [("silent", &self.silent), ("error", &self.errors)] {
            for (sql, difference) in all {
                println!(
                    "\n{title}, {} times, first seed {}\n  {sql}\n  {}",
                    difference.times, difference.seed, difference.said
                );
            }
        }
        println!();
        for (message, times) in &self.refused {
            println!("refused {times} times: {message}");
        }
        for (name, area) in &self.areas {
            let AreaTally { statements, same, refused, listed, errors, silent } = area;
            println!(
                "{name:<16} {statements:>6}: {same} same, {refused} refused, {listed} as documented, {errors} errors, {silent} silent"
            );
        }
        println!("\n{} statements: {}", self.total().statements, self.line());
    }
}
