//! One run of pgbench, and what it said.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cells::{Cell, Work};

#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub tps: f64,
    pub mean_ms: f64,
    pub median_ms: f64,
    pub p99_ms: f64,
    /// Of those that were logged.
    pub slowest_ms: f64,
    /// Server CPU of a transaction.
    pub cpu_us: f64,
}

/// What pgbench runs against, and where it leaves its log.
pub struct Pgbench {
    pub program: PathBuf,
    pub place: PathBuf,
    /// The share of transactions whose times are logged.
    pub logged: f64,
}

/// Of select's hundreds of thousands of transactions: enough for a 99th percentile, and pgbench shares the cores.
const LOGGED: f64 = 0.1;

impl Pgbench {
    pub fn find(place: &Path) -> io::Result<Pgbench> {
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        let mut places: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        places.extend(versions.map(|entry| entry.path().join("bin")));
        let program = places.into_iter().map(|place| place.join("pgbench")).find(|path| path.is_file());
        let missing = || io::Error::other("no pgbench: install the package postgresql (Debian: postgresql-15)");
        Ok(Pgbench { program: program.ok_or_else(missing)?, place: place.to_owned(), logged: LOGGED })
    }

    /// Runs a cell against a port; `cpu_seconds` reads the server's clock of used CPU.
    pub fn run(&self, cell: &Cell, seconds: u32, port: u16, cpu_seconds: impl Fn() -> f64) -> io::Result<Sample> {
        let logs = self.place.join("logs");
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs)?;
        let mut command = Command::new(&self.program);
        command
            .args(["-n", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres"])
            .args(["-M", cell.protocol, "-c", &cell.clients.to_string(), "-j", "1", "-T", &seconds.to_string()])
            .args(["-l", "--sampling-rate", &self.logged.to_string()])
            .arg(format!("--log-prefix={}", logs.join("run").display()));
        match &cell.work {
            Work::Builtin(flags) => command.args(*flags).arg("postgres"),
            Work::Large(flags) => command.args(*flags).arg("large"),
            Work::Script(text) => {
                let script = self.place.join("script.sql");
                std::fs::write(&script, text)?;
                command.arg("-f").arg(script).arg("postgres")
            }
        };
        let cpu_before = cpu_seconds();
        let output = command.output()?;
        let cpu = cpu_seconds() - cpu_before;
        let text = String::from_utf8_lossy(&output.stdout);
        let (Some(tps), Some(mean_ms), true) =
            (number(&text, "tps"), number(&text, "latency average"), output.status.success())
        else {
            return Err(io::Error::other(format!("pgbench said:\n{text}{}", String::from_utf8_lossy(&output.stderr))));
        };
        let done = number(&text, "number of transactions actually processed").unwrap_or(tps * f64::from(seconds));
        let times = logged_times(&logs)?;
        let of = |hundredths: usize| percentile(&times, hundredths);
        let (median_ms, p99_ms, slowest_ms) = (of(50), of(99), of(100));
        Ok(Sample { tps, mean_ms, median_ms, p99_ms, slowest_ms, cpu_us: cpu * 1e6 / done.max(1.0) })
    }
}

/// The number after a label at a line's start.
fn number(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim_start_matches([' ', '=', ':']).split_whitespace().next()?.parse().ok()
}

/// The logged transactions' times in microseconds, the third word of each line, sorted.
fn logged_times(logs: &Path) -> io::Result<Vec<u64>> {
    let mut times: Vec<u64> = Vec::new();
    for file in std::fs::read_dir(logs)? {
        let text = std::fs::read_to_string(file?.path())?;
        times.extend(text.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()));
    }
    times.sort_unstable();
    if times.is_empty() { Err(io::Error::other("pgbench logged nothing")) } else { Ok(times) }
}

/// In milliseconds, of sorted microseconds.
fn percentile(times: &[u64], hundredths: usize) -> f64 {
    let at = (times.len() * hundredths / 100).min(times.len() - 1);
    times[at] as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_after_labels() {
        let text = "latency average = 0.091 ms\ntps = 10912.5 (without initial connection time)\n";
        assert_eq!(number(text, "tps"), Some(10912.5));
        assert_eq!(number(text, "latency average"), Some(0.091));
        assert_eq!(number(text, "nothing"), None);
    }

    #[test]
    fn percentiles_of_sorted_times() {
        let times: Vec<u64> = (0..200).map(|i| i * 1000).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 99), percentile(&times, 100)), (100.0, 198.0, 199.0));
    }
}
