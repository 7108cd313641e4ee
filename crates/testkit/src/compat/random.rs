//! Many random statements on both servers; what differs is made small.

use std::collections::BTreeMap;

use super::generate::{SETUP, Statement};
use super::verdict::{Verdict, compare};
use super::wire::Wire;

/// Both servers, with the generator's tables in a schema of their own.
pub struct Pair {
    ours: Wire,
    theirs: Wire,
    ports: (u16, u16),
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Tally {
    pub statements: u64,
    pub same: u64,
    pub refused: u64,
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
        let sql = statement.sql();
        let theirs = undone(&mut self.theirs, &sql).map_err(|error| format!("PostgreSQL: {error}: {sql}"))?;
        match undone(&mut self.ours, &sql) {
            Ok(ours) => Ok(compare(&ours, &theirs, statement.ordered())),
            Err(error) => {
                self.ours =
                    Wire::connect(self.ports.0).map_err(|error| format!("the server is gone: {error}: {sql}"))?;
                self.session()?;
                Ok(Verdict::Silent(format!("connection lost: {error}")))
            }
        }
    }

    /// Runs the statements of `seeds`; at most 50 differences of each kind are shrunk and told.
    pub fn run_seeds(&mut self, seeds: std::ops::Range<u64>) -> Result<Tally, String> {
        let mut tally = Tally::default();
        for seed in seeds {
            let statement = Statement::of_seed(seed);
            tally.statements += 1;
            if tally.statements % 1000 == 0 {
                println!("{} statements: {}", tally.statements, tally.line());
            }
            match self.run(&statement)? {
                Verdict::Same => tally.same += 1,
                Verdict::Refused => tally.refused += 1,
                verdict => {
                    let must_not_be = worst(&verdict);
                    let kind = if must_not_be { &mut tally.silent } else { &mut tally.errors };
                    let (sql, said) = if kind.len() < 50 {
                        self.shrink(statement, verdict)?
                    } else {
                        ("(more, not shrunk)".to_owned(), text(&verdict))
                    };
                    let kind = if must_not_be { &mut tally.silent } else { &mut tally.errors };
                    kind.entry(sql).or_insert(Difference { seed, said, times: 0 }).times += 1;
                }
            }
        }
        Ok(tally)
    }

    /// The smallest statement found that still differs in the same way.
    fn shrink(&mut self, statement: Statement, verdict: Verdict) -> Result<(String, String), String> {
        let (mut smallest, mut said) = (statement, verdict);
        let mut attempts = 0;
        'smaller: loop {
            let mut found = None;
            for candidate in smallest.simpler() {
                if candidate.sql().len() >= smallest.sql().len() {
                    continue;
                }
                attempts += 1;
                if attempts > 200 {
                    break 'smaller;
                }
                let verdict = self.run(&candidate)?;
                if std::mem::discriminant(&verdict) == std::mem::discriminant(&said) && worst(&verdict) == worst(&said)
                {
                    found = Some((candidate, verdict));
                    break;
                }
            }
            match found {
                Some(smaller) => (smallest, said) = smaller,
                None => break,
            }
        }
        Ok((smallest.sql(), text(&said)))
    }
}

fn undone(wire: &mut Wire, sql: &str) -> std::io::Result<super::wire::Answer> {
    wire.query("BEGIN")?;
    let answer = wire.query(sql)?;
    wire.query("ROLLBACK")?;
    Ok(answer)
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
        Verdict::Refused => "refused".into(),
        Verdict::Error(said) | Verdict::Silent(said) => said.clone(),
    }
}

impl Tally {
    fn times(all: &BTreeMap<String, Difference>) -> u64 {
        all.values().map(|difference| difference.times).sum()
    }

    pub fn silent_times(&self) -> u64 {
        Tally::times(&self.silent)
    }

    pub fn error_times(&self) -> u64 {
        Tally::times(&self.errors)
    }

    /// One line of counts.
    pub fn line(&self) -> String {
        format!(
            "{} same, {} refused (0A000), {} other errors, {} silent differences or internal errors",
            self.same,
            self.refused,
            self.error_times(),
            self.silent_times()
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
        println!("\n{} statements: {}", self.statements, self.line());
    }
}
