//! The indexes that are being built, for `pg_stat_progress_create_index`.

use std::collections::BTreeMap;
use std::sync::Arc;

use heliosdb_contracts::AwaitedWriters;
use heliosdb_types::Oid;
use parking_lot::Mutex;

use crate::exec::BuildProgress;

/// Not a build, so not in the view; its waits are shown as locks like the others'.
pub(crate) const DROP: &str = "DROP INDEX CONCURRENTLY";

/// One session's build.
#[derive(Clone, Debug)]
pub(crate) struct IndexBuild {
    pub database: (Oid, String),
    pub table: Oid,
    pub index: Oid,
    /// `CREATE INDEX CONCURRENTLY` and the like.
    pub command: &'static str,
    pub phase: &'static str,
    /// Writers that are waited for.
    pub lockers: Option<AwaitedWriters>,
    pub rows: Arc<BuildProgress>,
}

impl IndexBuild {
    /// How many writers are waited for, and how many of them have ended.
    pub fn writers(&self) -> (u64, u64) {
        self.lockers.as_ref().map_or((0, 0), |lockers| (lockers.0)())
    }

    /// It waits for others' transactions to end.
    pub fn waits(&self) -> bool {
        let (total, done) = self.writers();
        done < total
    }
}

/// By process id.
pub(crate) type IndexBuilds = Mutex<BTreeMap<i32, IndexBuild>>;

/// A build as long as it is shown.
pub(crate) struct ShownBuild {
    builds: Arc<IndexBuilds>,
    pid: i32,
    pub rows: Arc<BuildProgress>,
}

impl ShownBuild {
    pub fn new(builds: &Arc<IndexBuilds>, pid: i32, build: IndexBuild) -> ShownBuild {
        let rows = Arc::clone(&build.rows);
        builds.lock().insert(pid, build);
        ShownBuild { builds: Arc::clone(builds), pid, rows }
    }

    pub fn phase(&self, phase: &'static str) {
        if let Some(build) = self.builds.lock().get_mut(&self.pid) {
            build.phase = phase;
            build.lockers = None;
        }
    }

    pub fn lockers(&self, lockers: AwaitedWriters) {
        if let Some(build) = self.builds.lock().get_mut(&self.pid) {
            build.lockers = Some(lockers);
        }
    }
}

impl Drop for ShownBuild {
    fn drop(&mut self) {
        self.builds.lock().remove(&self.pid);
    }
}
