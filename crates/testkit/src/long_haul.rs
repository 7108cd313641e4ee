//! The mix and an analytical stream for hours, with kill -9 and backups: no acknowledged commit may be missing, no sum wrong,
//! memory and disk are watched, and the last backup passes the same checks.
//!
//! Invariants: a statement may fail only because its server was killed; a backup must hold what was acknowledged before the
//! kill before it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};

use crate::htap::{self, INVARIANTS, StreamReport};
use crate::plot::{Plot, Series, write};
use crate::server::{Server, ServerOptions, binary, folder_bytes};
use crate::tpcc::{self, Acknowledged, Mistake, Pace, Scale, Terminal, TerminalReport};

#[derive(Clone, Debug)]
pub struct LongHaulOptions {
    pub data_dir: PathBuf,
    pub scale: Scale,
    pub time: Duration,
    pub kill_every: Duration,
    pub backup_every: Duration,
    pub clients: i32,
    /// Transactions a second of all terminals; `None`: without think time.
    pub rate: Option<f64>,
    pub seed: u64,
    /// Draw `docs/plots/long-haul-*.svg`.
    pub plots: bool,
}

#[derive(Clone, Debug, Default)]
pub struct LongHaulReport {
    pub kills: u32,
    pub committed: u64,
    pub backups: u32,
    /// Backups that a kill ended.
    pub cut_backups: u32,
    pub slowest_start: Duration,
    /// What was watched: every second, or every thousandth of the time if that is longer.
    pub samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub seconds: f64,
    pub resident_bytes: u64,
    pub disk_bytes: u64,
}

/// What a client of the server that is to be killed came to.
type Task<T> = JoinHandle<Result<T, Mistake>>;

/// A backup that is being made, where, and what had been acknowledged when it began.
type Copying = (JoinHandle<Result<(), String>>, PathBuf, Acknowledged);

struct Run<'a> {
    options: &'a LongHaulOptions,
    began: Instant,
    acknowledged: Acknowledged,
    report: LongHaulReport,
    /// The last whole backup, and what had been acknowledged when it began.
    backup: Option<(PathBuf, Acknowledged)>,
    backup_due: Instant,
}

pub async fn run(options: &LongHaulOptions) -> Result<LongHaulReport, String> {
    let start = server_options(&options.data_dir);
    let mut server = Server::start(&start).await.map_err(|error| error.to_string())?;
    let client = server.connect().await.map_err(|error| error.to_string())?;
    htap::load(&client, options.scale, options.seed).await?;
    client.batch_execute("ANALYZE").await.map_err(|error| error.to_string())?;
    let began = Instant::now();
    let mut run = Run {
        options,
        began,
        acknowledged: Acknowledged::default(),
        report: LongHaulReport::default(),
        backup: None,
        backup_due: began + options.backup_every,
    };
    while began.elapsed() < options.time {
        run.cycle(&mut server).await?;
        let starting = Instant::now();
        server = Server::start(&start).await.map_err(|error| format!("after kill -9: {error}"))?;
        let ready = starting.elapsed();
        run.report.slowest_start = run.report.slowest_start.max(ready);
        let checked = sound(&server, options.scale, &run.acknowledged).await;
        checked.map_err(|why| format!("after kill -9 number {}: {why}", run.report.kills))?;
        let memory = run.report.samples.last().map_or(0, |sample| sample.resident_bytes);
        println!(
            "{:>6.0} s: kill -9 number {}: ready after {:.2} s, all conditions hold; {} transactions, {} backups, memory {} MB, disk {} MB",
            began.elapsed().as_secs_f64(),
            run.report.kills,
            ready.as_secs_f64(),
            run.report.committed,
            run.report.backups,
            memory >> 20,
            folder_bytes(&options.data_dir) >> 20
        );
    }
    if run.backup.is_none() && options.backup_every < options.time {
        println!("every backup ended with a kill; one more may take the time it needs");
        let (port, to) = (server.pg_port, options.data_dir.with_extension("backup"));
        let target = to.clone();
        spawn_blocking(move || backup(port, &target)).await.map_err(|error| error.to_string())??;
        let acknowledged = run.acknowledged.clone();
        run.backed_up(to, acknowledged);
    }
    drop(server);
    match run.backup.take() {
        Some((backup, acknowledged)) => restored(options, &backup, &acknowledged).await?,
        None => println!("no backup was due"),
    }
    if options.plots {
        draw(&run.report.samples)?;
    }
    Ok(run.report)
}

