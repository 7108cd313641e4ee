//! Random interleavings of serializable transactions: what commits must have a serial order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use heliosdb_contracts::{KeyRange, LockPolicy, RangeRequest, Snapshot};
use heliosdb_runtime::{Entropy, SeededEntropy};
use heliosdb_types::{CommitTs, SqlState};

use super::*;

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// One transaction and what it has seen.
struct Running {
    id: TxnId,
    snapshot: Snapshot,
    read_only: bool,
    /// Key to the writer of the version read.
    reads: BTreeMap<&'static str, u64>,
    writes: BTreeSet<&'static str>,
    left: u64,
}

#[derive(Default)]
struct History {
    /// Committed transactions: reads and writes.
    done: HashMap<u64, (BTreeMap<&'static str, u64>, BTreeSet<&'static str>)>,
    /// Writers of each key in the order of their commits; 0 wrote the first version.
    versions: BTreeMap<&'static str, Vec<u64>>,
    failed: u64,
}

impl History {
    /// A cycle of reads-from, overwrites and read-past edges.
    fn has_cycle(&self) -> bool {
        let mut edges: HashMap<u64, BTreeSet<u64>> = HashMap::new();
        let mut edge = |from: u64, to: u64| {
            if from != to {
                edges.entry(from).or_default().insert(to);
            }
        };
        for versions in self.versions.values() {
            versions.windows(2).for_each(|pair| edge(pair[0], pair[1]));
        }
        for (id, (reads, _)) in &self.done {
            for (key, writer) in reads {
                edge(*writer, *id);
                let versions = &self.versions[key];
                let at = versions.iter().position(|known| known == writer).expect("only committed versions are read");
                if let Some(next) = versions.get(at + 1) {
                    edge(*id, *next);
                }
            }
        }
        let mut into: HashMap<u64, usize> = HashMap::new();
        edges.values().flatten().for_each(|to| *into.entry(*to).or_insert(0) += 1);
        let nodes: BTreeSet<u64> = edges.keys().chain(into.keys()).copied().collect();
        let mut free: Vec<u64> = nodes.iter().copied().filter(|n| !into.contains_key(n)).collect();
        let mut sorted = 0;
        while let Some(node) = free.pop() {
            sorted += 1;
            for to in edges.get(&node).into_iter().flatten() {
                let count = into.get_mut(to).expect("it has an edge into it");
                *count -= 1;
                if *count == 0 {
                    free.push(*to);
                }
            }
        }
        sorted < nodes.len()
    }
}

/// Runs a random history; `serializable` or only with snapshots.
fn run(seed: u64, steps: usize, serializable: bool) -> History {
    let bench = Bench::new();
    let setup = bench.begin();
    let rows = KEYS.iter().map(|key| keyed(key, "0")).collect();
    now(bench.insert(setup, rows)).unwrap();
    bench.commit(setup);
    // Commits become visible late, as they do while the log is synced.
    bench.store.hold_back_durability();
    let rng = SeededEntropy::new(seed);
    let below = |n: u64| rng.next_u64() % n;
    let mut history = History::default();
    KEYS.iter().for_each(|key| _ = history.versions.insert(key, vec![0]));
    let mut running: Vec<Running> = Vec::new();
    for _ in 0..steps {
        if below(4) == 0 {
            bench.store.make_durable();
        }
        if running.len() < 4 && below(3) == 0 {
            let id = bench.begin();
            let read_only = below(5) == 0;
            let snapshot = match serializable {
                true => bench.shard.begin_serializable(id, read_only).unwrap(),
                false => bench.shard.snapshot(TRUNK),
            };
            let (reads, writes) = (BTreeMap::new(), BTreeSet::new());
            running.push(Running { id, snapshot, read_only, reads, writes, left: 1 + below(5) });
            continue;
        }
        if running.is_empty() {
            continue;
        }
        let at = below(running.len() as u64) as usize;
        let commits = running[at].left == 0;
        let outcome = if commits {
            let txn = running.remove(at);
            // One that waits for the log has ended well.
            let committed = bench.shard.commit(txn.id).now_or_never().unwrap_or(Ok(CommitTs::ZERO));
            if committed.is_ok() {
                for key in &txn.writes {
                    history.versions.get_mut(key).unwrap().push(txn.id.0);
                }
                history.done.insert(txn.id.0, (txn.reads, txn.writes));
            } else {
                history.failed += 1;
            }
            committed.map(|_| true)
        } else {
            step(&bench, &mut running[at], serializable, below(8), below(KEYS.len() as u64) as usize)
        };
        match outcome {
            Ok(true) => {}
            // Somebody else was first: the transaction gives up.
            Ok(false) => bench.shard.rollback(running.remove(at).id),
            Err(error) => {
                assert_eq!(error.state(), SqlState::SERIALIZATION_FAILURE);
                if !commits {
                    bench.shard.rollback(running.remove(at).id);
                    history.failed += 1;
                }
            }
        }
    }
    running.iter().for_each(|txn| bench.shard.rollback(txn.id));
    bench.store.make_durable();
    history
}

