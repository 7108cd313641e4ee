//! Who computes now: so many queries at a time, and none more while memory is nearly used up; others wait their turn.
//!
//! A seat is held while a query computes and given back while it waits for its client to read. Nobody waits for a seat whom
//! those who have one may wait for: statements of transactions that write have locks, so they take none. Neither do those that
//! read no tables of users. One query always may, so that waiting ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::ExecutionPlan;
use heliosdb_runtime::Clock;
use heliosdb_types::{Error, Result, SqlState};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::memory::Memory;
use super::scan::HeliosScanExec;
use super::scope::StatementScope;

/// The queue for seats.
#[derive(Debug)]
pub(super) struct Admission {
    seats: usize,
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    /// First come, first served; who gave up is passed over.
    waiting: VecDeque<oneshot::Sender<Seat>>,
}

/// Queries that compute, and those that wait to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryQueue {
    pub running: usize,
    pub waiting: usize,
}

/// Leave to compute, until it is dropped. `None`: none was needed.
#[derive(Debug)]
pub(super) struct Seat(Option<Arc<Admission>>);

impl Admission {
    pub fn new(seats: usize, memory: Arc<Memory>, clock: Arc<dyn Clock>) -> Arc<Admission> {
        Arc::new(Admission { seats, memory, clock, state: Mutex::default() })
    }

    pub fn queue(&self) -> QueryQueue {
        let state = self.state.lock();
        let waiting = state.waiting.iter().filter(|next| !next.is_closed()).count();
        QueryQueue { running: state.running, waiting }
    }

