//! Many threads move money between few accounts, in random order, with deadlocks, timeouts and cancellations. The sum
//! stays, no update is lost, and at the end nothing is locked.

use super::*;
use heliosdb_runtime::{Entropy, Pool, RealClock, SeededEntropy};
use heliosdb_types::{Error, SqlState};

const ACCOUNTS: u64 = 8;
const START: i64 = 1000;

fn name(account: u64) -> String {
    format!("account{account}")
}

struct Teller {
    bench: Arc<Bench>,
    rng: SeededEntropy,
    /// Commits of this teller that add one to the counter row.
    counted: u64,
    deadlocks: u64,
    timeouts: u64,
    cancelled: u64,
}

impl Teller {
    /// The current value of a row this transaction has locked.
    async fn locked_value(&self, txn: TxnId, key: &str) -> Result<i64> {
        let context = self.bench.context(txn);
        let wait = if self.rng.next_u64().is_multiple_of(10) { within(2) } else { FOREVER };
        let keys = vec![bytes(key)];
        let rows = self.bench.shard.lock_rows(&context, TREE, keys, RowLockMode::Update, wait).await?;
        let text = match rows.into_iter().next().unwrap() {
            LockedRow::Newer { row, .. } => String::from_utf8(row.to_vec()).unwrap(),
            // The mock reads at the context's snapshot, plus own writes.
            LockedRow::Unchanged => self.bench.read(txn, key).unwrap(),
            LockedRow::Gone | LockedRow::Busy => panic!("accounts are never deleted, and always waited for"),
        };
        Ok(text.parse().unwrap())
    }

    async fn transfer(&self, txn: TxnId) -> Result<()> {
        let (from, to) = (self.rng.next_u64() % ACCOUNTS, self.rng.next_u64() % ACCOUNTS);
        let amount = (self.rng.next_u64() % 50) as i64;
        let value = self.locked_value(txn, &name(from)).await?;
        self.bench.update(txn, &name(from), &(value - amount).to_string())?;
        if self.rng.next_u64().is_multiple_of(3) {
            tokio_yield().await;
        }
        let value = self.locked_value(txn, &name(to)).await?;
        self.bench.update(txn, &name(to), &(value + amount).to_string())?;
        let count = self.locked_value(txn, "counter").await?;
        self.bench.update(txn, "counter", &(count + 1).to_string())
    }

    async fn run(mut self, rounds: u64) -> Teller {
        for _ in 0..rounds {
            let txn = self.bench.begin();
            let finished = {
                let transfer = std::pin::pin!(self.transfer(txn));
                if self.rng.next_u64().is_multiple_of(12) {
                    // Poll a few times, then walk away in the middle.
                    let patience = std::pin::pin!(impatience(3));
                    match futures::future::select(transfer, patience).await {
                        futures::future::Either::Left((result, _)) => Some(result),
                        futures::future::Either::Right(_) => None,
                    }
                } else {
                    Some(transfer.await)
                }
            };
            match finished {
                Some(Ok(())) => {
                    self.bench.shard.commit(txn).await.unwrap();
                    self.counted += 1;
                    continue;
                }
                Some(Err(error)) => self.note(&error),
                None => self.cancelled += 1,
            }
            self.bench.shard.rollback(txn);
        }
        self
    }

    fn note(&mut self, error: &Error) {
        match error.state() {
            SqlState::DEADLOCK_DETECTED => self.deadlocks += 1,
            SqlState::LOCK_NOT_AVAILABLE => self.timeouts += 1,
            _ => panic!("{error:?}"),
        }
    }
}

/// Gives others a turn.
async fn tokio_yield() {
    impatience(1).await;
}

/// Pending `turns` times.
async fn impatience(mut turns: u32) {
    futures::future::poll_fn(move |context| {
        if turns == 0 {
            return std::task::Poll::Ready(());
        }
        turns -= 1;
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn storm(seed: u64, tellers: u64, rounds: u64) -> (u64, u64, u64) {
    let store = Arc::new(MockStore::default());
    let shard = Participant::new(store.clone(), Arc::new(RealClock::new()), TxnOptions::default());
    let bench = Arc::new(Bench { shard: Arc::new(shard), store, clock: SimClock::new(0) });
    let txn = bench.begin();
    let accounts = (0..ACCOUNTS).map(|n| keyed(&name(n), &START.to_string()));
    now(bench.insert(txn, accounts.chain([keyed("counter", "0")]).collect())).unwrap();
    bench.commit(txn);
    let pool = Pool::new("tellers", 4).unwrap();
    let tasks: Vec<_> = (0..tellers)
        .map(|n| {
            let rng = SeededEntropy::new(seed * 1000 + n);
            let teller = Teller { bench: bench.clone(), rng, counted: 0, deadlocks: 0, timeouts: 0, cancelled: 0 };
            pool.spawner().task(teller.run(rounds))
        })
        .collect();
    let (mut counted, mut deadlocks, mut timeouts, mut cancelled) = (0, 0, 0, 0);
    for task in tasks {
        let teller = pool.block_on(task).unwrap();
        counted += teller.counted;
        deadlocks += teller.deadlocks;
        timeouts += teller.timeouts;
        cancelled += teller.cancelled;
    }
    let value = |key: &str| std::str::from_utf8(&bench.store.value(key).unwrap()).unwrap().parse::<i64>().unwrap();
    let sum: i64 = (0..ACCOUNTS).map(|n| value(&name(n))).sum();
    assert_eq!(sum, ACCOUNTS as i64 * START, "seed {seed}: money appeared or vanished");
    assert_eq!(value("counter") as u64, counted, "seed {seed}: an update was lost");
    assert_eq!(counted + deadlocks + timeouts + cancelled, tellers * rounds);
    (deadlocks, timeouts, cancelled)
}

#[test]
fn money_is_conserved_in_a_storm() {
    let mut total = (0, 0, 0);
    for seed in 1..=6 {
        let (deadlocks, timeouts, cancelled) = storm(seed, 12, 150);
        total = (total.0 + deadlocks, total.1 + timeouts, total.2 + cancelled);
    }
    assert!(total.0 > 20 && total.2 > 20, "the storm was too calm: {total:?}");
}
