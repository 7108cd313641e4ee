//! The COPYs that run, for `pg_stat_progress_copy`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heliosdb_types::Oid;
use parking_lot::Mutex;

/// How far one session's COPY is.
#[derive(Debug)]
pub(crate) struct CopyProgress {
    pub database: (Oid, String),
    /// 0: a query's rows.
    pub table: Oid,
    /// `COPY FROM`, `COPY TO`.
    pub command: &'static str,
    bytes: AtomicU64,
    rows: AtomicU64,
    excluded: AtomicU64,
}

impl CopyProgress {
    /// Bytes, rows, and rows that WHERE left out.
    pub fn counts(&self) -> [u64; 3] {
        [&self.bytes, &self.rows, &self.excluded].map(|count| count.load(Ordering::Relaxed))
    }
}

/// By process id.
pub(crate) type Copies = Mutex<BTreeMap<i32, Arc<CopyProgress>>>;

/// A COPY as long as it is shown.
pub(crate) struct ShownCopy {
    copies: Arc<Copies>,
    pid: i32,
    progress: Arc<CopyProgress>,
}

impl ShownCopy {
    pub fn new(
        copies: &Arc<Copies>,
        pid: i32,
        database: (Oid, String),
        table: Oid,
        command: &'static str,
    ) -> ShownCopy {
        let (bytes, rows, excluded) = Default::default();
        let progress = Arc::new(CopyProgress { database, table, command, bytes, rows, excluded });
        copies.lock().insert(pid, Arc::clone(&progress));
        ShownCopy { copies: Arc::clone(copies), pid, progress }
    }

    pub fn bytes(&self, count: usize) {
        self.progress.bytes.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub fn rows(&self, count: u64) {
        self.progress.rows.fetch_add(count, Ordering::Relaxed);
    }

    pub fn excluded(&self, count: u64) {
        self.progress.excluded.fetch_add(count, Ordering::Relaxed);
    }
}

impl Drop for ShownCopy {
    fn drop(&mut self) {
        let mut copies = self.copies.lock();
        // A portal that was left open may end after the session's next COPY has begun.
        if copies.get(&self.pid).is_some_and(|shown| Arc::ptr_eq(shown, &self.progress)) {
            copies.remove(&self.pid);
        }
    }
}
