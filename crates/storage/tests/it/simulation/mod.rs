//! The whole shard on a simulated disk against a model, by seed.
//!
//! `steps`: writers with savepoints, bulk loads, definitions, snapshots, freezes and merges, with `interlude`s in the middle
//! of those. `faults`: power loss and kills at any change of the disk and during recovery, failing syncs and calls, a full
//! disk, flipped bits. `model`: what must be visible. `check`: after every step acknowledged = visible, snapshots are
//! stable, ways of reading agree; at the end only what is needed takes space. `canary`: shards with one rule broken must be
//! caught. A seed determines every call to the disk and every answer.

mod canary;
mod check;
mod faults;
mod interlude;
mod machine;
mod model;
mod steps;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use heliosdb_contracts::{ShardStore, Snapshot};
use heliosdb_runtime::Canary;
use heliosdb_storage::{Shard, ShardOptions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::*;
use faults::Weather;
use machine::Machine;
use model::{Model, OpenTxn, State};

const FIRST_TREE: u64 = 2000;
/// Keys that are written one by one.
const KEYS: i64 = 40;
const STEPS: usize = 60;
const SNAPSHOTS_MAX: usize = 4;
/// Lines of the trace that a failure prints.
const TRACE_LINES: usize = 60;

struct Simulation {
    rng: StdRng,
    machine: Machine,
    model: Model,
    snapshots: Vec<(Snapshot, Arc<State>)>,
    open: Vec<OpenTxn>,
    weather: Weather,
    /// Files may be left that only a restart removes.
    litter: bool,
    counter: u64,
    next_value: i64,
    next_tree: u64,
    next_bulk: i64,
    record_bytes_max: u64,
    counts: Counts,
    trace: Trace,
}

/// How often what this simulation is for has happened.
#[derive(Clone, Debug, Default)]
struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }
}

/// What was done, for whoever reads a failure.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<TraceLines>>);

#[derive(Default)]
struct TraceLines {
    lines: Vec<String>,
    answers: u64,
    aloud: bool,
}

/// What two runs of a seed must have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Digest {
    disk: u64,
    answers: u64,
}

fn options(rng: &mut StdRng) -> ShardOptions {
    ShardOptions {
        segment_rows: rng.random_range(4..80),
        block_rows: rng.random_range(2..16),
        txn_spill_bytes: if rng.random_bool(0.5) { rng.random_range(800..8_000) } else { 1 << 20 },
        mask_rows_min: [1, 10, 1000][rng.random_range(0..3)],
        young_segments_max: rng.random_range(1..5),
        merged_runs_max: rng.random_range(1..3),
        value_inline_bytes: [8, 1000, 1 << 20][rng.random_range(0..3)],
        value_piece_bytes: if rng.random_bool(0.3) { rng.random_range(6..24) } else { rng.random_range(200..4_000) },
        log_file_bytes: rng.random_range(2..32) << 10,
        cache_bytes: if rng.random_bool(0.3) { 0 } else { 64 << 10 },
        ..small_options()
    }
}

impl Simulation {
    fn new(seed: u64, canary: Option<Canary>, trace: Trace) -> Simulation {
        let mut rng = StdRng::seed_from_u64(seed);
        let options = ShardOptions { canary, ..options(&mut rng) };
        let mut machine = Machine::new(seed, options);
        machine.start().unwrap();
        Simulation {
            rng,
            machine,
            model: Model::default(),
            snapshots: Vec::new(),
            open: Vec::new(),
            weather: Weather::Calm,
            litter: false,
            counter: 0,
            next_value: 0,
            next_tree: 0,
            next_bulk: 0,
            record_bytes_max: 0,
            counts: Counts::default(),
            trace,
        }
    }

    fn shard(&self) -> &Arc<Shard> {
        self.machine.shard()
    }

    fn fenced(&self) -> bool {
        self.shard().metrics().fenced
    }

    fn note(&self, what: &str) {
        let mut trace = self.trace.0.lock().unwrap();
        if trace.aloud {
            println!("{what}");
        }
        trace.lines.push(what.to_owned());
        trace.answer(what);
    }

    fn answered(&self, rows: &Rows) {
        self.trace.0.lock().unwrap().answer(rows);
    }

