//! What the disk allows: how many commits a second if each fdatasync carries one commit of every client.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// About what a small transaction writes to a log.
const COMMIT_BYTES: usize = 512;
const FILE_BYTES: u64 = 64 << 20;
const LASTS: Duration = Duration::from_secs(3);

/// Commits a second at this many clients, syncing a file written before, as a recycled log is.
pub fn ceiling(place: &Path, clients: u32) -> io::Result<f64> {
    let path = place.join("probe");
    let file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).read(true).open(&path)?;
    let zeros = vec![0u8; 1 << 20];
    for at in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    let group = vec![1u8; COMMIT_BYTES * clients as usize];
    let (began, mut at, mut syncs) = (Instant::now(), 0u64, 0u32);
    while began.elapsed() < LASTS {
        file.write_all_at(&group, at)?;
        file.sync_data()?;
        at = (at + group.len() as u64) % (FILE_BYTES - group.len() as u64);
        syncs += 1;
    }
    let rate = f64::from(syncs) / began.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(rate * f64::from(clients))
}
