//! Writing what a large transaction spills, on a thread of its own while the transaction goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use heliosdb_runtime::{Disk, failpoint};
use heliosdb_types::{BranchId, CommitTs, Error, Result, SegmentId, TreeRef};
use rustc_hash::FxHashMap;

use crate::cache::BlockCache;
use crate::core::{Core, with_own};
use crate::log::Position;
use crate::metrics::Counters;
use crate::segment::CommitStamp;
use crate::segments::Segment;
use crate::shape::TreeState;
use crate::tree_writer::{Place, SegmentTarget, TreeWriter};
use crate::txnbuf::{Running, SpillJob, SpillRow, Spilled, TxnBuffer};

/// Everything the thread needs.
struct Spiller {
    disk: Arc<dyn Disk>,
    cache: Arc<BlockCache>,
    target: SegmentTarget,
    branch: BranchId,
    states: FxHashMap<TreeRef, Arc<TreeState>>,
    /// Nobody wants the files any more.
    stop: Arc<AtomicBool>,
}

/// Rows between two looks at whether anybody wants the files.
const ROWS_AT_ONCE: usize = 1024;

impl Core {
    /// Moves a transaction's rows to files of its own if they have grown too large, and forgets keys of what it deleted or replaced. A
    /// failed spill fails the next call.
    pub fn spill_if_large(&self, buffer: &mut TxnBuffer) -> Result<()> {
        if buffer.spillable_bytes() <= self.options.txn_spill_bytes {
            return self.doom_if_large(buffer);
        }
        self.spill(buffer)
    }

    /// Before a commit: what is left of a transaction that has spilled goes the same way, unless it is little. Logging it and
    /// putting it into the memtable would hold up everybody's commits for as long as that takes.
    pub fn spill_the_rest(&self, buffer: &mut TxnBuffer) -> Result<()> {
        let little = self.options.txn_spill_bytes / 64;
        if buffer.private().next().is_none() || buffer.spillable_bytes() <= little {
            return Ok(());
        }
        self.spill(buffer)?;
        buffer.finish_spill()
    }

    fn spill(&self, buffer: &mut TxnBuffer) -> Result<()> {
        buffer.finish_spill()?;
        // Before the next job: while one runs, entries stay where they are.
        self.doom_if_large(buffer)?;
        failpoint("spill.begin")?;
        let jobs = buffer.spill_jobs();
        let version = self.version.load();
        let mut states = FxHashMap::default();
        for job in &jobs {
            let committed = version.tree((buffer.branch, job.tree), CommitTs::MAX).cloned();
            states.insert(job.tree, with_own(committed, buffer.descriptors(job.tree))?);
        }
        let (disk, cache) = (self.disk.clone(), self.cache.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let (target, branch) = (self.segment_target(), buffer.branch);
        let spiller = Spiller { disk, cache, target, branch, states, stop: Arc::clone(&stop) };
        Counters::add(&self.counters.spills, 1);
        if !self.options.background {
            return buffer.spilled(spiller.run(jobs)?);
        }
        let (sender, done) = channel();
        let thread = self.spawner.thread("spill", move || {
            // Nobody receives it if the transaction is gone; the segments then remove themselves.
            if let Err(unread) = sender.send(spiller.run(jobs)) {
                unread.0.iter().flatten().for_each(Spilled::give_up);
            }
        })?;
        buffer.spill_started(Running { done, thread, stop });
        Ok(())
    }
}

impl Spiller {
    fn run(&self, jobs: Vec<SpillJob>) -> Result<Vec<Spilled>> {
        let mut done: Vec<Spilled> = Vec::with_capacity(jobs.len());
        for job in jobs {
            match self.write(job) {
                Ok(spilled) => done.push(spilled),
                Err(error) => {
                    done.iter().for_each(Spilled::give_up);
                    return Err(error);
                }
            }
        }
        match failpoint("spill.done") {
            Ok(()) => Ok(done),
            Err(error) => {
                done.iter().for_each(Spilled::give_up);
                Err(error)
            }
        }
    }

    fn check_wanted(&self) -> Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Error::cancelled("rows that were to be spilled were rolled back")),
            false => Ok(()),
        }
    }

    fn write(&self, job: SpillJob) -> Result<Spilled> {
        let state = self.states.get(&job.tree).cloned();
        let state = state.ok_or_else(|| Error::internal("a spilled tree has its shape"))?;
        let mut writer = TreeWriter::new(self.target.clone(), self.branch, state, 0, CommitStamp::Shared);
        let mut order: Vec<u32> = (0..job.rows.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| job.rows.get(a as usize).map(key).cmp(&job.rows.get(b as usize).map(key)));
        let mut places: Vec<Place> = vec![(0, 0); job.rows.len()];
        for some in order.chunks(ROWS_AT_ONCE) {
            self.check_wanted()?;
            for &at in some {
                if let (Some(row), Some(place)) = (job.rows.get(at as usize), places.get_mut(at as usize)) {
                    *place = writer.add(&row.key, &row.row, row.schema, CommitTs::ZERO)?;
                }
            }
        }
        self.check_wanted()?;
        let metas = writer.finish()?;
        let position = |&(segment, row): &Place| {
            let id = metas.get(segment as usize).map_or(SegmentId(0), |meta| meta.id);
            Position { segment: id, row }
        };
        let places = places.iter().map(position).collect();
        let segments = Segment::open_written(&self.disk, &self.cache, metas)?;
        Ok(Spilled { job, segments, places })
    }
}

fn key(row: &SpillRow) -> &[u8] {
    &row.key
}
