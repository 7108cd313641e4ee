//! How far a long command is.

use std::io::{self, IsTerminal, Write};

use heliosdb_runtime::{Clock, RealClock};

/// A bar on standard error, if somebody looks.
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    shown: Option<u64>,
    clock: RealClock,
}

impl Progress {
    pub fn new(what: &'static str, total: u64) -> Progress {
        let shown = io::stderr().is_terminal().then_some(0);
        Progress { what, total: total.max(1), done: 0, shown, clock: RealClock::new() }
    }

    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let percent = (self.done.saturating_mul(100) / self.total).min(100);
        if self.shown.is_some_and(|shown| shown < percent) {
            self.shown = Some(percent);
            let filled = (percent / 4) as usize;
            let rate = self.done as f64 / (1 << 20) as f64 / self.clock.monotonic().as_secs_f64().max(0.001);
            eprint!(
                "\r{} [{}{}] {percent:3} % {rate:.0} MB/s ",
                self.what,
                "#".repeat(filled),
                " ".repeat(25 - filled)
            );
            let _ = io::stderr().flush();
        }
    }

    /// So many bytes in all.
    pub fn reached(&mut self, bytes: u64) {
        self.add(bytes.saturating_sub(self.done));
    }

    pub fn end(&mut self) {
        if self.shown.is_some_and(|shown| shown > 0) {
            eprintln!();
        }
    }
}