fn server_options(data_dir: &Path) -> ServerOptions {
    ServerOptions::new(data_dir).env("HELIOSDB_LOG", "warn")
}

/// Conditions, invariants, and nothing acknowledged is missing.
async fn sound(server: &Server, scale: Scale, acknowledged: &Acknowledged) -> Result<(), String> {
    let client = server.connect().await.map_err(|error| error.to_string())?;
    tpcc::check(&client, scale, acknowledged).await?;
    for number in 0..INVARIANTS.len() {
        htap::check_one(&client, number).await?;
    }
    Ok(())
}

impl Run<'_> {
    /// Works until the next kill.
    async fn cycle(&mut self, server: &mut Server) -> Result<(), String> {
        let options = self.options;
        let cycle = u64::from(self.report.kills);
        let pace = Arc::new(Pace::new(options.rate));
        let mut terminals: Vec<Task<TerminalReport>> = Vec::new();
        for number in 0..options.clients {
            let client = server.connect().await.map_err(|error| error.to_string())?;
            let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(cycle);
            let terminal = Terminal::new(client, options.scale, seed, number, "READ COMMITTED");
            let pace = Arc::clone(&pace);
            terminals.push(tokio::spawn(async move { terminal.keep(&pace).await }));
        }
        let analyst = server.connect().await.map_err(|error| error.to_string())?;
        let first = cycle as usize * 5;
        let stream: JoinHandle<Result<StreamReport, String>> =
            tokio::spawn(async move { htap::stream(&analyst, first, Duration::from_secs(1 << 30)).await });

        let end = Instant::now() + options.kill_every.min(options.time.saturating_sub(self.began.elapsed()));
        let mut copying: Option<Copying> = None;
        let step = Duration::from_secs(1).max(options.time / 1000).min(options.kill_every / 2);
        while Instant::now() < end {
            tokio::time::sleep(step.min(end.saturating_duration_since(Instant::now()))).await;
            self.report.samples.push(Sample {
                seconds: self.began.elapsed().as_secs_f64(),
                resident_bytes: server.resident_bytes(),
                disk_bytes: folder_bytes(&options.data_dir),
            });
            if copying.as_ref().is_some_and(|(task, ..)| task.is_finished())
                && let Some((task, to, acknowledged)) = copying.take()
            {
                task.await.map_err(|error| error.to_string())??;
                self.backed_up(to, acknowledged);
            }
            if copying.is_none() && Instant::now() >= self.backup_due {
                let number = self.report.backups + self.report.cut_backups;
                let to = options.data_dir.with_extension(format!("backup{number}"));
                let (port, target) = (server.pg_port, to.clone());
                copying = Some((spawn_blocking(move || backup(port, &target)), to, self.acknowledged.clone()));
            }
            if server.ended().is_some() || stream.is_finished() || terminals.iter().any(JoinHandle::is_finished) {
                break;
            }
        }
        // Who has ended before the kill has a reason.
        let ended: Vec<bool> = terminals.iter().map(JoinHandle::is_finished).collect();
        let stream_ended = stream.is_finished();
        if let Some(status) = server.ended() {
            return Err(format!("the server ended with {status}; its log is {}", server.log.display()));
        }
        server.kill().map_err(|error| error.to_string())?;
        self.report.kills += 1;
        pace.stop();
        for (terminal, ended) in terminals.into_iter().zip(ended) {
            let done = match terminal.await.map_err(|error| error.to_string())? {
                Ok(report) => report,
                Err(Mistake::Gone(report)) if !ended => *report,
                Err(Mistake::Gone(_)) => return Err("the server closed a connection".into()),
                Err(Mistake::Wrong(why)) => return Err(why),
            };
            self.report.committed += done.kinds.iter().map(|kind| kind.committed).sum::<u64>();
            self.acknowledged.merge(done.acknowledged);
        }
        if let Err(why) = stream.await.map_err(|error| error.to_string())?
            && (stream_ended || why.contains(htap::BROKEN))
        {
            return Err(why);
        }
        if let Some((task, to, acknowledged)) = copying {
            // It may have come to its end before the kill.
            match task.await.map_err(|error| error.to_string())? {
                Ok(()) => self.backed_up(to, acknowledged),
                Err(_) => {
                    self.report.cut_backups += 1;
                    let _ = std::fs::remove_dir_all(&to);
                }
            }
        }
        Ok(())
    }

    fn backed_up(&mut self, to: PathBuf, acknowledged: Acknowledged) {
        self.report.backups += 1;
        self.backup_due = Instant::now() + self.options.backup_every;
        if let Some((old, _)) = self.backup.replace((to, acknowledged)) {
            let _ = std::fs::remove_dir_all(old);
        }
    }
}

