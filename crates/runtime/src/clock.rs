//! Time: what the wall says, what has passed, and waiting.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt};
use parking_lot::{Condvar, Mutex};

/// A source of time. `monotonic` never goes back; the wall may.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Microseconds since 1970-01-01 UTC.
    fn now_micros(&self) -> i64;

    /// Time since an arbitrary origin.
    fn monotonic(&self) -> Duration;

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Blocks the thread.
    fn sleep_blocking(&self, duration: Duration);

    /// For how long, since an arbitrary origin, something has waited for a processor while all of them were taken: the mean
    /// of the processors in use. `None` where the system does not tell.
    fn processor_waits(&self) -> Option<Duration> {
        None
    }
}

/// The machine's clocks. `sleep` needs a tokio runtime with time enabled.
#[derive(Debug)]
pub struct RealClock {
    origin: std::time::Instant,
    /// Linux's pressure stall information; its kernels can be built and started without.
    pressure: Option<File>,
}

#[allow(clippy::disallowed_methods)] // this is the seam the ban points to
impl RealClock {
    pub fn new() -> RealClock {
        RealClock { origin: std::time::Instant::now(), pressure: File::open("/proc/pressure/cpu").ok() }
    }
}

impl Default for RealClock {
    fn default() -> RealClock {
        RealClock::new()
    }
}

#[allow(clippy::disallowed_methods)] // this is the seam the ban points to
impl Clock for RealClock {
    fn now_micros(&self) -> i64 {
        let now = std::time::SystemTime::now();
        // A clock before 1970 is a dead battery, not a reason to stop.
        now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }

    fn sleep_blocking(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn processor_waits(&self) -> Option<Duration> {
        let mut text = [0; 256];
        let len = self.pressure.as_ref()?.read_at(&mut text, 0).ok()?;
        pressure_total(text.get(..len)?)
    }
}

/// The total of the first line, in microseconds: `some avg10=0.00 avg60=0.00 avg300=0.00 total=123`.
fn pressure_total(text: &[u8]) -> Option<Duration> {
    let line = std::str::from_utf8(text).ok()?.lines().next()?.strip_prefix("some ")?;
    let total = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="))?;
    total.parse().ok().map(Duration::from_micros)
}

/// A clock that moves only when told to.
#[derive(Clone, Debug)]
pub struct SimClock {
    shared: Arc<(Mutex<SimTime>, Condvar)>,
}

#[derive(Debug)]
struct SimTime {
    wall_micros: i64,
    passed: Duration,
    /// Sleepers by when they wake; the number keeps those of one moment apart, and in order.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    next_sleeper: u64,
}

impl SimClock {
    /// Starts with the wall at `wall_micros` since 1970.
    pub fn new(wall_micros: i64) -> SimClock {
        let time = SimTime { wall_micros, passed: Duration::ZERO, sleepers: BTreeMap::new(), next_sleeper: 0 };
        SimClock { shared: Arc::new((Mutex::new(time), Condvar::new())) }
    }

    /// Moves both clocks and wakes whoever is due.
    pub fn advance(&self, by: Duration) {
        let (time, moved) = &*self.shared;
        let mut time = time.lock();
        time.passed += by;
        time.wall_micros += by.as_micros() as i64;
        let later = (time.passed + Duration::from_nanos(1), 0);
        let pending = time.sleepers.split_off(&later);
        for (_, sleeper) in std::mem::replace(&mut time.sleepers, pending) {
            // A sleeper that went away no longer cares.
            let _ = sleeper.send(());
        }
        moved.notify_all();
    }

    /// Sets the wall alone, as an administrator or NTP would; it may go back.
    pub fn set_wall(&self, wall_micros: i64) {
        self.shared.0.lock().wall_micros = wall_micros;
    }
}

impl Clock for SimClock {
    fn now_micros(&self) -> i64 {
        self.shared.0.lock().wall_micros
    }

    fn monotonic(&self) -> Duration {
        self.shared.0.lock().passed
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut time = self.shared.0.lock();
        let (wake, woken) = oneshot::channel();
        let key = (time.passed + duration, time.next_sleeper);
        time.next_sleeper += 1;
        if duration.is_zero() {
            let _ = wake.send(());
        } else {
            time.sleepers.insert(key, wake);
        }
        woken.map(|_| ()).boxed()
    }

    fn sleep_blocking(&self, duration: Duration) {
        let (time, moved) = &*self.shared;
        let mut time = time.lock();
        let until = time.passed + duration;
        while time.passed < until {
            moved.wait(&mut time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_processors_are_read_where_the_system_tells() {
        let text = b"some avg10=70.53 avg60=69.46 avg300=51.33 total=7892447836\nfull avg10=0.00 total=1\n";
        assert_eq!(pressure_total(text), Some(Duration::from_micros(7_892_447_836)));
        assert_eq!((pressure_total(b""), pressure_total(b"some total=x")), (None, None));
        let clock = RealClock::new();
        assert!(clock.processor_waits() <= clock.processor_waits(), "it never goes back");
        assert_eq!(SimClock::new(0).processor_waits(), None);
    }

    #[test]
    fn sleepers_wake_when_due_and_not_before() {
        let clock = SimClock::new(1_000);
        let mut early = clock.sleep(Duration::from_secs(1));
        let mut late = clock.sleep(Duration::from_secs(2));
        clock.advance(Duration::from_secs(1));
        assert!((&mut early).now_or_never().is_some());
        assert!((&mut late).now_or_never().is_none());
        clock.advance(Duration::from_secs(1));
        assert!(late.now_or_never().is_some());
        assert_eq!(clock.now_micros(), 2_001_000);
        clock.set_wall(5);
        assert_eq!((clock.now_micros(), clock.monotonic()), (5, Duration::from_secs(2)));
    }
}
