//! Space before promises: a record is numbered only if the file it will be written to has its blocks already.
//!
//! Whoever appends plans where the record goes, by the same rule as the writer puts it there. Where that is a file that
//! does not exist yet, the file is made and its blocks reserved first; without space the append fails (53100) and the log
//! is as before. So a full disk refuses commits, and never fences the log with records it cannot write.
//!
//! Invariants: plans are made in the order of appends, files are taken in the order they were promised; `promised` of the
//! files in `ready` belong to plans, the rest, at most one or two, were made ahead.

use std::collections::VecDeque;
use std::sync::Arc;

use heliosdb_runtime::{DiskFile, OpenMode};
use heliosdb_types::Result;
use parking_lot::Mutex;

use crate::file::{HEADER_BYTES, spare_path};
use crate::options::WalConfig;
use crate::record::{RECORD_HEAD, TERMINATOR};
use crate::writer::{FileSet, Spare};

/// A file with its blocks reserved, under a spare's name.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub path: String,
    pub file: Arc<dyn DiskFile>,
    pub capacity: u64,
    /// Below this, blocks have been written before and a sync is cheap.
    pub initialized: u64,
}

#[derive(Debug)]
struct Plan {
    /// Where the next record goes, in the file planned last.
    position: u64,
    capacity: u64,
    ready: VecDeque<Prepared>,
    promised: usize,
}

#[derive(Debug)]
pub(crate) struct Reserve {
    config: WalConfig,
    files: Arc<Mutex<FileSet>>,
    plan: Mutex<Plan>,
}

impl Reserve {
    /// For a log whose writer has just begun a file of `capacity` bytes.
    pub fn new(config: WalConfig, files: Arc<Mutex<FileSet>>, capacity: u64) -> Reserve {
        let plan = Plan { position: HEADER_BYTES as u64, capacity, ready: VecDeque::new(), promised: 0 };
        Reserve { config, files, plan: Mutex::new(plan) }
    }

    /// Plans the next record, of `len` bytes. After an error nothing is planned.
    pub fn plan(&self, len: usize) -> Result<()> {
        let mut plan = self.plan.lock();
        let len = len as u64;
        if plan.position + len + TERMINATOR as u64 > plan.capacity {
            let needed = HEADER_BYTES as u64 + len + TERMINATOR as u64;
            let next = plan.promised;
            match plan.ready.get_mut(next) {
                Some(ready) if ready.capacity >= needed => {}
                Some(ready) => {
                    ready.file.allocate(needed)?;
                    ready.capacity = needed;
                }
                None => {
                    let prepared = prepare(&self.config, &self.files, needed)?;
                    plan.ready.push_back(prepared);
                }
            }
            plan.promised += 1;
            plan.capacity = plan.ready[next].capacity;
            plan.position = HEADER_BYTES as u64;
        }
        plan.position += len;
        Ok(())
    }

    /// The file promised first.
    pub fn take(&self) -> Prepared {
        let mut plan = self.plan.lock();
        assert!(plan.promised > 0, "a record beyond the file was planned");
        plan.promised -= 1;
        plan.ready.pop_front().expect("promised files are ready")
    }

    /// Makes a file ahead, so that an append need not. A full disk is no error yet.
    pub fn prepare_ahead(&self) {
        {
            let plan = self.plan.lock();
            if plan.ready.len() > plan.promised {
                return;
            }
        }
        // Not under the lock: appenders go on meanwhile.
        match prepare(&self.config, &self.files, 0) {
            Ok(prepared) => self.plan.lock().ready.push_back(prepared),
            Err(error) => tracing::debug!(%error, "could not make a log file ahead"),
        }
    }
}

/// Reserves a file, recycled if there is one, for at least `needed` bytes. What fails is undone.
pub(crate) fn prepare(config: &WalConfig, files: &Mutex<FileSet>, needed: u64) -> Result<Prepared> {
    let least = (HEADER_BYTES + RECORD_HEAD + TERMINATOR) as u64;
    let capacity = config.options.file_bytes.max(needed).max(least);
    let (Spare { path, written }, recycled) = {
        let mut set = files.lock();
        set.next_spare += 1;
        let recycled = set.spares.pop();
        let is_recycled = recycled.is_some();
        let fresh = || Spare { path: spare_path(&config.dir, set.next_spare), written: 0 };
        (recycled.unwrap_or_else(fresh), is_recycled)
    };
    let reserve = || {
        let file = config.disk.open(&path, OpenMode::Create)?;
        file.allocate(capacity)?;
        Ok(file)
    };
    match reserve() {
        Ok(file) => Ok(Prepared { path, file, capacity, initialized: written.min(capacity) }),
        Err(error) => {
            if recycled {
                files.lock().spares.push(Spare { path, written });
            } else if let Err(left) = config.disk.remove(&path) {
                // The next start removes it.
                tracing::debug!(error = %left, "could not remove a log file that found no space");
            }
            Err(error)
        }
    }
}
