//! Threads and tasks: named, and joined by whoever holds them.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use heliosdb_types::{Error, Result};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::steward::{Steward, Stewardship};

/// Address space for a worker's stack; only touched pages cost memory. Planners walk expressions recursively, up to the depth
/// the SQL layer allows, which the default of 2 MiB does not hold.
const STACK_BYTES: usize = 64 << 20;

/// A set of worker threads that run tasks. Dropping it stops them without waiting for what still runs.
pub struct Pool {
    runtime: Option<Runtime>,
    name: String,
    _stewardship: Option<Stewardship>,
}

impl Pool {
    /// `threads` workers called `name`.
    pub fn new(name: &str, threads: usize) -> Result<Pool> {
        Pool::giving_way(name, threads, 0)
    }

    /// The same, whose workers get less of the processors than others when those are short: what these leave, if the process may
    /// have that, and what [`crate::give_way`] says where they leave nothing.
    pub fn giving_way(name: &str, threads: usize, niceness: u8) -> Result<Pool> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads.max(1)).thread_name(name).thread_stack_size(STACK_BYTES).enable_all();
        let (steward, stewardship) = Steward::start(niceness)?.unzip();
        if let Some(steward) = &steward {
            let (leaving, working) = (steward.clone(), steward.clone());
            builder.on_thread_stop(move || leaving.leave()).on_thread_unpark(move || working.call());
        }
        builder.on_thread_start(move || {
            if !crate::give_way(niceness) {
                tracing::debug!("the system gives all threads equal shares");
            }
            if let Some(steward) = &steward {
                steward.enter();
            }
        });
        let runtime = builder.build();
        let runtime = runtime.map_err(|e| Error::io(format!("start the threads of pool \"{name}\""), e))?;
        Ok(Pool { runtime: Some(runtime), name: name.to_owned(), _stewardship: stewardship })
    }

    pub fn spawner(&self) -> Spawner {
        Spawner { handle: Some(self.handle()) }
    }

    pub fn handle(&self) -> Handle {
        self.runtime.as_ref().expect("taken only by drop").handle().clone()
    }

    /// Runs a future on the calling thread until it is done.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.as_ref().expect("taken only by drop").block_on(future)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.name)
    }
}

/// Starts threads, and tasks where it belongs to a [`Pool`]. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Spawner {
    handle: Option<Handle>,
}

#[allow(clippy::disallowed_methods)] // this is the seam the ban points to
impl Spawner {
    /// Threads only: for tests and tools without a runtime.
    pub fn threads() -> Spawner {
        Spawner { handle: None }
    }

    /// Threads, and tasks on the runtime of `handle`.
    pub fn on(handle: Handle) -> Spawner {
        Spawner { handle: Some(handle) }
    }

    /// Starts a thread of its own; for what blocks for long or syncs files.
    pub fn thread(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<Thread> {
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        let handle = handle.map_err(|e| Error::io(format!("start thread \"{name}\""), e))?;
        Ok(Thread { handle: Some(handle) })
    }

    /// Does work on a thread of its own that gives way ([`crate::give_way`]), and waits for it. For what computes for long on
    /// behalf of a thread that takes locks before or after: that one keeps its share, so that nobody waits for a lock whose
    /// holder waits for a processor. A panic of the work is the caller's. A `niceness` of 0 needs no thread.
    pub fn giving_way<T: Send>(&self, name: &str, niceness: u8, run: impl FnOnce() -> T + Send) -> Result<T> {
        if niceness == 0 {
            return Ok(run());
        }
        std::thread::scope(|scope| {
            let work = move || {
                crate::give_way(niceness);
                run()
            };
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
            let thread = thread.map_err(|e| Error::io(format!("start thread \"{name}\""), e))?;
            Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// Starts a task on the pool.
    pub fn task<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Task { handle: self.runtime().spawn(future) }
    }

    /// Runs blocking work on one of the pool's extra threads.
    pub fn blocking<T: Send + 'static>(&self, run: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        Task { handle: self.runtime().spawn_blocking(run) }
    }

    /// Drops what is large where nobody waits for it: on one of the pool's extra threads, or here if there is no pool.
    pub fn dispose<T: Send + 'static>(&self, large: T) {
        match &self.handle {
            Some(handle) => drop(handle.spawn_blocking(move || drop(large))),
            None => drop(large),
        }
    }

    fn runtime(&self) -> Handle {
        match &self.handle {
            Some(handle) => handle.clone(),
            None => Handle::current(),
        }
    }
}

/// A running thread. Dropping it waits for its end, so that nothing outlives its owner.
#[derive(Debug)]
pub struct Thread {
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Waits for the end; a panic of the thread becomes an error.
    pub fn join(mut self) -> Result<()> {
        self.wait().map_err(|()| Error::internal("a thread panicked"))
    }

