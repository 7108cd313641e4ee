//! Settings (data) and components (handed in), kept apart.

use std::sync::Arc;
use std::time::Duration;

use heliosdb_runtime::{Canary, Clock, Disk, Entropy, Spawner};
use heliosdb_types::Lsn;

/// Settings.
#[derive(Clone, Debug)]
pub struct WalOptions {
    /// Size of a log file; one that must hold a larger record is larger.
    pub file_bytes: u64,
    /// An append waits while this much is buffered and not yet written.
    pub buffer_bytes_max: usize,
    /// What a record waits at most for others to share its sync, where that pays (see `gather`); zero: it never waits.
    pub gather_max: Duration,
    /// Retired files kept for reuse; beyond, they are removed.
    pub spare_files_max: usize,
    /// No thread: whoever waits for durability writes and syncs. For simulation, where each step must repeat.
    pub inline: bool,
    /// A rule to break, in tests of tests.
    pub canary: Option<Canary>,
}

impl Default for WalOptions {
    fn default() -> WalOptions {
        WalOptions {
            file_bytes: 64 << 20,
            buffer_bytes_max: 32 << 20,
            gather_max: Duration::from_micros(500),
            spare_files_max: 4,
            inline: false,
            canary: None,
        }
    }
}

/// Where the log lives and what it works with.
#[derive(Clone, Debug)]
pub struct WalConfig {
    pub disk: Arc<dyn Disk>,
    /// The log's own directory; made when missing.
    pub dir: String,
    pub options: WalOptions,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub spawner: Spawner,
}

/// What the manifest knows of the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplayFrom {
    /// The first record to replay; everything before is elsewhere. 0 and 1 mean all.
    pub start: Lsn,
    /// A record known to have been durable; a log that ends before it is damaged. 0 when nothing is known.
    pub known_durable: Lsn,
}
