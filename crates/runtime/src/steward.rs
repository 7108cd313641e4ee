//! Threads that take the processors nobody else wants, unless that is little.
//!
//! A nice thread gets little of a processor that others want, but they wait for it: who wakes seldom interrupts it at once, and is
//! not sent to the processor it runs on rather than to another one where somebody with equal rights runs. Linux does both for
//! threads of its idle policy. These in turn get next to nothing where others run all the time, so a [`Steward`] looks at them
//! while they work, and lets them be merely nice until the next look when they had less than two thirds of the time they wanted.
//!
//! To leave the idle policy takes a privilege (`CAP_SYS_NICE`, or `RLIMIT_NICE`). Without it, and elsewhere than on Linux, threads are merely nice.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use heliosdb_types::Result;
use parking_lot::{Condvar, Mutex};

use crate::clock::{Clock, RealClock};
use crate::spawn::{Spawner, Thread};

/// How often the steward looks while anything runs.
const LOOK: Duration = Duration::from_millis(10);

/// How threads are scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// By their niceness.
    Nice,
    /// On what others leave.
    Idle,
}

/// What threads had of processors, and what they wanted and had not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shares {
    ran: Duration,
    waited: Duration,
}

impl Policy {
    /// After a look: nice once if threads of the idle policy had less than two thirds of the time they wanted.
    fn next(self, had: Shares) -> Policy {
        match self {
            Policy::Idle if 2 * had.waited > had.ran => Policy::Nice,
            Policy::Idle | Policy::Nice => Policy::Idle,
        }
    }
}

/// One thread the steward looks after.
#[derive(Debug)]
struct Ward {
    thread: i32,
    /// How long it ran is the first number. How long it waited comes next, but not until it runs again.
    schedstat: File,
    /// What it does now is the letter behind the name in parentheses.
    stat: File,
    ran: Duration,
}

impl Ward {
    /// The calling thread; an error where the system does not count.
    #[allow(clippy::disallowed_methods)] // counters of the system, not files of a disk
    fn this() -> io::Result<Ward> {
        let open = |file| File::open(format!("/proc/thread-self/{file}"));
        let (schedstat, stat) = (open("schedstat")?, open("stat")?);
        let mut ward = Ward { thread: this_thread(), schedstat, stat, ran: Duration::ZERO };
        ward.ran = ward.ran()?;
        ward.is_runnable()?;
        Ok(ward)
    }

    fn ran(&self) -> io::Result<Duration> {
        let text = beginning(&self.schedstat)?;
        let nanos = text.split_ascii_whitespace().next().and_then(|nanos| nanos.parse().ok());
        nanos.map(Duration::from_nanos).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn is_runnable(&self) -> io::Result<bool> {
        let text = beginning(&self.stat)?;
        let state = text.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().next());
        state.map(|state| state == "R").ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// What it had since the last look, so long ago: if it wants a processor now, it has wanted one since.
    fn look(&mut self, passed: Duration) -> Shares {
        let (Ok(now), Ok(runnable)) = (self.ran(), self.is_runnable()) else { return Shares::default() };
        let ran = now.saturating_sub(std::mem::replace(&mut self.ran, now));
        Shares { ran, waited: if runnable { passed.saturating_sub(ran) } else { Duration::ZERO } }
    }
}

fn beginning(file: &File) -> io::Result<String> {
    let mut bytes = [0; 128];
    let len = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(bytes.get(..len).unwrap_or_default()).into_owned())
}

#[derive(Debug)]
struct Watched {
    wards: Vec<Ward>,
    policy: Policy,
    stopped: bool,
}

#[derive(Debug)]
struct Shared {
    watched: Mutex<Watched>,
    /// Somebody has begun to work, or the end has come.
    called: Condvar,
    /// The steward looks; nobody need call it.
    looks: AtomicBool,
}

/// Looks after threads that entered themselves, on a thread of its own that sleeps while they do.
#[derive(Clone, Debug)]
pub(crate) struct Steward(Arc<Shared>);

/// The steward's thread; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Stewardship {
    steward: Steward,
    _thread: Thread,
}

impl Steward {
    /// `None`: this process may not change policies, or niceness asks for none.
    pub fn start(niceness: u8) -> Result<Option<(Steward, Stewardship)>> {
        if niceness == 0 || !may_return() {
            return Ok(None);
        }
        let watched = Watched { wards: Vec::new(), policy: Policy::Idle, stopped: false };
        let (watched, called, looks) = (Mutex::new(watched), Condvar::new(), AtomicBool::new(false));
        let steward = Steward(Arc::new(Shared { watched, called, looks }));
        let looking = steward.clone();
        let thread = Spawner::threads().thread("steward", move || looking.run())?;
        Ok(Some((steward.clone(), Stewardship { steward, _thread: thread })))
    }

