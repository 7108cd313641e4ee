//! What happens in the middle of a freeze or a merge: commits, snapshots and reads, between two writes of its files.
//!
//! The interruption runs on the freezing thread while that holds locks of its own. So it does only what takes none of
//! them: no freeze, no merge, and once the manifest is being replaced no commit that needs it to stay.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use futures::executor::block_on;
use heliosdb_contracts::{AppendedCommit, ShardStore, Snapshot};
use heliosdb_storage::{Shard, ShardOptions};
use heliosdb_types::{BranchId, Lsn, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Simulation;
use super::model::{OpenTxn, State};
use crate::support::*;

enum Done {
    Committed(OpenTxn, Result<AppendedCommit>, Option<Result<()>>),
    Opened(Snapshot),
    Read(Snapshot, u64, Result<Rows>),
}

struct Interlude {
    shard: Weak<Shard>,
    rng: StdRng,
    commits: VecDeque<OpenTxn>,
    /// More rows than this a commit may not write while the manifest is held: it would wait for it.
    deletes_max: usize,
    trees: Arc<State>,
    done: Vec<Done>,
}

impl Interlude {
    fn strike(&mut self, path: &str) {
        let Some(shard) = self.shard.upgrade() else { return };
        if path.starts_with("wal") || self.rng.random_bool(0.4) {
            return;
        }
        match self.rng.random_range(0..4) {
            0 => self.done.push(Done::Opened(shard.snapshot(BranchId(0)))),
            1 => {
                let snapshot = shard.snapshot(BranchId(0));
                if let Some((number, tree)) = self.trees.iter().nth(self.rng.random_range(0..self.trees.len().max(1))) {
                    let rows = try_scan(&shard, &context(None, 0, &snapshot), &tree.descriptor, vec![]);
                    self.done.push(Done::Read(snapshot, *number, rows));
                }
            }
            _ => self.commit(&shard, path),
        }
    }

    fn commit(&mut self, shard: &Shard, path: &str) {
        let held = !path.starts_with("segments");
        let deletes_max = self.deletes_max;
        let fits = |txn: &OpenTxn| !held || txn.writes.len() <= deletes_max;
        let Some(txn) = self.commits.iter().position(fits).and_then(|at| self.commits.remove(at)) else { return };
        let appended = shard.commit(txn.id);
        let wait = self.rng.random_bool(0.5);
        let durable = match &appended {
            Ok(appended) if wait && appended.lsn != Lsn(0) => Some(block_on(shard.durable(appended.lsn))),
            _ => None,
        };
        self.done.push(Done::Committed(txn, appended, durable));
    }
}

impl Simulation {
    /// Runs a freeze or a merge; some of the open transactions commit in the middle of it.
    pub fn interrupted<T>(&mut self, run: impl FnOnce(&Shard) -> Result<T>) -> Result<T> {
        let count = self.rng.random_range(0..=self.open.len().min(3));
        let commits = self.open.drain(..count).collect();
        let interlude = Arc::new(Mutex::new(Interlude {
            shard: Arc::downgrade(self.shard()),
            rng: StdRng::seed_from_u64(self.rng.random()),
            commits,
            deletes_max: deletes_max(&self.machine.options),
            trees: self.model.visible().clone(),
            done: Vec::new(),
        }));
        let striking = interlude.clone();
        self.machine.disk.interrupt_writes(Box::new(move |path| striking.lock().unwrap().strike(path)));
        let outcome = run(self.shard());
        self.machine.disk.uninterrupted();
        let (done, left) = {
            let mut interlude = interlude.lock().unwrap();
            (std::mem::take(&mut interlude.done), std::mem::take(&mut interlude.commits))
        };
        self.open.extend(left);
        for done in done {
            let happened = self.happened(done);
            self.weather_allows(happened);
        }
        self.settle_visible();
        outcome
    }

    fn happened(&mut self, done: Done) -> Result<()> {
        match done {
            Done::Committed(txn, appended, durable) => {
                self.note(&format!("  meanwhile committed {}: {}", txn.id, outcome(&appended)));
                self.committed(&txn, appended?);
                durable.unwrap_or(Ok(()))
            }
            Done::Opened(snapshot) => {
                let state = self.model.at(snapshot.ts);
                self.note(&format!("  meanwhile opened {snapshot:?}"));
                if self.snapshots.len() < super::SNAPSHOTS_MAX {
                    self.snapshots.push((snapshot, state));
                }
                Ok(())
            }
            Done::Read(snapshot, number, rows) => {
                let (rows, state) = (rows?, self.model.at(snapshot.ts));
                self.answered(&rows);
                assert_eq!(rows, *state[&number].rows, "tree {number} read meanwhile at {}", snapshot.ts);
                Ok(())
            }
        }
    }
}

/// How many rows a commit may write so that it surely deletes no more than are logged by key. With a row go the pieces of its
/// large value: up to 200, see `Simulation::value` and `options`. With small limits any transaction may have doomed rows, which
/// are logged by position.
fn deletes_max(options: &ShardOptions) -> usize {
    if options.txn_spill_bytes < 1 << 20 {
        return 0;
    }
    if options.value_inline_bytes < 1 << 20 { options.mask_rows_min / 250 } else { options.mask_rows_min }
}

pub fn outcome<T>(result: &Result<T>) -> String {
    result.as_ref().map_or_else(|error| error.to_string(), |_| "done".into())
}