/// One read or write; false if the row has changed since the snapshot.
fn step(bench: &Bench, txn: &mut Running, serializable: bool, kind: u64, at: usize) -> Result<bool> {
    txn.left -= 1;
    let isolation = if serializable { IsolationLevel::Serializable } else { IsolationLevel::RepeatableRead };
    let context = ReadContext { txn: Some(txn.id), command: CommandId(1), snapshot: txn.snapshot.clone(), isolation };
    let key = KEYS[at];
    match kind {
        // A range: the mock cannot read it, but the mark is set, and the keys are read past the participant's eyes.
        0 => {
            let range = KeyRange { lower: bytes(key), upper: None, reverse: false };
            let request = RangeRequest { tree: TREE, range, projection: Vec::new(), keys: true };
            if let Err(error) = bench.shard.range(&context, &request)
                && error.state() == SqlState::SERIALIZATION_FAILURE
            {
                return Err(error);
            }
            let unwatched = ReadContext { isolation: IsolationLevel::RepeatableRead, ..context };
            for key in KEYS[at..].iter().filter(|key| !txn.writes.contains(*key)) {
                let writer = value(bench, &unwatched, key)?;
                txn.reads.insert(key, writer);
            }
        }
        // Two by their keys at once.
        1 => {
            let two = [key, KEYS[(at + 1) % KEYS.len()]];
            let mut read = Vec::new();
            let mut sink = |key: &[u8], values: &[DatumRef<'_>], _: RowHint| {
                read.push((key.to_vec(), writer_of(values)));
                Ok(())
            };
            bench.shard.get_rows(&context, TREE, &two.map(str::as_bytes), &[], &mut sink)?;
            assert!(read.iter().map(|(key, _)| key.as_slice()).eq(two.map(str::as_bytes)), "in their order");
            for (key, (_, writer)) in two.iter().zip(read).filter(|(key, _)| !txn.writes.contains(*key)) {
                txn.reads.insert(key, writer);
            }
        }
        2..=4 => {
            let writer = value(bench, &context, key)?;
            if !txn.writes.contains(key) {
                txn.reads.insert(key, writer);
            }
        }
        _ if txn.read_only => {}
        _ => {
            let wait = LockWait { policy: LockPolicy::NoWait, ..FOREVER };
            let locked = now(bench.shard.lock_rows(&context, TREE, vec![bytes(key)], RowLockMode::NoKeyUpdate, wait))?;
            if !matches!(locked[..], [LockedRow::Unchanged]) {
                return Ok(false);
            }
            bench.update(txn.id, key, &txn.id.0.to_string())?;
            txn.writes.insert(key);
        }
    }
    Ok(true)
}

fn writer_of(values: &[DatumRef<'_>]) -> u64 {
    match values {
        [DatumRef::Bytes(value), ..] => String::from_utf8_lossy(value).parse().unwrap(),
        other => panic!("a value, not {other:?}"),
    }
}

fn value(bench: &Bench, context: &ReadContext, key: &str) -> Result<u64> {
    struct Sink(u64);
    impl RowSink for Sink {
        fn row(&mut self, values: &[DatumRef<'_>], _reference: RowHint) -> Result<()> {
            self.0 = writer_of(values);
            Ok(())
        }
    }
    let mut sink = Sink(0);
    bench.shard.get(context, TREE, key.as_bytes(), &[], &mut sink)?;
    Ok(sink.0)
}

#[test]
fn serializable_histories_have_a_serial_order() {
    let (mut committed, mut failed) = (0, 0);
    for seed in 0..400 {
        let history = run(seed, 300, true);
        assert!(!history.has_cycle(), "seed {seed}");
        committed += history.done.len();
        failed += history.failed;
    }
    assert!(committed > 5_000, "only {committed} commits");
    assert!(failed > 100, "only {failed} serialization failures: nothing was tried");
}

#[test]
fn snapshots_alone_do_not_suffice() {
    let cyclic = (0..100).filter(|seed| run(*seed, 300, false).has_cycle()).count();
    assert!(cyclic > 10, "only {cyclic} of 100 histories have an anomaly: the test proves little");
}

#[test]
fn many_committed_transactions_are_remembered_in_little_memory() {
    let bench = Bench::new();
    let setup = bench.begin();
    now(bench.insert(setup, KEYS.iter().map(|key| keyed(key, "0")).collect())).unwrap();
    bench.commit(setup);
    let old = bench.begin();
    let snapshot = bench.shard.begin_serializable(old, false).unwrap();
    let context =
        ReadContext { txn: Some(old), command: CommandId(1), snapshot, isolation: IsolationLevel::Serializable };
    value(&bench, &context, "a").unwrap();
    // Each reads what the old one will write, and writes what it has read: the last two merged lose nothing.
    for n in 0..3_000 {
        let txn = bench.begin();
        let snapshot = bench.shard.begin_serializable(txn, false).unwrap();
        let context = ReadContext { txn: Some(txn), snapshot, ..context.clone() };
        if n == 0 {
            value(&bench, &context, "b").unwrap();
        }
        let key = if n == 0 { "a" } else { "c" };
        now(bench.shard.lock_rows(&context, TREE, vec![bytes(key)], RowLockMode::Update, FOREVER)).unwrap();
        bench.update(txn, key, "1").unwrap();
        bench.commit(txn);
    }
    now(bench.shard.lock_rows(&context, TREE, vec![bytes("b")], RowLockMode::Update, FOREVER)).unwrap();
    let error = bench.update(old, "b", "2").unwrap_err();
    assert_eq!(error.state(), SqlState::SERIALIZATION_FAILURE, "write skew with the first, long merged");
    bench.shard.rollback(old);
}

#[test]
fn a_deferrable_reader_waits_for_a_safe_snapshot() {
    let bench = Bench::holding(&["a"]);
    let writer = bench.begin();
    bench.shard.begin_serializable(writer, false).unwrap();
    let reader = bench.begin();
    let shard = bench.shard.clone();
    let mut safe = async move { shard.safe_snapshot(reader).await }.boxed();
    assert!(waits(&mut safe), "a writer is running");
    bench.commit(writer);
    now(safe).unwrap();
    bench.commit(reader);
}
