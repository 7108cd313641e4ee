//! What statements may hold: one budget for all of them, and a part of it for each.
//!
//! Both are shared out by one rule. Whoever can write what it holds to disk gets memory as long as a quarter is left; of that
//! quarter it gets what brings it to an equal share, so that an operator which came late can still work. Whoever cannot gets
//! what there is.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool, human_readable_size,
};
use parking_lot::Mutex;

/// Consumers named when memory runs out.
const CONSUMERS_REPORTED: NonZeroUsize = NonZeroUsize::new(5).expect("not zero");

/// A budget and what is taken of it.
#[derive(Debug)]
struct Budget {
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    bytes: usize,
    /// Of these, by those who cannot spill.
    fixed: usize,
    /// The most there was at once.
    peak: usize,
    /// How many can spill.
    spillers: usize,
}

impl Budget {
    fn new(limit: usize) -> Budget {
        Budget { limit, taken: Mutex::default() }
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.taken.lock().spillers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.taken.lock().spillers -= usize::from(consumer.can_spill());
    }

    fn take(&self, consumer: &MemoryConsumer, bytes: usize) {
        self.taken.lock().add(consumer, bytes);
    }

    fn give_back(&self, consumer: &MemoryConsumer, bytes: usize) {
        let mut taken = self.taken.lock();
        taken.bytes = taken.bytes.saturating_sub(bytes);
        if !consumer.can_spill() {
            taken.fixed = taken.fixed.saturating_sub(bytes);
        }
    }

    /// Takes bytes for one who holds `held` already, or says how many there would be.
    fn try_take(&self, consumer: &MemoryConsumer, held: usize, bytes: usize) -> Result<(), usize> {
        let mut taken = self.taken.lock();
        let left = self.limit.saturating_sub(taken.bytes);
        let available = if consumer.can_spill() {
            let share = (self.limit - taken.fixed.min(self.limit)) / taken.spillers.max(1);
            left.saturating_sub(self.limit / 4).max(left.min(share.saturating_sub(held)))
        } else {
            left
        };
        if bytes > available {
            return Err(available);
        }
        taken.add(consumer, bytes);
        Ok(())
    }
}

impl Taken {
    fn add(&mut self, consumer: &MemoryConsumer, bytes: usize) {
        self.bytes += bytes;
        self.peak = self.peak.max(self.bytes);
        if !consumer.can_spill() {
            self.fixed += bytes;
        }
    }
}

/// The memory of all statements.
#[derive(Debug)]
pub(super) struct Memory {
    all: Arc<Budget>,
}

impl Memory {
    pub fn new(bytes: usize) -> Memory {
        Memory { all: Arc::new(Budget::new(bytes)) }
    }

    /// The pool of one statement, which may hold `bytes` (at most all there is).
    pub fn statement(&self, bytes: Option<usize>) -> Arc<dyn MemoryPool> {
        let own = Budget::new(bytes.unwrap_or(usize::MAX).min(self.all.limit));
        let pool = StatementPool { all: Arc::clone(&self.all), own };
        Arc::new(TrackConsumersPool::new(pool, CONSUMERS_REPORTED))
    }

    pub fn in_use(&self) -> QueryMemory {
        QueryMemory { held: self.all.taken.lock().bytes, limit: self.all.limit }
    }
}

/// Bytes that the operators of all statements hold, and the most that they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryMemory {
    pub held: usize,
    pub limit: usize,
}

#[derive(Debug)]
struct StatementPool {
    all: Arc<Budget>,
    own: Budget,
}

impl MemoryPool for StatementPool {
    fn name(&self) -> &str {
        "statement"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.all.register(consumer);
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.all.unregister(consumer);
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.all.take(reservation.consumer(), additional);
        self.own.take(reservation.consumer(), additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.all.give_back(reservation.consumer(), shrink);
        self.own.give_back(reservation.consumer(), shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DfResult<()> {
        let consumer = reservation.consumer();
        let refused = |available: usize, limit: usize, whose: &str| {
            DataFusionError::ResourcesExhausted(format!(
                "{} asked for {} beside the {} it holds; {} of {whose} {} are left.",
                consumer.name(),
                human_readable_size(additional),
                human_readable_size(reservation.size()),
                human_readable_size(available),
                human_readable_size(limit),
            ))
        };
        let own = self.own.try_take(consumer, reservation.size(), additional);
        own.map_err(|available| refused(available, self.own.limit, "the statement's"))?;
        self.all.try_take(consumer, reservation.size(), additional).map_err(|available| {
            self.own.give_back(consumer, additional);
            refused(available, self.all.limit, "all statements'")
        })
    }

    fn reserved(&self) -> usize {
        self.own.taken.lock().bytes
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.own.limit)
    }
}

impl fmt::Display for StatementPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = *self.own.taken.lock();
        write!(f, "{} of {}", human_readable_size(taken.bytes), human_readable_size(self.own.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: usize = 1 << 20;

    fn consumer(pool: &Arc<dyn MemoryPool>, name: &str, can_spill: bool) -> MemoryReservation {
        MemoryConsumer::new(name).with_can_spill(can_spill).register(pool)
    }

    #[test]
    fn a_quarter_is_for_those_below_their_share() {
        let memory = Memory::new(100 * MB);
        let pool = memory.statement(None);
        let (sort, late) = (consumer(&pool, "sort", true), consumer(&pool, "late", true));
        sort.try_grow(75 * MB).unwrap();
        let error = sort.try_grow(1).unwrap_err().to_string();
        assert!(error.contains("sort asked for 1.0 B beside the 75.0 MB it holds"), "{error}");
        late.try_grow(25 * MB).unwrap();
        assert_eq!(memory.in_use(), QueryMemory { held: 100 * MB, limit: 100 * MB });
        assert!(late.try_grow(1).is_err());
        sort.shrink(60 * MB);
        late.try_grow(25 * MB).unwrap();
        drop((sort, late));
        assert_eq!(memory.in_use().held, 0);
    }

    #[test]
    fn who_cannot_spill_gets_what_there_is() {
        let memory = Memory::new(100 * MB);
        let pool = memory.statement(None);
        let table = consumer(&pool, "table", false);
        table.try_grow(100 * MB).unwrap();
        assert!(table.try_grow(1).is_err());
    }

    #[test]
    fn a_statement_has_an_end_of_its_own() {
        let memory = Memory::new(100 * MB);
        let (small, other) = (memory.statement(Some(10 * MB)), memory.statement(Some(1000 * MB)));
        let held = consumer(&small, "small", false);
        held.try_grow(10 * MB).unwrap();
        assert!(held.try_grow(1).is_err());
        let rest = consumer(&other, "other", false);
        rest.try_grow(90 * MB).unwrap();
        let error = rest.try_grow(MB).unwrap_err().to_string();
        assert!(error.contains("0.0 B of all statements' 100.0 MB are left"), "{error}");
        assert_eq!(other.reserved(), 90 * MB, "what was refused by all is not held against the statement");
    }
}
