//! Named points where a test can make the process crash, fail or wait.
//!
//! Always compiled in, so that the binary under test is the binary that ships: a point costs one relaxed load while
//! nothing is enabled. Enable by [`set_failpoints`] or the environment:
//! `HELIOSDB_FAILPOINTS="freeze.before_manifest=crash(0.01);wal.sync=sleep(20)"`.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use heliosdb_types::{Error, Result, SqlState};
use parking_lot::Mutex;
use rand::Rng;

/// What happens at an enabled point, with a probability from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FailAction {
    /// The process ends as by kill -9: no destructors, no flushes.
    Crash(f64),
    /// The point returns an error.
    Error(f64),
    /// The thread sleeps.
    Sleep(Duration, f64),
    /// Nothing but counting.
    Count,
}

#[derive(Default)]
struct Point {
    action: Option<FailAction>,
    hits: u64,
}

static ENABLED: AtomicBool = AtomicBool::new(false);
static POINTS: LazyLock<Mutex<HashMap<String, Point>>> = LazyLock::new(Mutex::default);

/// Marks a point. Returns an error when an enabled `error` action fires.
#[inline]
pub fn failpoint(name: &'static str) -> Result<()> {
    if ENABLED.load(Ordering::Relaxed) { hit(name) } else { Ok(()) }
}

/// How often an enabled registry has passed this point.
pub fn failpoint_hits(name: &str) -> u64 {
    POINTS.lock().get(name).map_or(0, |point| point.hits)
}

/// Enables one point.
pub fn set_failpoint(name: &str, action: FailAction) {
    POINTS.lock().entry(name.to_owned()).or_default().action = Some(action);
    ENABLED.store(true, Ordering::Relaxed);
}

/// Disables all points and forgets their counts.
pub fn clear_failpoints() {
    ENABLED.store(false, Ordering::Relaxed);
    POINTS.lock().clear();
}

/// Enables the points of `name=action;...`; an action is `crash`, `crash(p)`, `error`, `error(p)`, `sleep(ms)`,
/// `sleep(ms,p)`, `count`.
pub fn set_failpoints(config: &str) -> Result<()> {
    for entry in config.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, action) = entry.split_once('=').ok_or_else(|| bad(entry))?;
        set_failpoint(name.trim(), parse(action.trim()).ok_or_else(|| bad(entry))?);
    }
    Ok(())
}

/// Enables the points named by the environment variable `HELIOSDB_FAILPOINTS`, if set.
pub fn failpoints_from_env() -> Result<()> {
    match std::env::var("HELIOSDB_FAILPOINTS") {
        Ok(config) => set_failpoints(&config),
        Err(_) => Ok(()),
    }
}

fn bad(entry: &str) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("invalid failpoint \"{entry}\""))
        .with_hint("Write name=action, where action is crash(p), error(p), sleep(ms,p) or count.")
}

fn parse(action: &str) -> Option<FailAction> {
    let (verb, arguments) = match action.split_once('(') {
        Some((verb, rest)) => (verb, rest.strip_suffix(')')?),
        None => (action, ""),
    };
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).filter(|a| !a.is_empty()).collect();
    let chance = |at: usize| match arguments.get(at) {
        Some(text) => text.parse::<f64>().ok().filter(|p| (0.0..=1.0).contains(p)),
        None => Some(1.0),
    };
    let most = if verb == "sleep" { 2 } else { 1 };
    match verb {
        _ if arguments.len() > most => None,
        "crash" => Some(FailAction::Crash(chance(0)?)),
        "error" => Some(FailAction::Error(chance(0)?)),
        "sleep" => Some(FailAction::Sleep(Duration::from_millis(arguments.first()?.parse().ok()?), chance(1)?)),
        "count" if arguments.is_empty() => Some(FailAction::Count),
        _ => None,
    }
}

#[cold]
fn hit(name: &'static str) -> Result<()> {
    let action = {
        let mut points = POINTS.lock();
        let point = points.entry(name.to_owned()).or_default();
        point.hits += 1;
        point.action
    };
    match action {
        Some(FailAction::Crash(chance)) if fires(chance) => crash(),
        Some(FailAction::Error(chance)) if fires(chance) => {
            Err(Error::internal(format!("failpoint \"{name}\" was told to fail")))
        }
        Some(FailAction::Sleep(duration, chance)) if fires(chance) => {
            // Real even under a simulated clock: the point of it is to open a window between threads.
            #[allow(clippy::disallowed_methods)]
            std::thread::sleep(duration);
            Ok(())
        }
        _ => Ok(()),
    }
}

#[allow(clippy::disallowed_methods)] // a failpoint is switched on from outside and need not be repeatable
fn fires(chance: f64) -> bool {
    chance >= 1.0 || rand::rng().random_bool(chance)
}

/// Ends the process at once: SIGKILL to ourselves, so nothing of ours (or of libc) runs any more.
#[allow(unsafe_code)]
fn crash() -> ! {
    // SAFETY: plain system calls without memory arguments.
    unsafe {
        libc::kill(libc::getpid(), libc::SIGKILL);
    }
    // The signal is delivered before kill returns to a process that does not block it; SIGKILL cannot be blocked.
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_parse_or_are_refused() {
        assert_eq!(parse("crash"), Some(FailAction::Crash(1.0)));
        assert_eq!(parse("crash(0.25)"), Some(FailAction::Crash(0.25)));
        assert_eq!(parse("sleep(20, 0.5)"), Some(FailAction::Sleep(Duration::from_millis(20), 0.5)));
        for wrong in ["sleep", "crash(2)", "crash(0.1", "error(0.1,0.2)", "explode", "count(1)", "sleep(x)", ""] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert!(set_failpoints("a=b").is_err());
        assert!(set_failpoints("crash").is_err());
    }

    #[test]
    fn an_enabled_point_fails_counts_and_stops() {
        failpoint("test.only").unwrap();
        set_failpoints("test.only=error; test.counted=count").unwrap();
        assert!(failpoint("test.only").is_err());
        failpoint("test.counted").unwrap();
        assert_eq!((failpoint_hits("test.only"), failpoint_hits("test.counted")), (1, 1));
        clear_failpoints();
        failpoint("test.only").unwrap();
        assert_eq!(failpoint_hits("test.only"), 0);
    }
}
