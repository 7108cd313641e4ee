//! SELECT ... FOR UPDATE: locking the rows a query gives.

mod exec;
mod locker;
mod node;

pub(crate) use exec::{LockRowsExec, LockRowsPlanner};
pub(crate) use locker::{LockSpec, Locker, plan_locks};
pub use node::{LockRowsNode, LockTarget};