fn backup(port: u16, to: &Path) -> Result<(), String> {
    heliosdb(Command::new(binary()).args(["backup", "--quiet", "--port", &port.to_string()]).arg(to))
}

fn heliosdb(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

/// The last backup, restored, checked as files and as a server.
async fn restored(options: &LongHaulOptions, backup: &Path, acknowledged: &Acknowledged) -> Result<(), String> {
    let place = options.data_dir.with_extension("restored");
    heliosdb(Command::new(binary()).arg("restore").arg(backup).arg(&place))?;
    heliosdb(Command::new(binary()).arg("check").arg(&place))?;
    let server = Server::start(&server_options(&place)).await.map_err(|error| format!("restored: {error}"))?;
    sound(&server, options.scale, acknowledged).await.map_err(|why| format!("the last backup, restored: {why}"))?;
    println!("the last backup, restored: sound, all conditions hold");
    Ok(())
}

fn draw(samples: &[Sample]) -> Result<(), String> {
    let line = |name: &str, of: fn(&Sample) -> u64| Series {
        name: name.into(),
        points: samples.iter().map(|sample| (sample.seconds / 60.0, of(sample) as f64 / f64::from(1 << 20))).collect(),
    };
    for (name, title, series) in [
        ("long-haul-memory", "Resident memory", line("resident", |sample| sample.resident_bytes)),
        ("long-haul-disk", "The data directory", line("on disk", |sample| sample.disk_bytes)),
    ] {
        write(name, &Plot { title: title.into(), x: "minutes", y: "MB", series: vec![series] })?;
    }
    println!("plots: docs/plots/long-haul-*.svg");
    Ok(())
}

impl LongHaulReport {
    /// The largest of what was watched in the last quarter beside that of the second: flat is 1.
    pub fn growth(&self, of: fn(&Sample) -> u64) -> f64 {
        let end = self.samples.last().map_or(0.0, |sample| sample.seconds);
        let most = |from: f64, to: f64| {
            let within = self.samples.iter().filter(|sample| (from * end..=to * end).contains(&sample.seconds));
            within.map(of).max().unwrap_or_default() as f64
        };
        most(0.75, 1.0) / most(0.25, 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_compares_the_last_quarter_with_the_second() {
        let sample = |at: u32| Sample { seconds: f64::from(at), resident_bytes: u64::from(at), disk_bytes: 7 };
        let report = LongHaulReport { samples: (0..=100).map(sample).collect(), ..LongHaulReport::default() };
        assert_eq!(report.growth(|sample| sample.resident_bytes), 2.0);
        assert_eq!(report.growth(|sample| sample.disk_bytes), 1.0);
    }
}
