//! Mutated inputs for decoders, on stable Rust: the tests named `fuzz_*` include this file.
//!
//! A target first replays what was found before (`fuzz/corpus/<target>`, kept in the repository), then mutates its seeds for
//! HELIOSDB_FUZZ_SECONDS (1 by default, so that every test run does a little). What makes a target panic is written into
//! the corpus, so that it is replayed for ever after; so is what it does not come back from, which ends the test's process.
//! `cargo xtask fuzz --minutes N` runs all targets.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // a test tool: files of the source tree, real time

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An input that takes longer, of the processor's time, is as bad as one that panics.
const SLOW: Duration = Duration::from_secs(10);
/// An input that takes longer, of anybody's time, has hung.
const HUNG: Duration = Duration::from_secs(120);

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// Writes an input into the corpus, under a name that follows from its bytes.
fn keep(target: &str, bytes: &[u8]) -> PathBuf {
    let name = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let path = corpus(target).join(format!("{name:016x}"));
    std::fs::create_dir_all(corpus(target)).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The input that runs, and since when.
type Running = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

/// Ends the process when an input hangs: nothing else can be done with a thread that does not come back.
fn watch(target: &str, running: &Running) {
    let (target, running) = (target.to_owned(), Arc::downgrade(running));
    std::thread::spawn(move || {
        while let Some(running) = running.upgrade() {
            if let Some((_, bytes)) = running.lock().unwrap().as_ref().filter(|(since, _)| since.elapsed() > HUNG) {
                let path = keep(&target, bytes);
                eprintln!("hangs: {} ({:?})", path.display(), String::from_utf8_lossy(bytes));
                std::process::abort();
            }
            drop(running);
            std::thread::sleep(Duration::from_secs(1));
        }
    });
}

/// The processor's time this process has had; nothing where the system does not say.
fn used() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

/// xorshift64*: good enough to be unpredictable, small enough to be here.
pub struct Random(u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, most: usize) -> usize {
        if most == 0 { 0 } else { (self.next() % most as u64) as usize }
    }
}

/// Values decoders trip over.
const EDGES: [u64; 12] = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX / 2, u64::MAX];

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], random: &mut Random) {
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.next() as u8),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => {
                let edge = EDGES[random.below(EDGES.len())].to_be_bytes();
                let edge = if random.below(2) == 0 { edge } else { u64::from_be_bytes(edge).to_le_bytes() };
                let width = [1, 2, 4, 8][random.below(4)];
                let from = if random.below(2) == 0 { 0 } else { 8 - width };
                for (slot, byte) in bytes[at..].iter_mut().zip(&edge[from..from + width]) {
                    *slot = *byte;
                }
            }
            7 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = (from + 1 + random.below(40)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ if !words.is_empty() => {
                let word = words[random.below(words.len())];
                bytes.splice(at..end.max(at), word.bytes());
            }
            _ => {}
        }
        bytes.truncate(1 << 16);
    }
}

/// Runs `check` on what was found before and on mutations of `seeds`; `words` are spliced in where text is meant.
pub fn fuzz(target: &str, seeds: &[Vec<u8>], words: &[&str], mut check: impl FnMut(&[u8])) {
    let running = Running::default();
    watch(target, &running);
    let mut run = |bytes: &[u8]| {
        let (began, before) = (Instant::now(), used());
        *running.lock().unwrap() = Some((began, bytes.to_vec()));
        let sound = catch_unwind(AssertUnwindSafe(|| check(bytes))).is_ok();
        *running.lock().unwrap() = None;
        // A busy machine is nobody's fault.
        sound && (began.elapsed() < SLOW || used() - before < SLOW)
    };
    for entry in std::fs::read_dir(corpus(target)).into_iter().flatten().flatten() {
        assert!(run(&std::fs::read(entry.path()).unwrap()), "fails again: {}", entry.path().display());
    }
    seeds.iter().for_each(|seed| assert!(run(seed), "fails unchanged: {:?}", String::from_utf8_lossy(seed)));
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("HELIOSDB_FUZZ_SECONDS").unwrap_or(1);
    let clock = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let mut random = Random(number("HELIOSDB_FUZZ_SEED").unwrap_or(clock) | 1);
    let (began, mut inputs) = (Instant::now(), 0_u64);
    while began.elapsed() < Duration::from_secs(seconds) {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate(&mut bytes, seeds, words, &mut random);
        inputs += 1;
        if !run(&bytes) {
            let path = keep(target, &bytes);
            panic!("found: {} ({:?})", path.display(), String::from_utf8_lossy(&bytes));
        }
    }
    println!("fuzz {target}: {inputs} inputs in {seconds} s");
}
