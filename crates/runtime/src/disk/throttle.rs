//! Background work at a set rate: who reads and writes for itself alone waits here, so that it leaves the disk to others.

use std::sync::Arc;
use std::time::Duration;

use heliosdb_types::Result;
use parking_lot::Mutex;

use super::{Disk, DiskFile, DiskLock, OpenMode};
use crate::Clock;

/// What was not used lately may be used at once, for so long.
const BURST: Duration = Duration::from_millis(100);

/// Bytes a second that some work may read and write, all of its threads together.
#[derive(Debug)]
pub struct IoRate {
    clock: Arc<dyn Clock>,
    /// 0: no limit.
    bytes_per_second: u64,
    /// When all that was granted so far will have been due.
    due: Mutex<Duration>,
}

impl IoRate {
    /// `bytes_per_second` 0 is no limit.
    pub fn new(clock: Arc<dyn Clock>, bytes_per_second: u64) -> IoRate {
        IoRate { clock, bytes_per_second, due: Mutex::default() }
    }

    pub fn is_limited(&self) -> bool {
        self.bytes_per_second > 0
    }

    /// Takes so many bytes, blocking the thread until they are due.
    pub fn spend(&self, bytes: u64) {
        let wait = self.wait_for(bytes);
        if !wait.is_zero() {
            self.clock.sleep_blocking(wait);
        }
    }

    fn wait_for(&self, bytes: u64) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        let now = self.clock.monotonic();
        let mut due = self.due.lock();
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        *due = (*due).max(now.saturating_sub(BURST)) + cost;
        due.saturating_sub(now)
    }
}

/// A disk whose reads and writes keep to a rate. Everything else is as fast as it is.
#[derive(Debug)]
pub struct ThrottledDisk {
    disk: Arc<dyn Disk>,
    rate: Arc<IoRate>,
}

impl ThrottledDisk {
    /// The disk itself where there is no limit.
    pub fn over(disk: Arc<dyn Disk>, rate: Arc<IoRate>) -> Arc<dyn Disk> {
        if rate.is_limited() { Arc::new(ThrottledDisk { disk, rate }) } else { disk }
    }
}

impl Disk for ThrottledDisk {
    fn open(&self, path: &str, mode: OpenMode) -> Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(ThrottledFile { file: self.disk.open(path, mode)?, rate: self.rate.clone() }))
    }

    fn list(&self, dir: &str) -> Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn exists(&self, path: &str) -> Result<bool> {
        self.disk.exists(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> Result<()> {
        self.disk.remove(path)
    }

    fn create_dir(&self, path: &str) -> Result<()> {
        self.disk.create_dir(path)
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, dir: &str) -> Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock_exclusive(&self, path: &str) -> Result<Box<dyn DiskLock>> {
        self.disk.lock_exclusive(path)
    }

    fn available_space(&self) -> Result<u64> {
        self.disk.available_space()
    }

    fn describe(&self, path: &str) -> String {
        self.disk.describe(path)
    }
}

#[derive(Debug)]
struct ThrottledFile {
    file: Arc<dyn DiskFile>,
    rate: Arc<IoRate>,
}

impl DiskFile for ThrottledFile {
    fn path(&self) -> &str {
        self.file.path()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.rate.spend(buf.len() as u64);
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.rate.spend(bytes.len() as u64);
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> Result<()> {
        self.file.sync_all()
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.file.truncate(len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.file.allocate(len)
    }

    fn written_end(&self) -> Result<u64> {
        self.file.written_end()
    }

    // What is announced is paid for when it is read.
    fn announce(&self, offset: u64, len: u64) {
        self.file.announce(offset, len);
    }

    fn expect_scattered_reads(&self) {
        self.file.expect_scattered_reads();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RealClock, RealDisk, SimClock};

    #[test]
    fn bytes_are_due_at_the_rate_after_a_short_burst() {
        let clock = Arc::new(SimClock::new(0));
        clock.advance(Duration::from_secs(10));
        let rate = IoRate::new(clock.clone(), 1_000_000);
        let waits = |bytes| rate.wait_for(bytes).as_millis();
        assert_eq!((waits(100_000), waits(100_000), waits(1_000_000)), (0, 100, 1100));
        clock.advance(Duration::from_millis(1100));
        assert_eq!(waits(200_000), 200);
        clock.advance(Duration::from_secs(60));
        assert_eq!(waits(300_000), 200, "a long rest earns no more than the burst");
        let free = IoRate::new(clock, 0);
        assert!(!free.is_limited() && free.wait_for(u64::MAX).is_zero());
    }

    #[test]
    fn a_throttled_disk_writes_no_faster_than_its_rate() {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let rate = Arc::new(IoRate::new(clock.clone(), 1 << 20));
        let disk = ThrottledDisk::over(Arc::new(RealDisk::new(dir.path()).unwrap()), rate);
        let file = disk.open("file", OpenMode::CreateNew).unwrap();
        let begun = clock.monotonic();
        file.write_at(&[1; 256 << 10], 0).unwrap();
        let mut back = vec![0; 128 << 10];
        file.read_exact_at(&mut back, 0).unwrap();
        // 384 KiB at 1 MiB a second, the burst of a tenth off.
        assert!(clock.monotonic() - begun >= Duration::from_millis(270));
        assert!(back.iter().all(|byte| *byte == 1));
    }
}