    /// Waits for a seat if the plan needs one; 53000 after `admission_timeout`.
    pub async fn seat(self: &Arc<Self>, plan: &Arc<dyn ExecutionPlan>, scope: &StatementScope) -> Result<Seat> {
        if scope.read.txn.is_some() || scope.facts.is_some() || !reads_tables(plan) {
            return Ok(Seat(None));
        }
        let turn = {
            let mut state = self.state.lock();
            if state.waiting.is_empty() && self.has_room(&state) {
                state.running += 1;
                return Ok(Seat(Some(Arc::clone(self))));
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            receiver
        };
        let _shown = scope.tier.queued();
        tokio::select! {
            seat = turn => seat.map_err(|_| Error::internal("the queue of queries is gone")),
            () = self.give_up(scope.admission_timeout) => Err(self.too_late(scope.admission_timeout)),
        }
    }

    async fn give_up(&self, timeout: Option<Duration>) {
        match timeout {
            Some(timeout) => self.clock.sleep(timeout).await,
            None => std::future::pending().await,
        }
    }

    fn too_late(&self, timeout: Option<Duration>) -> Error {
        let QueryQueue { running, waiting } = self.queue();
        let waited = timeout.unwrap_or_default().as_secs_f64();
        Error::unavailable(SqlState::INSUFFICIENT_RESOURCES, "canceling statement due to admission timeout")
            .with_detail(format!("It waited {waited} s for others to end; {running} compute and {waiting} wait."))
            .with_hint(
                "Try again later, raise \"admission_timeout\", or let more run at once with max_running_queries.",
            )
    }

    fn has_room(&self, state: &State) -> bool {
        let memory = self.memory.in_use();
        state.running == 0 || state.running < self.seats && memory.held <= memory.limit - memory.limit / 4
    }

    /// Lets in who may.
    fn admit(self: &Arc<Self>, state: &mut State) {
        while self.has_room(state)
            && let Some(next) = state.waiting.pop_front()
        {
            match next.send(Seat(Some(Arc::clone(self)))) {
                Ok(()) => state.running += 1,
                // Gave up. Its seat was never counted.
                Err(mut seat) => seat.0 = None,
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(admission) = self.0.take() {
            let mut state = admission.state.lock();
            state.running -= 1;
            admission.admit(&mut state);
        }
    }
}

fn reads_tables(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<HeliosScanExec>().is_some() || plan.children().into_iter().any(reads_tables)
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::MemoryConsumer;
    use futures::FutureExt;
    use heliosdb_runtime::SimClock;
    use heliosdb_types::SqlType;

    use super::*;
    use crate::testing::{Bench, relation};

    struct Queries {
        bench: Bench,
        plan: Arc<dyn ExecutionPlan>,
        memory: Arc<Memory>,
        clock: SimClock,
        admission: Arc<Admission>,
    }

    fn queries(seats: usize) -> Queries {
        let bench = Bench::new(relation("t", &[("id", SqlType::Int4)], &["id"]));
        let session = bench.executor.session(Arc::new(bench.scope(None, 0)));
        let scan = bench.scan().build().unwrap();
        let plan = bench.pool.block_on(session.create_physical_plan(&scan)).unwrap();
        let (memory, clock) = (Arc::new(Memory::new(1 << 20)), SimClock::new(0));
        let admission = Admission::new(seats, Arc::clone(&memory), Arc::new(clock.clone()));
        Queries { bench, plan, memory, clock, admission }
    }

    impl Queries {
        async fn seat(&self, timeout: Option<Duration>) -> Result<Seat> {
            let scope = StatementScope { admission_timeout: timeout, ..self.bench.scope(None, 0) };
            self.admission.seat(&self.plan, &scope).await
        }

        fn queue(&self) -> (usize, usize) {
            let QueryQueue { running, waiting } = self.admission.queue();
            (running, waiting)
        }
    }

    #[test]
    fn who_came_first_goes_first_and_who_gave_up_is_passed_over() {
        let queries = queries(2);
        queries.bench.pool.block_on(async {
            let (one, two) = (queries.seat(None).await.unwrap(), queries.seat(None).await.unwrap());
            let mut third = Box::pin(queries.seat(None));
            let mut gone = Box::pin(queries.seat(None));
            let mut fourth = Box::pin(queries.seat(None));
            assert!((&mut third).now_or_never().is_none());
            assert!((&mut gone).now_or_never().is_none());
            assert!((&mut fourth).now_or_never().is_none());
            assert_eq!(queries.queue(), (2, 3));
            drop(gone);
            drop(one);
            assert!((&mut fourth).now_or_never().is_none());
            let third = (&mut third).now_or_never().unwrap().unwrap();
            assert_eq!(queries.queue(), (2, 1));
            drop((two, third));
            drop(fourth.await.unwrap());
            assert_eq!(queries.queue(), (0, 0));
        });
    }

    #[test]
    fn a_seat_that_nobody_fetched_goes_to_the_next() {
        let queries = queries(1);
        queries.bench.pool.block_on(async {
            let one = queries.seat(None).await.unwrap();
            let mut second = Box::pin(queries.seat(None));
            let mut third = Box::pin(queries.seat(None));
            assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
            drop(one);
            drop(second);
            drop(third.await.unwrap());
            assert_eq!(queries.queue(), (0, 0));
        });
    }

    #[test]
    fn waiting_ends_after_a_time() {
        let queries = queries(1);
        let error = queries.bench.pool.block_on(async {
            let _one = queries.seat(None).await.unwrap();
            let mut late = Box::pin(queries.seat(Some(Duration::from_secs(5))));
            assert!((&mut late).now_or_never().is_none());
            queries.clock.advance(Duration::from_secs(5));
            late.await.unwrap_err()
        });
        assert_eq!(error.state(), SqlState::INSUFFICIENT_RESOURCES);
        assert_eq!(error.message(), "canceling statement due to admission timeout");
    }

    #[test]
    fn with_little_memory_left_one_runs_at_a_time() {
        let queries = queries(8);
        let pool = queries.memory.statement(None);
        let held = MemoryConsumer::new("held").register(&pool);
        held.try_grow(900 << 10).unwrap();
        queries.bench.pool.block_on(async {
            let one = queries.seat(None).await.unwrap();
            let mut second = Box::pin(queries.seat(None));
            assert!((&mut second).now_or_never().is_none());
            held.free();
            assert!((&mut second).now_or_never().is_none(), "it is asked for when somebody leaves");
            drop(one);
            drop(second.await.unwrap());
        });
    }

    #[test]
    fn who_has_written_takes_no_seat() {
        let queries = queries(1);
        queries.bench.pool.block_on(async {
            let _one = queries.seat(None).await.unwrap();
            let writer = queries.bench.scope(Some(queries.bench.begin()), 0);
            queries.admission.seat(&queries.plan, &writer).await.unwrap();
            assert_eq!(queries.queue(), (1, 0));
        });
    }
}
