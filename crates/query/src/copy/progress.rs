//! The COPYs that run, for `pg_stat_progress_copy`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use heliosdb_types::Oid;
use parking_lot::Mutex;

use crate::exec::TierMark;

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
    /// Of the file; 0: nobody knows.
    total: AtomicU64,
    file: AtomicBool,
    /// A statement of its own reads the file, and counts.
    reading: OnceLock<TierMark>,
}

impl CopyProgress {
    /// Bytes, rows, and rows that WHERE left out.
    pub fn counts(&self) -> [u64; 3] {
        if let Some(reading) = self.reading.get() {
            let progress = reading.progress().get();
            return [progress.bytes, progress.rows, 0];
        }
        [&self.bytes, &self.rows, &self.excluded].map(|count| count.load(Ordering::Relaxed))
    }

    /// Bytes there are to read.
    pub fn total(&self) -> u64 {
        match self.reading.get() {
            Some(reading) => reading.progress().get().bytes_total,
            None => self.total.load(Ordering::Relaxed),
        }
    }

    /// `FILE`, `PIPE`
    pub fn kind(&self) -> &'static str {
        if self.file.load(Ordering::Relaxed) { "FILE" } else { "PIPE" }
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
        let (bytes, rows, excluded, total) = Default::default();
        let (file, reading) = Default::default();
        let progress = Arc::new(CopyProgress { database, table, command, bytes, rows, excluded, total, file, reading });
        copies.lock().insert(pid, Arc::clone(&progress));
        ShownCopy { copies: Arc::clone(copies), pid, progress }
    }

    /// It is about a file of the server, of so many bytes.
    pub fn set_file(&self, bytes: u64) {
        self.progress.file.store(true, Ordering::Relaxed);
        self.progress.total.store(bytes, Ordering::Relaxed);
    }

    /// The same.
    pub fn of_file(self, bytes: u64) -> ShownCopy {
        self.set_file(bytes);
        self
    }

    /// A file of the server that a statement of the session reads.
    pub fn reading(self, mark: TierMark) -> ShownCopy {
        // Set once: this is its only writer.
        let _ = self.progress.reading.set(mark);
        self.of_file(0)
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