    /// The calling thread puts itself under the steward.
    pub fn enter(&self) {
        // Who cannot be looked at is merely nice.
        let Ok(ward) = Ward::this() else { return };
        let mut watched = self.0.watched.lock();
        set_policy(ward.thread, watched.policy);
        watched.wards.push(ward);
    }

    /// The calling thread ends.
    pub fn leave(&self) {
        let thread = this_thread();
        self.0.watched.lock().wards.retain(|ward| ward.thread != thread);
    }

    /// One of the threads begins to work.
    pub fn call(&self) {
        if !self.0.looks.load(Ordering::Relaxed) && !self.0.looks.swap(true, Ordering::AcqRel) {
            let _watched = self.0.watched.lock();
            self.0.called.notify_one();
        }
    }

    fn run(&self) {
        let clock = RealClock::new();
        let mut watched = self.0.watched.lock();
        while !watched.stopped {
            if !self.0.looks.load(Ordering::Acquire) {
                self.0.called.wait(&mut watched);
                continue;
            }
            let slept = clock.monotonic();
            self.0.called.wait_for(&mut watched, LOOK);
            let passed = clock.monotonic().saturating_sub(slept);
            // Who begins from here on calls again.
            self.0.looks.store(false, Ordering::Release);
            let mut had = Shares::default();
            for ward in &mut watched.wards {
                let Shares { ran, waited } = ward.look(passed);
                had.ran += ran;
                had.waited += waited;
            }
            let policy = watched.policy.next(had);
            if policy != watched.policy {
                watched.policy = policy;
                for ward in &watched.wards {
                    set_policy(ward.thread, policy);
                }
            }
            if had != Shares::default() || policy == Policy::Nice {
                self.0.looks.store(true, Ordering::Release);
            }
        }
    }
}

impl Drop for Stewardship {
    fn drop(&mut self) {
        self.steward.0.watched.lock().stopped = true;
        self.steward.0.called.notify_one();
    }
}

/// Whether a thread that took the idle policy could leave it again: tried by one that ends then.
fn may_return() -> bool {
    let tried = std::thread::Builder::new().name("steward".to_owned()).spawn(|| {
        let thread = this_thread();
        set_policy(thread, Policy::Idle) && set_policy(thread, Policy::Nice)
    });
    tried.is_ok_and(|tried| tried.join().unwrap_or(false))
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn this_thread() -> i32 {
    // SAFETY: takes nothing and returns a plain number.
    unsafe { libc::gettid() }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn set_policy(thread: i32, policy: Policy) -> bool {
    let policy = match policy {
        Policy::Nice => libc::SCHED_OTHER,
        Policy::Idle => libc::SCHED_IDLE,
    };
    // 0 is the one priority of both policies. A thread keeps its niceness.
    let priority: libc::c_int = 0;
    // SAFETY: the call reads one number from a place that is valid for it. The C library's own wrapper may refuse threads.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, thread, policy, &raw const priority) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn this_thread() -> i32 {
    0
}

#[cfg(not(target_os = "linux"))]
fn set_policy(_thread: i32, _policy: Policy) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(ran: u64, waited: u64) -> Shares {
        Shares { ran: Duration::from_millis(ran), waited: Duration::from_millis(waited) }
    }

    #[test]
    fn who_had_too_little_is_nice_until_the_next_look() {
        use Policy::{Idle, Nice};
        assert_eq!(Idle.next(shares(20, 10)), Idle, "two thirds");
        assert_eq!(Idle.next(shares(19, 11)), Nice);
        assert_eq!([shares(0, 30), shares(30, 0)].map(|had| Nice.next(had)), [Idle; 2], "once");
        assert_eq!(Idle.next(shares(0, 0)), Idle, "who wants nothing lacks nothing");
    }

    /// The 41st field of a thread's `stat`.
    #[cfg(target_os = "linux")]
    fn policy() -> libc::c_int {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(38).unwrap().parse().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_under_a_steward_take_what_others_leave() {
        let Some((steward, stewardship)) = Steward::start(10).unwrap() else {
            assert!(!may_return());
            return;
        };
        let (entered, thread) = std::thread::scope(|scope| {
            let ward = scope.spawn(|| {
                steward.enter();
                let entered = (policy(), steward.0.watched.lock().wards.len());
                steward.call();
                while steward.0.looks.load(Ordering::Acquire) {
                    RealClock::new().sleep_blocking(LOOK);
                }
                let watched = steward.0.watched.lock().wards.first().map(|ward| ward.ran);
                steward.leave();
                (entered, watched)
            });
            ward.join().unwrap()
        });
        assert_eq!(entered, (libc::SCHED_IDLE, 1));
        assert!(thread.unwrap() > Duration::ZERO);
        assert!(steward.0.watched.lock().wards.is_empty());
        drop(stewardship);
    }
}
