//! Processes that stand still, so that what they do by themselves (checkpoints, vacuum, merges) is in nobody else's figures.

/// A process and its children, stopped until this is dropped.
#[derive(Debug)]
#[must_use = "dropped at once they go on at once"]
pub struct Stopped(u32);

impl Stopped {
    /// Stops them: the parent first, so that it makes no more children. Then what they have written goes to the disk.
    pub fn stop(pid: u32) -> Stopped {
        signal(pid, libc::SIGSTOP);
        children(pid).for_each(|child| signal(child, libc::SIGSTOP));
        // Where there is no such command, what was written stays dirty a little longer.
        let _ = std::process::Command::new("sync").status();
        Stopped(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        children(self.0).for_each(|child| signal(child, libc::SIGCONT));
        signal(self.0, libc::SIGCONT);
    }
}

fn children(pid: u32) -> impl Iterator<Item = u32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let pids: Vec<u32> = listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    pids.into_iter()
}

#[allow(unsafe_code, reason = "kill(2) has no safe wrapper in std")]
fn signal(pid: u32, signal: i32) {
    // SAFETY: takes plain numbers. The process is our child, not reaped yet, or one that its living parent has just listed.
    unsafe { libc::kill(pid as i32, signal) };
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    fn state(pid: u32) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().trim().chars().next().unwrap()
    }

    fn waits_until(what: impl Fn() -> bool) -> bool {
        let began = Instant::now();
        while !what() && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        what()
    }

    #[test]
    fn a_process_and_its_children_stand_still_and_go_on() {
        let mut shell = Command::new("sh").args(["-c", "sleep 300 & wait"]).spawn().unwrap();
        assert!(waits_until(|| children(shell.id()).count() == 1));
        let all: Vec<u32> = children(shell.id()).chain([shell.id()]).collect();
        let stopped = Stopped::stop(shell.id());
        assert!(waits_until(|| all.iter().all(|pid| state(*pid) == 'T')), "{all:?}");
        drop(stopped);
        assert!(waits_until(|| all.iter().all(|pid| state(*pid) == 'S')), "{all:?}");
        all.iter().for_each(|pid| signal(*pid, libc::SIGKILL));
        shell.wait().unwrap();
    }
}
