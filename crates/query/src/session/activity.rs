//! Who is connected and what they run: behind `pg_stat_activity`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use heliosdb_contracts::LockOwner;
use heliosdb_types::{Oid, TxnId};
use parking_lot::Mutex;

use super::CancelSlot;
use crate::exec::TierMark;

/// One session as others see it.
#[derive(Clone)]
pub(crate) struct Activity {
    pub pid: i32,
    /// Whose locks its locks are.
    pub owner: LockOwner,
    pub canceller: Arc<CancelSlot>,
    pub user: (Oid, String),
    pub database: (Oid, String),
    pub application_name: String,
    pub peer: Option<SocketAddr>,
    pub backend_start_micros: i64,
    pub xact_start_micros: Option<i64>,
    pub query_start_micros: Option<i64>,
    pub state_change_micros: i64,
    /// `active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`.
    pub state: &'static str,
    pub query: Arc<str>,
    /// As `pg_stat_statements` numbers it.
    pub query_id: Option<i64>,
    /// The transaction's number at the shard, once it has one.
    pub xid: Option<TxnId>,
    /// What it has counted of tables and indexes.
    pub tier: TierMark,
}

/// All sessions of an engine.
#[derive(Default)]
pub(crate) struct Sessions {
    /// Each with a lock of its own: sessions write theirs with every statement.
    entries: Mutex<(u64, Entries)>,
}

type Entries = BTreeMap<u64, Arc<Mutex<Activity>>>;

/// A session's place among them; leaves with it.
pub(crate) struct Seat {
    sessions: Arc<Sessions>,
    id: u64,
    activity: Arc<Mutex<Activity>>,
}

impl Sessions {
    pub fn join(self: &Arc<Self>, activity: Activity) -> Seat {
        let mut entries = self.entries.lock();
        entries.0 += 1;
        let id = entries.0;
        let activity = Arc::new(Mutex::new(activity));
        entries.1.insert(id, Arc::clone(&activity));
        Seat { sessions: Arc::clone(self), id, activity }
    }

    pub fn list(&self) -> Vec<Activity> {
        self.entries.lock().1.values().map(|activity| activity.lock().clone()).collect()
    }

    /// The session with this process id.
    pub fn find(&self, pid: i32) -> Option<Activity> {
        self.entries
            .lock()
            .1
            .values()
            .map(|activity| activity.lock())
            .find(|activity| activity.pid == pid)
            .map(|found| found.clone())
    }

    pub fn count(&self) -> usize {
        self.entries.lock().1.len()
    }
}

impl Seat {
    pub fn update(&self, change: impl FnOnce(&mut Activity)) {
        change(&mut self.activity.lock());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sessions.entries.lock().1.remove(&self.id);
    }
}