    fn wait(&mut self) -> Result<(), ()> {
        match self.handle.take() {
            // A thread that drops its own handle (the last owner was itself) cannot wait for itself.
            Some(handle) if handle.thread().id() != std::thread::current().id() => handle.join().map_err(|_| ()),
            _ => Ok(()),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if self.wait().is_err() {
            tracing::error!("a thread panicked");
        }
    }
}

/// A running task. Awaiting it gives its output; dropping it lets it run on.
#[derive(Debug)]
pub struct Task<T> {
    handle: tokio::task::JoinHandle<T>,
}

impl<T> Task<T> {
    /// Stops the task at its next await.
    pub fn abort(&self) {
        self.handle.abort();
    }

    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        Pin::new(&mut self.handle).poll(context).map_err(|e| {
            let what = if e.is_panic() { "a task panicked" } else { "a task was stopped" };
            Error::internal(what).with_source(io::Error::other(e))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_return_their_output_and_panics_are_errors() {
        let pool = Pool::new("test", 1).unwrap();
        let spawner = pool.spawner();
        assert_eq!(pool.block_on(spawner.task(async { 7 })).unwrap(), 7);
        assert_eq!(pool.block_on(spawner.blocking(|| 8)).unwrap(), 8);
        assert!(pool.block_on(spawner.task(async { panic!("on purpose") })).is_err());
        let stopped = spawner.task(std::future::pending::<()>());
        stopped.abort();
        assert!(pool.block_on(stopped).is_err());
        assert!(spawner.thread("panics", || panic!("on purpose")).unwrap().join().is_err());
    }

    #[test]
    fn what_is_disposed_of_is_dropped_on_another_thread_if_there_is_one() {
        struct Tells(std::sync::mpsc::Sender<std::thread::ThreadId>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.send(std::thread::current().id()).unwrap();
            }
        }
        let (sender, told) = std::sync::mpsc::channel();
        let here = std::thread::current().id();
        let pool = Pool::new("test", 1).unwrap();
        pool.spawner().dispose(Tells(sender.clone()));
        assert_ne!(told.recv().unwrap(), here);
        Spawner::threads().dispose(Tells(sender));
        assert_eq!(told.recv().unwrap(), here);
    }

    /// The 19th field; the name in parentheses may hold spaces.
    #[cfg(target_os = "linux")]
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pool_that_gives_way_has_nice_threads() {
        let pools = [0, 7].map(|niceness| Pool::giving_way("test", 1, niceness).unwrap());
        let [equal, nice] =
            pools.each_ref().map(|pool| pool.block_on(pool.spawner().task(async move { niceness() })).unwrap());
        assert_eq!((equal, nice), (niceness(), (niceness() + 7).min(19)));
        assert_eq!(pools[1].block_on(pools[1].spawner().blocking(niceness)).unwrap(), nice);
    }
    #[cfg(target_os = "linux")]
    #[test]
    fn work_gives_way_and_who_waits_for_it_does_not() {
        let (spawner, before) = (Spawner::threads(), niceness());
        let mut borrowed = 0;
        let mut work = |by| {
            let look = || {
                borrowed += 1;
                niceness()
            };
            spawner.giving_way("test", by, look).unwrap()
        };
        assert_eq!((work(0), work(7)), (before, (before + 7).min(19)));
        assert_eq!((borrowed, niceness()), (2, before));
        let panics = || spawner.giving_way("test", 7, || panic!("on purpose"));
        assert!(std::panic::catch_unwind(panics).is_err());
    }
}
