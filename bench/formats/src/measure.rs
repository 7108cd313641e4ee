//! Clocks, medians, sizes.

use std::path::Path;
use std::time::Instant;

/// CPU seconds of this process so far, all threads.
pub fn cpu_s() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

pub fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

/// An answer and the CPU milliseconds it took this process.
pub fn timed<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let begun = cpu_s();
    let answer = run();
    (answer, (cpu_s() - begun) * 1e3)
}

/// What answers a question: a name, and a run that gives the answer and its CPU milliseconds.
pub type Contender<'a, T> = (&'static str, Box<dyn FnMut() -> (T, f64) + 'a>);

/// Median CPU milliseconds of each contender. They take turns, so that whatever else the machine does hits all alike; a
/// first round warms caches and does not count. All must give the same answer in every round.
pub fn interleaved<T: PartialEq + std::fmt::Debug>(
    what: &str,
    rounds: usize,
    contenders: &mut [Contender<'_, T>],
) -> Vec<(&'static str, f64)> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    let mut expected: Option<T> = None;
    for round in 0..=rounds {
        for ((name, run), times) in contenders.iter_mut().zip(&mut times) {
            let (answer, took) = run();
            match &expected {
                None => expected = Some(answer),
                Some(expected) => assert_eq!(*expected, answer, "{what}: {name} gives another answer than the first"),
            }
            if round > 0 {
                times.push(took);
            }
        }
    }
    contenders.iter().zip(&mut times).map(|((name, _), times)| (*name, median(times))).collect()
}

/// Median nanoseconds of a call for each item.
pub fn median_ns<T>(items: &[T], mut call: impl FnMut(&T)) -> f64 {
    let time = |item: &T| {
        let begun = Instant::now();
        call(item);
        begun.elapsed().as_nanos() as f64
    };
    median(&mut items.iter().map(time).collect::<Vec<f64>>())
}

pub fn directory_bytes(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}
