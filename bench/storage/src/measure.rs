//! Clocks, medians, memory, disks.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which `share` of the sorted values are.
pub fn quantile(sorted: &[u64], share: f64) -> u64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).copied().unwrap_or(0)
}

/// Seconds of processor time that this thread needs for a run: what does not wait for a disk or for others is measured so, for then
/// it matters little what else the machine does.
pub fn cpu_seconds(run: impl FnOnce()) -> f64 {
    clock_seconds(libc::CLOCK_THREAD_CPUTIME_ID, run)
}

/// The same of all threads of the process together.
pub fn process_cpu_seconds(run: impl FnOnce()) -> f64 {
    clock_seconds(libc::CLOCK_PROCESS_CPUTIME_ID, run)
}

fn clock_seconds(clock: libc::clockid_t, run: impl FnOnce()) -> f64 {
    let now = || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is valid for the call.
        unsafe { libc::clock_gettime(clock, &mut time) };
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let begun = now();
    run();
    now() - begun
}

/// Seconds a run takes.
pub fn seconds(run: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    run();
    begun.elapsed().as_secs_f64()
}

/// A name and a run that gives its figure.
pub type Contender<'a> = (&'a str, Box<dyn FnMut() -> f64 + 'a>);

/// Median figure of each contender. They take turns, so that whatever else the machine does hits all alike; a first round warms
/// caches and does not count.
pub fn turns(rounds: usize, contenders: &mut [Contender<'_>]) -> Vec<f64> {
    let mut figures: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for round in 0..=rounds {
        for ((_, run), figures) in contenders.iter_mut().zip(&mut figures) {
            let figure = run();
            if round > 0 {
                figures.push(figure);
            }
        }
    }
    figures.iter_mut().map(|figures| median(figures)).collect()
}

pub fn directory_bytes(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => directory_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}

/// Bytes of memory this process has in RAM.
pub fn resident_bytes() -> u64 {
    heliosdb_runtime::resident_bytes()
}

/// Gives memory that was freed back to the system, so that what comes next is measured by itself.
pub fn trim() {
    // SAFETY: takes and returns plain numbers.
    unsafe { libc::malloc_trim(0) };
}

/// Bytes this process has had written to and read from disks, and read by system calls.
#[derive(Clone, Copy, Default)]
pub struct Io {
    pub written: u64,
    pub read_by_calls: u64,
}

pub fn io() -> Io {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or_default();
    Io { written: field("write_bytes:"), read_by_calls: field("rchar:") }
}

/// A file written over again in pieces, each synced: what a durable commit costs at least.
pub struct SyncProbe {
    file: File,
    at: u64,
    len: u64,
}

impl SyncProbe {
    pub fn new(path: &Path) -> SyncProbe {
        let len = 64 << 20;
        let file = File::options().create(true).truncate(true).read(true).write(true).open(path).expect("a probe file");
        file.write_all_at(&vec![0; len as usize], 0).expect("written");
        file.sync_all().expect("synced");
        SyncProbe { file, at: 0, len }
    }

    /// How long writing and syncing so many bytes takes.
    pub fn once(&mut self, bytes: usize) -> Duration {
        let begun = Instant::now();
        self.file.write_all_at(&vec![7; bytes], self.at).expect("written");
        self.file.sync_data().expect("synced");
        self.at = if self.at + 2 * bytes as u64 > self.len { 0 } else { self.at + bytes as u64 };
        begun.elapsed()
    }
}
