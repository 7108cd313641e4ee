//! `cargo xtask bench storage`: the shard through its contracts beside fjall and the bare disk, in one run on one machine.
//!
//! Every cell makes its own data from fixed seeds, prints ours beside the peer's and the bar, and removes its files.

pub mod cells;
pub mod measure;
pub mod ours;
pub mod peer;
pub mod report;
pub mod rows;
// The tables of the formats benchmark: lineitem from there.
#[allow(dead_code)]
#[path = "../../formats/src/tables.rs"]
pub mod tables;

use std::path::PathBuf;

pub struct Options {
    pub quick: bool,
    /// Seconds of sustained load; the bars ask for 600.
    pub seconds: Option<u64>,
    /// Rows of the point reads, or of the random keys.
    pub rows: Option<u64>,
    pub dir: PathBuf,
}

impl Options {
    /// A folder for one contender's files.
    pub fn fresh(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        // What a run that was ended left behind.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder for the files");
        dir
    }
}
