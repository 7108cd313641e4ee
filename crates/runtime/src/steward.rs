//! Threads that take the processors nobody else wants, unless that is little.
//!
//! A nice thread gets little of a processor that others want, but they wait for it: who wakes seldom interrupts it at once, and is
//! not sent to the processor it runs on rather than to another one where somebody with equal rights runs. Linux does both for
//! threads of its idle policy. These in turn get next to nothing where others run all the time, so a [`Steward`] looks at them
//! while they work, and lets them be merely nice for a moment when they had less than two thirds of the time they wanted.
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
const LOOK: Duration = Duration::from_millis(25);
/// Looks after which it decides whether threads had enough.
const LOOKS: u32 = 4;
/// Looks for which they are merely nice if they had not.
const NICE_LOOKS: u32 = 2;

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

/// Decides which policy threads have next.
#[derive(Debug)]
struct Fairness {
    policy: Policy,
    looks: u32,
    since: Shares,
}

impl Fairness {
    fn new(policy: Policy) -> Fairness {
        Fairness { policy, looks: 0, since: Shares::default() }
    }

    /// After a look: what all threads together had since the last one.
    fn next(&mut self, had: Shares) -> Policy {
        self.looks += 1;
        self.since.ran += had.ran;
        self.since.waited += had.waited;
        let policy = match self.policy {
            Policy::Idle if self.looks >= LOOKS && self.is_starved() => Policy::Nice,
            Policy::Idle if self.looks >= LOOKS => Policy::Idle,
            Policy::Nice if self.looks >= NICE_LOOKS => Policy::Idle,
            policy => return policy,
        };
        *self = Fairness::new(policy);
        policy
    }

    /// Whether threads had less than two thirds of the time they wanted.
    fn is_starved(&self) -> bool {
        2 * self.since.waited > self.since.ran
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
    fairness: Fairness,
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
        let watched = Watched { wards: Vec::new(), fairness: Fairness::new(Policy::Idle), stopped: false };
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
        set_policy(ward.thread, watched.fairness.policy);
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
            let before = watched.fairness.policy;
            let policy = watched.fairness.next(had);
            if policy != before {
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
    fn who_had_too_little_is_nice_for_a_moment() {
        let mut fairness = Fairness::new(Policy::Idle);
        let mut after = |had: &[u64]| had.iter().map(|&ran| fairness.next(shares(ran, 30 - ran))).collect::<Vec<_>>();
        use Policy::{Idle, Nice};
        // Two thirds, however they are spread.
        assert_eq!(after(&[30, 10, 30, 10]), [Idle; 4]);
        assert_eq!(after(&[20, 20, 20, 19]), [Idle, Idle, Idle, Nice]);
        // Nothing of it is remembered.
        assert_eq!(after(&[0, 0, 30, 30, 30, 30]), [Nice, Idle, Idle, Idle, Idle, Idle]);
    }

    #[test]
    fn who_wants_nothing_lacks_nothing() {
        let mut fairness = Fairness::new(Policy::Idle);
        assert_eq!([shares(0, 0); 6].map(|had| fairness.next(had)), [Policy::Idle; 6]);
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
