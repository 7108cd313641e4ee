//! One measurement: terminals at a pace, analytical streams, or both, on one server.

use std::sync::Arc;
use std::time::Duration;

use crate::bench::stats::at_share;
use crate::htap::{self, StreamReport};
use crate::server::connect;
use crate::stopped::Stopped;
use crate::tpcc::{self, Acknowledged, Mistake, Pace, Scale, Terminal, TerminalReport};

/// What works for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub terminals: i32,
    /// Transactions a second of all terminals; `None`: without think time.
    pub rate: Option<f64>,
    pub streams: usize,
    /// At least; streams end their round.
    pub seconds: f64,
    /// Tries that freshness has at least; none: not asked.
    pub freshness: Option<u32>,
}

/// One server and what it acknowledged so far.
pub struct Side {
    pub name: &'static str,
    pub port: u16,
    pub scale: Scale,
    pub seed: u64,
    pub acknowledged: Acknowledged,
    /// So that no two measurements choose the same transactions.
    pub measured: u64,
    /// The server that is measured in turns with this one, on the same machine.
    pub other: Option<u32>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Measured {
    /// How long the terminals worked.
    pub seconds: f64,
    pub committed: u64,
    /// Milliseconds since each was due, in order; what had not begun at the end counts with what it had waited.
    pub latencies: Vec<f64>,
    /// Transactions that were due and had not begun at the end.
    pub left: usize,
    /// (second, milliseconds) of each transaction's end.
    pub moments: Vec<(f32, f32)>,
    pub streams: Vec<StreamReport>,
    pub freshness: Option<u32>,
}

impl Measured {
    pub fn tps(&self) -> f64 {
        self.committed as f64 / self.seconds
    }

    pub fn percentile(&self, share: f64) -> f64 {
        at_share(&self.latencies, share)
    }

    /// Hardly anything that was due had not begun at the end.
    pub fn kept_pace(&self) -> bool {
        self.left * 50 <= self.latencies.len()
    }

    /// Of all streams together.
    pub fn queries_per_hour(&self) -> f64 {
        self.streams.iter().map(StreamReport::queries_per_hour).sum()
    }

    pub fn invariants(&self) -> usize {
        self.streams.iter().map(|stream| stream.invariants).sum()
    }
}

impl Side {
    pub fn new(name: &'static str, port: u16, scale: Scale, seed: u64) -> Side {
        Side { name, port, scale, seed, acknowledged: Acknowledged::default(), measured: 0, other: None }
    }

    pub async fn client(&self) -> Result<tokio_postgres::Client, String> {
        connect(self.port).await.map_err(|error| format!("{}: {error}", self.name))
    }

    /// Has the machine to itself while the result lives.
    pub fn alone(&self) -> Option<Stopped> {
        self.other.map(Stopped::stop)
    }

    /// Works, and checks all conditions after; the other server stands still.
    pub async fn measure(&mut self, load: Load) -> Result<Measured, String> {
        let _alone = self.alone();
        let measured = self.work(load).await.map_err(|why| format!("{}: {why}", self.name))?;
        let checked = tpcc::check(&self.client().await?, self.scale, &self.acknowledged).await;
        checked.map_err(|why| format!("{}: {why}", self.name))?;
        Ok(measured)
    }

    async fn work(&mut self, load: Load) -> Result<Measured, String> {
        self.measured += 1;
        let time = Duration::from_secs_f64(load.seconds);
        let mut terminals = Vec::new();
        for number in 0..load.terminals {
            let seed = self.seed.wrapping_mul(1_000).wrapping_add(self.measured);
            terminals.push(Terminal::new(self.client().await?, self.scale, seed, number, "READ COMMITTED"));
        }
        let mut analysts = Vec::new();
        for _ in 0..load.streams {
            analysts.push(self.client().await?);
        }
        let prober = (self.client().await?, self.client().await?);

        let pace = Arc::new(Pace::new(load.rate));
        let keep = |terminal: Terminal| {
            let pace = Arc::clone(&pace);
            tokio::spawn(async move { terminal.keep(&pace).await })
        };
        let working: Vec<_> = terminals.into_iter().map(keep).collect();
        let streams = analysts.iter().enumerate().map(|(at, client)| htap::stream(client, at * 7, time));
        let probe = async {
            match load.freshness {
                Some(least) => htap::freshness(&prober.0, &prober.1, time, least).await.map(Some),
                None => Ok(None),
            }
        };
        let wait = async {
            tokio::time::sleep(time).await;
            Ok(())
        };
        let beside = tokio::try_join!(futures::future::try_join_all(streams), probe, wait);
        let late = pace.stop();
        let seconds = pace.began.elapsed().as_secs_f64();
        let mut whole = TerminalReport::default();
        for terminal in working {
            match terminal.await.map_err(|error| error.to_string())? {
                Ok(report) => whole.merge(report),
                Err(Mistake::Gone(_)) => return Err("the server closed a connection".into()),
                Err(Mistake::Wrong(why)) => return Err(why),
            }
        }
        self.acknowledged.merge(whole.acknowledged);
        let (streams, freshness, ()) = beside?;
        let moments = whole.moments;
        let mut latencies: Vec<f64> =
            moments.iter().map(|(_, ms)| *ms).chain(late.iter().copied()).map(f64::from).collect();
        latencies.sort_by(f64::total_cmp);
        let committed = whole.kinds.iter().map(|kind| kind.committed).sum();
        Ok(Measured { seconds, committed, latencies, left: late.len(), moments, streams, freshness })
    }
}
