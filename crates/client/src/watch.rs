//! How far the running statement is, for a person who waits: a bar on the terminal, fed by a second connection.
//!
//! Nothing depends on it: a server that does not say, or does not let in a second connection, gives no bar.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use heliosdb_runtime::{Spawner, Thread};

use crate::connect::ConnectArgs;
use crate::protocol::{Connection, Event};

/// Statements that are done sooner need no bar.
const PATIENCE: Duration = Duration::from_millis(800);
const BETWEEN: Duration = Duration::from_millis(250);
const WIDTH: usize = 30;

/// What servers say of their work; the first that is known there. The second is any PostgreSQL server's.
fn questions(pid: i32) -> [String; 2] {
    let common = format!(
        "SELECT bytes_processed, bytes_total FROM pg_stat_progress_copy WHERE pid = {pid} AND bytes_total > 0 \
         UNION ALL SELECT tuples_done, tuples_total FROM pg_stat_progress_create_index WHERE pid = {pid} AND tuples_total > 0"
    );
    let ours = format!(
        "{common} UNION ALL SELECT bytes_processed, bytes_total FROM helios_progress WHERE pid = {pid} AND bytes_total > 0"
    );
    [ours, common]
}

/// As long as it lives, somebody watches.
pub(crate) struct Watch {
    /// Dropped first: that is how the thread knows.
    over: Option<Sender<()>>,
    _thread: Option<Thread>,
}

impl Watch {
    /// Watches what a connection does, if there is a terminal to say it on.
    pub fn start(args: &ConnectArgs, pid: i32) -> Option<Watch> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let (over, waits) = channel::<()>();
        let args = args.clone();
        let thread = Spawner::threads().thread("progress", move || {
            let still = |time| waits.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
            if !still(PATIENCE) {
                return;
            }
            let Ok(mut connection) = args.connect(|| None) else { return };
            let [ours, common] = questions(pid);
            let mut question = ours;
            let mut shown = false;
            loop {
                match ask(&mut connection, &question) {
                    Some(Some((done, total))) => {
                        eprint!("\r{}", bar(done, total));
                        let _ = io::stderr().flush();
                        shown = true;
                    }
                    Some(None) => {}
                    None if question != common && !connection.ended() => {
                        question.clone_from(&common);
                        continue;
                    }
                    None => break,
                }
                if !still(BETWEEN) {
                    break;
                }
            }
            if shown {
                eprint!("\r{}\r", " ".repeat(WIDTH + 12));
                let _ = io::stderr().flush();
            }
        });
        Some(Watch { over: Some(over), _thread: thread.ok() })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.take();
    }
}

/// The work furthest from its end; the inner `None`: none is known, the outer one: it cannot be asked.
fn ask(connection: &mut Connection, question: &str) -> Option<Option<(u64, u64)>> {
    let mut found: Option<(u64, u64)> = None;
    let asked = connection.query(question, &mut |event| {
        if let Event::Row(row) = event {
            let mut numbers = row.iter().map(|cell| cell.as_deref().and_then(|cell| cell.parse().ok()).unwrap_or(0));
            found = Some((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)));
        }
        Ok(())
    });
    asked.ok().map(|()| found)
}

/// `[######        ]  42 %`
fn bar(done: u64, total: u64) -> String {
    let part = u128::from(done.min(total));
    let total = u128::from(total.max(1));
    let filled = usize::try_from(part * WIDTH as u128 / total).unwrap_or(WIDTH);
    format!("[{}{}] {:3} % ", "#".repeat(filled), " ".repeat(WIDTH - filled.min(WIDTH)), part * 100 / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        assert_eq!(bar(0, 10), format!("[{}]   0 % ", " ".repeat(30)));
        assert_eq!(bar(5, 10), format!("[{}{}]  50 % ", "#".repeat(15), " ".repeat(15)));
        assert_eq!(bar(20, 10), format!("[{}] 100 % ", "#".repeat(30)));
        assert_eq!(bar(u64::MAX, u64::MAX), format!("[{}] 100 % ", "#".repeat(30)));
        assert!(bar(0, 0).ends_with("  0 % "));
    }
}
