//! What happens between a commit's decision, its timestamp and its visibility.

use bytes::Bytes;
use heliosdb_types::{BranchId, DatabaseId, TreeId};

use super::*;

const TREE: TreeRef = TreeRef { database: DatabaseId(1), tree: TreeId(2000) };

struct Bench {
    ssi: Ssi,
    next: u64,
}

impl Bench {
    fn new() -> Bench {
        Bench { ssi: Ssi::default(), next: 0 }
    }

    fn begin(&mut self, snapshot: u64, read_only: bool) -> TxnId {
        self.next += 1;
        let take = || Snapshot { ts: CommitTs(snapshot), branch: BranchId(0), pin: std::sync::Arc::new(()) };
        self.ssi.begin(TxnId(self.next), read_only, take);
        TxnId(self.next)
    }

    fn read(&self, txn: TxnId, key: &'static str) -> Result<()> {
        self.ssi.read(txn, TREE, &Mark::Key(Bytes::from_static(key.as_bytes())))
    }

    fn write(&self, txn: TxnId, key: &'static str) -> Result<()> {
        self.ssi.write(txn, TREE, std::iter::once(Mark::Key(Bytes::from_static(key.as_bytes()))))
    }
}

#[test]
fn who_is_not_visible_yet_is_not_forgotten() {
    let mut bench = Bench::new();
    let first = bench.begin(4, false);
    bench.read(first, "a").unwrap();
    bench.write(first, "b").unwrap();
    bench.ssi.prepare(first).unwrap();
    // Nobody else is running, and the next snapshot will not see it.
    bench.ssi.committed(first, CommitTs(5), CommitTs(4));
    let second = bench.begin(4, false);
    bench.read(second, "b").unwrap();
    bench.write(second, "a").unwrap_err();
    bench.ssi.rolled_back(second, CommitTs(4));
    assert!(!bench.ssi.is_empty(CommitTs(4)));
    assert!(bench.ssi.is_empty(CommitTs(5)));
}

/// T1 -rw-> T2 -rw-> T3, with T3 committing and its timestamp not yet known.
fn structure(bench: &mut Bench) -> (TxnId, TxnId) {
    let (t2, t3) = (bench.begin(4, false), bench.begin(4, false));
    bench.read(t2, "c").unwrap();
    bench.write(t3, "c").unwrap();
    bench.write(t2, "b").unwrap();
    bench.ssi.prepare(t3).unwrap();
    bench.ssi.prepare(t2).unwrap();
    (t2, t3)
}

#[test]
fn a_commit_whose_timestamp_is_not_known_may_have_been_first() {
    let mut bench = Bench::new();
    let t1 = bench.begin(4, false);
    bench.write(t1, "x").unwrap();
    let (t2, _t3) = structure(&mut bench);
    bench.ssi.committed(t2, CommitTs(6), CommitTs(4));
    // T3 got timestamp 5, but has not come to say so.
    bench.read(t1, "b").unwrap_err();
}

#[test]
fn a_reader_may_see_a_commit_that_has_not_said_so() {
    let mut bench = Bench::new();
    let (t2, _t3) = structure(&mut bench);
    // T3's timestamp 5 is visible already.
    let reader = bench.begin(5, true);
    bench.ssi.committed(t2, CommitTs(6), CommitTs(5));
    bench.read(reader, "b").unwrap_err();
}

#[test]
fn a_snapshot_is_not_safe_if_it_may_see_such_a_commit() {
    let mut bench = Bench::new();
    let (t2, t3) = structure(&mut bench);
    let reader = bench.begin(5, true);
    let safe = bench.ssi.await_safety(reader).expect("two are being committed");
    bench.ssi.committed(t2, CommitTs(6), CommitTs(5));
    bench.ssi.committed(t3, CommitTs(5), CommitTs(5));
    assert_eq!(futures::executor::block_on(safe), Ok(false));
}

#[test]
fn merged_commits_are_seen_when_all_of_them_are() {
    let mut bench = Bench::new();
    let old = bench.begin(1, false);
    bench.read(old, "x").unwrap();
    // Timestamps and ends need not come in one order.
    for n in 0..COMMITTED_MAX as u64 + 1 {
        let txn = bench.begin(1, false);
        bench.write(txn, "a").unwrap();
        bench.ssi.prepare(txn).unwrap();
        bench.ssi.committed(txn, CommitTs(10_000 - n), CommitTs(1));
    }
    let merged = bench.ssi.0.lock().committed[0];
    assert!(!bench.ssi.0.lock().txns[&merged].is_seen_by(CommitTs(9_999)));
    assert!(bench.ssi.0.lock().txns[&merged].is_seen_by(CommitTs(10_000)));
}