    /// Commits become visible in order.
    fn settle_visible(&mut self) {
        let visible = self.shard().visible_ts();
        self.model.settle(visible);
    }

    fn run(mut self) -> (Digest, Counts) {
        for _ in 0..3 {
            self.create().unwrap();
            self.settle_visible();
        }
        let mut doomed = 0;
        for step in 0..STEPS {
            self.note(&format!("-- step {step}"));
            if self.rng.random_bool(0.2) {
                self.storm();
            } else if self.rng.random_bool(0.02) {
                self.close().unwrap();
            } else {
                let stepped = self.step();
                stepped.unwrap_or_else(|error| panic!("in calm weather: {error}"));
            }
            self.settle_visible();
            self.check().unwrap();
            let before = std::mem::replace(&mut doomed, self.shard().metrics().doomed_rows);
            if doomed > before {
                self.counts.add("steps with doomed rows");
            }
        }
        self.check_space();
        self.restart(machine::Stop::PowerLoss);
        let answers = self.trace.0.lock().unwrap().answers;
        (Digest { disk: self.machine.disk.digest(), answers }, self.counts)
    }
}

impl TraceLines {
    fn answer(&mut self, answer: impl Hash) {
        let mut hasher = DefaultHasher::new();
        (self.answers, answer).hash(&mut hasher);
        self.answers = hasher.finish();
    }
}

/// Runs a seed; a failure is what was wrong, and what had been done.
fn run(seed: u64, canary: Option<Canary>) -> Result<(Digest, Counts), (String, String)> {
    let trace = Trace::default();
    let outcome = catch_unwind(AssertUnwindSafe(|| Simulation::new(seed, canary, trace.clone()).run()));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let trace = trace.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let tail = trace.lines.len().saturating_sub(TRACE_LINES);
        (text.unwrap_or_else(|| "panicked".into()), trace.lines[tail..].join("\n"))
    })
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Runs seeds on two threads, with a line of progress now and then; panics with the first failure.
fn run_seeds(first: u64, count: u64) -> Counts {
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let counts = Mutex::new(Counts::default());
    let failure = Mutex::new(None::<(u64, String, String)>);
    let began = Instant::now();
    let work = || {
        while !stop.load(Ordering::SeqCst) {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= first + count {
                return;
            }
            match run(seed, None) {
                Ok((_, seen)) => {
                    let mut counts = counts.lock().unwrap();
                    seen.0.into_iter().for_each(|(what, n)| *counts.0.entry(what).or_default() += n);
                }
                Err((why, trace)) => {
                    failure.lock().unwrap().get_or_insert((seed, why, trace));
                    stop.store(true, Ordering::SeqCst);
                }
            }
            if (seed - first + 1).is_multiple_of(50) {
                println!("{} of {count} seeds, {:.0} s", seed - first + 1, began.elapsed().as_secs_f64());
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    if let Some((seed, why, trace)) = failure.into_inner().unwrap() {
        panic!("\n{trace}\n\nseed {seed} failed: {why}\nrepeat it with: cargo xtask sim storage --seed {seed}\n");
    }
    counts.into_inner().unwrap()
}

/// `HELIOSDB_SEED` runs one seed, telling what it does; with `HELIOSDB_SEEDS` so many from it on.
#[test]
fn acknowledged_commits_survive_by_seed() {
    let (seed, seeds) = (from_env("HELIOSDB_SEED"), from_env("HELIOSDB_SEEDS"));
    if let (Some(seed), None) = (seed, seeds) {
        let trace = Trace::default();
        trace.0.lock().unwrap().aloud = true;
        Simulation::new(seed, None, trace).run();
        return;
    }
    let seeds = seeds.unwrap_or(20);
    let counts = run_seeds(seed.unwrap_or(0), seeds);
    println!("{:#?}", counts.0);
    assert!(seeds < 20 || counts.0.contains_key("steps with doomed rows"), "large transactions are part of it");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 4, 5, 6] {
        let (first, again) = (run(seed, None).unwrap().0, run(seed, None).unwrap().0);
        assert_eq!(first, again, "seed {seed}: every call to the disk and every answer repeats");
        assert_ne!(first, run(seed + 100, None).unwrap().0, "the digest tells runs apart");
    }
}
