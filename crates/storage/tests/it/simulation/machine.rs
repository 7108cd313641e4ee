//! The machine a shard runs on: it can be killed, lose power, and be started again.

use std::sync::Arc;

use heliosdb_runtime::{SimClock, SimDisk};
use heliosdb_storage::{Shard, ShardOptions};
use heliosdb_types::Result;

use crate::support::open_seeded;

/// How a process ends without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What the page cache holds stays.
    Kill,
    /// What was not synced is lost, torn or reordered.
    PowerLoss,
}

pub struct Machine {
    pub disk: Arc<SimDisk>,
    pub clock: SimClock,
    pub options: ShardOptions,
    shard: Option<Arc<Shard>>,
    seed: u64,
    starts: u64,
}

impl Machine {
    pub fn new(seed: u64, options: ShardOptions) -> Machine {
        let clock = SimClock::new(1_800_000_000_000_000);
        Machine { disk: Arc::new(SimDisk::new(seed)), clock, options, shard: None, seed, starts: 0 }
    }

    pub fn shard(&self) -> &Arc<Shard> {
        self.shard.as_ref().expect("the machine is up")
    }

    /// Ends the process; whatever it still does on its way out does not reach the disk.
    pub fn stop(&mut self, how: Stop) {
        self.disk = Arc::new(match how {
            Stop::Kill => self.disk.kill(),
            Stop::PowerLoss => self.disk.crash(),
        });
        self.shard = None;
    }

    /// Opens the shard, with random numbers nobody has seen before.
    pub fn start(&mut self) -> Result<()> {
        self.starts += 1;
        let entropy = self.seed.wrapping_mul(1_000_003).wrapping_add(self.starts);
        self.shard = Some(open_seeded(self.disk.clone(), &self.clock, &self.options, entropy)?);
        Ok(())
    }
}
