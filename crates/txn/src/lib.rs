//! Transactions at one shard: who may write what, in which order, and when a commit may be acknowledged.
//!
//! Does: row and tree locks with waiting, fairness, timeouts, cancellation, deadlock detection and escalation; what READ
//! COMMITTED must know after a wait (is the row still the one my snapshot saw?); unique keys on insert; commit in the order
//! append -> release locks -> durable -> acknowledge. Does not: store rows, assign timestamps, log - that is
//! [`heliosdb_contracts::ShardStore`], which trusts the locks held here - or decide what to do about a changed row.
//! Invariants: nothing is acknowledged before it is durable; a transaction ends exactly once and then holds nothing; a
//! dropped wait leaves no trace; every cycle of waits contains the wait that closed it, so the newest waiter is the victim.
//! May depend on: contracts, runtime.
//!
//! ```
//! use heliosdb_contracts::TreeLockMode;
//! // Two transactions may write rows of one tree; a third that changes the tree itself waits for both.
//! assert!(!heliosdb_txn::conflicts(TreeLockMode::RowExclusive, TreeLockMode::RowExclusive));
//! assert!(heliosdb_txn::conflicts(TreeLockMode::RowExclusive, TreeLockMode::AccessExclusive));
//! ```

mod active;
mod advisory;
mod held;
mod lock_queue;
mod lock_table;
mod mode;
mod participant;
mod readers;
mod resource;
mod rows;
mod ssi;
mod writers;

pub use lock_table::LockStats;
pub use mode::conflicts;
pub use participant::{Participant, TxnOptions};
