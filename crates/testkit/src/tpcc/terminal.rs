//! A terminal: one connection that runs the mix, tries again what met another transaction, and remembers what was acknowledged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::input::{Input, Kind};
use super::pace::Pace;
use super::random::Random;
use super::statements::Statements;
use super::transactions::{Done, Run, Trouble};
use super::{Scale, describe};

/// After so many tries something else than chance is at work.
const TRIES_MAX: u32 = 1_000;

/// What the server said is committed: it must be there ever after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// The newest order of a warehouse's district.
    pub orders: BTreeMap<(i32, i32), i32>,
    /// Payments to a warehouse's district.
    pub payments: BTreeMap<(i32, i32), i64>,
}

impl Acknowledged {
    pub fn merge(&mut self, other: Acknowledged) {
        for (district, order) in other.orders {
            let newest = self.orders.entry(district).or_default();
            *newest = order.max(*newest);
        }
        for (district, payments) in other.payments {
            *self.payments.entry(district).or_default() += payments;
        }
    }
}

/// What one terminal did with one kind of transaction.
#[derive(Clone, Debug, Default)]
pub struct KindReport {
    pub committed: u64,
    /// Mistyped items: rolled back on purpose.
    pub rolled_back: u64,
    /// Tries that ended in 40001 or 40P01 and were made again.
    pub retries: u64,
    /// From the first BEGIN to the last COMMIT, tries included.
    pub latencies_ms: Vec<f64>,
}

#[derive(Clone, Debug, Default)]
pub struct TerminalReport {
    pub kinds: [KindReport; 5],
    /// Of a terminal that keeps a pace: seconds since the start at which a transaction ended, and the milliseconds since it
    /// was due.
    pub moments: Vec<(f32, f32)>,
    pub acknowledged: Acknowledged,
}

impl TerminalReport {
    pub fn kind(&self, kind: Kind) -> &KindReport {
        &self.kinds[kind as usize]
    }

    pub fn merge(&mut self, other: TerminalReport) {
        for (mine, theirs) in self.kinds.iter_mut().zip(other.kinds) {
            mine.committed += theirs.committed;
            mine.rolled_back += theirs.rolled_back;
            mine.retries += theirs.retries;
            mine.latencies_ms.extend(theirs.latencies_ms);
        }
        self.moments.extend(other.moments);
        self.acknowledged.merge(other.acknowledged);
    }
}

/// How a terminal ended before its time.
#[derive(Debug)]
pub enum Mistake {
    /// The connection is gone; what was done until then.
    Gone(Box<TerminalReport>),
    /// The server did what it must not.
    Wrong(String),
}

pub struct Terminal {
    client: Client,
    statements: Statements,
    random: Random,
    warehouse: i32,
    begin: String,
    report: TerminalReport,
}

impl Terminal {
    /// `level` is one of [`super::LEVELS`].
    pub fn new(client: Client, scale: Scale, seed: u64, number: i32, level: &str) -> Terminal {
        let random = Random::new(seed.wrapping_mul(1009).wrapping_add(number.unsigned_abs().into()), scale);
        Terminal {
            client,
            statements: Statements::new(),
            random,
            warehouse: number % scale.warehouses + 1,
            begin: format!("BEGIN ISOLATION LEVEL {level}"),
            report: TerminalReport::default(),
        }
    }

    /// Works for this long.
    pub async fn work(mut self, time: Duration) -> Result<TerminalReport, Mistake> {
        let began = Instant::now();
        while began.elapsed() < time {
            self.transact().await?;
        }
        Ok(self.report)
    }

    /// Works on what is due next until told to stop, and counts latencies from when it was due.
    pub async fn keep(mut self, pace: &Pace) -> Result<TerminalReport, Mistake> {
        while let Some(due) = pace.next().await {
            self.transact().await?;
            let latency = due.elapsed().as_secs_f32() * 1e3;
            self.report.moments.push((pace.began.elapsed().as_secs_f32(), latency));
        }
        Ok(self.report)
    }

    async fn transact(&mut self) -> Result<(), Mistake> {
        let input = Input::choose(&mut self.random, self.warehouse);
        let Err(trouble) = self.until_done(&input).await else { return Ok(()) };
        let what = input.kind().name();
        Err(match trouble {
            Trouble::Server(error) if error.as_db_error().is_none() || self.client.is_closed() => {
                Mistake::Gone(Box::new(std::mem::take(&mut self.report)))
            }
            // The server is going down.
            Trouble::Server(error) if error.code().is_some_and(|code| code.code() == "57P01") => {
                Mistake::Gone(Box::new(std::mem::take(&mut self.report)))
            }
            Trouble::Server(error) => Mistake::Wrong(format!("{what}: {}", describe(&error))),
            Trouble::Wrong(why) => Mistake::Wrong(format!("{what}: {why}")),
        })
    }

    async fn until_done(&mut self, input: &Input) -> Result<(), Trouble> {
        let (w, districts) = (self.warehouse, self.random.scale.districts);
        let run = Run { client: &self.client, sql: &self.statements, begin: &self.begin, w, districts };
        let began = Instant::now();
        let mut retries = 0;
        let done = loop {
            match run.transact(input).await {
                Ok(done) => break done,
                Err(Trouble::Server(error)) if retries < TRIES_MAX && may_retry(&error) => {
                    retries += 1;
                    self.client.batch_execute("ROLLBACK").await?;
                }
                Err(trouble) => return Err(trouble),
            }
        };
        let acknowledged = &mut self.report.acknowledged;
        match done {
            Done::Ordered { district, order } => {
                let newest = acknowledged.orders.entry((w, district)).or_default();
                *newest = order.max(*newest);
            }
            Done::Paid { district } => *acknowledged.payments.entry((w, district)).or_default() += 1,
            Done::Other | Done::RolledBack => {}
        }
        let report = &mut self.report.kinds[input.kind() as usize];
        report.retries += u64::from(retries);
        if done == Done::RolledBack {
            report.rolled_back += 1;
        } else {
            report.committed += 1;
            report.latencies_ms.push(began.elapsed().as_secs_f64() * 1e3);
        }
        Ok(())
    }
}

fn may_retry(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| matches!(code.code(), "40001" | "40P01"))
}
