//! BACKUP TO STDOUT: everything committed by now, as a tar archive over COPY's protocol, while the database is in use.
//!
//! The archive begins with `BACKUP.begun` (what is coming) and ends with `BACKUP` (every file with length and checksum, under
//! a checksum of its own): what has no `BACKUP` is not a backup. [The format](../../../docs/operations.md) is documented.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use heliosdb_contracts::{BackupPart, BackupSource, CopyChunk, CopyFormat, Execution};
use heliosdb_runtime::Spawner;
use heliosdb_types::{CommitTs, Error, Lsn, Result, SqlState};
use parking_lot::Mutex;

use super::tar;
use crate::session::{Running, Session};

/// Where the one shard's files are in an archive, and in a data directory.
const SHARD: &str = "shard-0/";
const FORMAT: &str = "heliosdb-backup 1";

/// How far one session's backup is.
#[derive(Debug, Default)]
pub(crate) struct BackupProgress {
    pub total: u64,
    pub streamed: AtomicU64,
}

/// By process id.
pub(crate) type Backups = Mutex<BTreeMap<i32, Arc<BackupProgress>>>;

/// A backup as long as it is shown.
struct Shown {
    backups: Arc<Backups>,
    pid: i32,
    progress: Arc<BackupProgress>,
}

impl Shown {
    fn new(backups: &Arc<Backups>, pid: i32, total: u64) -> Shown {
        let progress = Arc::new(BackupProgress { total, streamed: AtomicU64::new(0) });
        backups.lock().insert(pid, Arc::clone(&progress));
        Shown { backups: Arc::clone(backups), pid, progress }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut backups = self.backups.lock();
        if backups.get(&self.pid).is_some_and(|shown| Arc::ptr_eq(shown, &self.progress)) {
            backups.remove(&self.pid);
        }
    }
}

impl Session {
    pub(crate) async fn backup(&mut self) -> Result<Execution> {
        if !(self.user.superuser || self.user.facts.replication) {
            let message = "must be superuser or replication role to take a backup";
            return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message));
        }
        self.require_no_block("BACKUP")?;
        let running = self.start_cancellable();
        let shard = Arc::clone(&self.engine.shard);
        let source = tokio::select! {
            biased;
            () = running.flag.cancelled() => return Err(running.flag.error()),
            source = shard.backup() => source?,
        };
        let shown = Shown::new(&self.engine.backups, self.pid, source.bytes_total());
        let seconds = u64::try_from(self.now_micros() / 1_000_000).unwrap_or(0);
        let version = self.engine.options.version.clone();
        let archive = Archive::new(source, shown, running, version, seconds);
        let format = CopyFormat { binary: true, columns: 1 };
        Ok(Execution::CopyOut { format, chunks: chunks(archive, self.engine.executor.spawner.clone()) })
    }
}

/// The archive's pieces, made on the pool for queries: reading a disk blocks.
fn chunks(archive: Archive, spawner: Spawner) -> BoxStream<'static, Result<CopyChunk>> {
    let step = move |archive: Option<Archive>| {
        let spawner = spawner.clone();
        async move {
            let mut archive = archive?;
            let made = spawner.task(async move {
                let piece = archive.next();
                (archive, piece)
            });
            let chunk = |data: Vec<u8>| CopyChunk { ends: vec![data.len()], data: Bytes::from(data), rows: 0 };
            match made.await {
                Ok((archive, Ok(Some(piece)))) => Some((Ok(chunk(piece)), Some(archive))),
                Ok((_, Ok(None))) => None,
                Ok((_, Err(error))) | Err(error) => Some((Err(error), None)),
            }
        }
    };
    stream::unfold(Some(archive), step).boxed()
}

/// The file being written.
struct Open {
    name: String,
    bytes: u64,
    left: u64,
    checksum: u32,
}

struct Archive {
    source: Box<dyn BackupSource>,
    shown: Shown,
    running: Running,
    seconds: u64,
    version: String,
    end: (Lsn, CommitTs),
    begun: bool,
    ended: bool,
    open: Option<Open>,
    /// The lines of `BACKUP`.
    list: String,
    files: u64,
    bytes: u64,
}

impl Archive {
    fn new(source: Box<dyn BackupSource>, shown: Shown, running: Running, version: String, seconds: u64) -> Archive {
        let end = source.end();
        let (begun, ended, open, list, files, bytes) = Default::default();
        Archive { source, shown, running, seconds, version, end, begun, ended, open, list, files, bytes }
    }

    /// The next piece; `None` after the last.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.running.flag.check()?;
        if self.ended {
            return Ok(None);
        }
        let mut out = Vec::new();
        if !self.begun {
            self.begun = true;
            let text = format!("{}bytes {}\n", self.head(), self.shown.progress.total);
            self.list = self.head();
            self.whole_file("BACKUP.begun", text.as_bytes(), &mut out);
            return Ok(Some(out));
        }
        match self.source.next_part()? {
            Some(BackupPart::File { name, bytes }) => {
                self.close(&mut out)?;
                let name = format!("{SHARD}{name}");
                out.extend_from_slice(&tar::header(&name, bytes, self.seconds));
                self.open = Some(Open { name, bytes, left: bytes, checksum: 0 });
            }
            Some(BackupPart::Data(data)) => {
                let open = self.open.as_mut().ok_or_else(|| Error::internal("bytes of no file in a backup"))?;
                let left = open.left.checked_sub(data.len() as u64);
                open.left = left.ok_or_else(|| Error::internal("a file of a backup is longer than it said"))?;
                open.checksum = crc32c::crc32c_append(open.checksum, &data);
                self.shown.progress.streamed.fetch_add(data.len() as u64, Ordering::Relaxed);
                out.extend_from_slice(&data);
            }
            None => {
                self.close(&mut out)?;
                self.list.push_str(&format!("total {} files {} bytes\n", self.files, self.bytes));
                let checksum = crc32c::crc32c(self.list.as_bytes());
                let list = format!("{}checksum {checksum:08x}\n", self.list);
                self.whole_file("BACKUP", list.as_bytes(), &mut out);
                out.extend_from_slice(&tar::end());
                self.ended = true;
                tracing::info!(files = self.files, bytes = self.bytes, end = %self.end.0, "a backup was streamed to its end");
            }
        }
        Ok(Some(out))
    }

    /// What both of our own files begin with.
    fn head(&self) -> String {
        let (lsn, ts) = self.end;
        format!("{FORMAT}\nversion {}\nend record {lsn} commit {}\n", self.version, ts.0)
    }

    fn close(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let Some(Open { name, bytes, left, checksum }) = self.open.take() else { return Ok(()) };
        if left > 0 {
            return Err(Error::internal("a file of a backup is shorter than it said"));
        }
        out.resize(out.len() + tar::padding(bytes), 0);
        self.list.push_str(&format!("file {checksum:08x} {bytes} {name}\n"));
        self.files += 1;
        self.bytes += bytes;
        Ok(())
    }

    fn whole_file(&self, name: &str, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&tar::header(name, bytes.len() as u64, self.seconds));
        out.extend_from_slice(bytes);
        out.resize(out.len() + tar::padding(bytes.len() as u64), 0);
    }
}
