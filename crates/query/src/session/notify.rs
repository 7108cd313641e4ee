//! LISTEN, NOTIFY and UNLISTEN.
//!
//! Invariants: what a transaction says, and what it begins or ceases to listen to, counts from its commit on, and not at all
//! if it, or the savepoint it was said after, is rolled back. The same notification said twice in a transaction arrives once.
//! All listeners of a database get notifications in one order, the order of commits as far as one commit waited for the
//! other. A session takes them between its transactions. Queues are bounded: a commit whose notifications do not fit one of
//! its listeners' queues fails.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use heliosdb_contracts::Notification;
use heliosdb_types::{CommandId, DatabaseId, Error, Result, SqlState};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Session;

/// What one session may have waiting, and what one transaction may say.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// What a notification takes beside its texts.
const NOTIFICATION_BYTES: usize = 64;
/// PostgreSQL's limits.
const CHANNEL_BYTES_MAX: usize = 63;
const PAYLOAD_BYTES_MAX: usize = 7999;

/// Who listens to what, in all databases.
#[derive(Default)]
pub(crate) struct Channels {
    listeners: Mutex<Listeners>,
}

/// By session number.
type Listeners = HashMap<(DatabaseId, Arc<str>), BTreeMap<u64, Arc<Listener>>>;

/// A session's queue.
#[derive(Default)]
pub(crate) struct Listener {
    queue: Mutex<(VecDeque<Notification>, usize)>,
    arrived: Notify,
}

impl Listener {
    fn room(&self, bytes: usize) -> bool {
        self.queue.lock().1.saturating_add(bytes) <= QUEUE_BYTES_MAX
    }

    fn push(&self, notification: Notification) {
        let mut queue = self.queue.lock();
        queue.1 += bytes_of(&notification.channel, &notification.payload);
        queue.0.push_back(notification);
        drop(queue);
        self.arrived.notify_one();
    }

    fn take(&self) -> Vec<Notification> {
        let mut queue = self.queue.lock();
        queue.1 = 0;
        queue.0.drain(..).collect()
    }

    fn used(&self) -> f64 {
        self.queue.lock().1 as f64 / QUEUE_BYTES_MAX as f64
    }

    async fn wait(&self) {
        loop {
            let arrived = self.arrived.notified();
            if !self.queue.lock().0.is_empty() {
                return;
            }
            arrived.await;
        }
    }
}

fn bytes_of(channel: &str, payload: &str) -> usize {
    channel.len() + payload.len() + NOTIFICATION_BYTES
}

fn too_many() -> Error {
    Error::unavailable(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many notifications in the NOTIFY queue")
}

impl Channels {
    /// How full the fullest queue is (`pg_notification_queue_usage`).
    pub fn usage(&self) -> f64 {
        let listeners = self.listeners.lock();
        listeners.values().flat_map(BTreeMap::values).map(|listener| listener.used()).fold(0.0, f64::max)
    }

    /// Whether everybody concerned can take these.
    fn check_room(&self, database: DatabaseId, said: &[(Arc<str>, Arc<str>)]) -> Result<()> {
        let listeners = self.listeners.lock();
        let mut wanted: HashMap<u64, (usize, &Arc<Listener>)> = HashMap::new();
        for (channel, payload) in said {
            for (session, listener) in listeners.get(&(database, Arc::clone(channel))).into_iter().flatten() {
                wanted.entry(*session).or_insert((0, listener)).0 += bytes_of(channel, payload);
            }
        }
        if wanted.values().all(|(bytes, listener)| listener.room(*bytes)) { Ok(()) } else { Err(too_many()) }
    }

    fn publish(&self, database: DatabaseId, pid: i32, said: Vec<(Arc<str>, Arc<str>)>) {
        // Held throughout, so that all see one order.
        let listeners = self.listeners.lock();
        for (channel, payload) in said {
            for listener in listeners.get(&(database, Arc::clone(&channel))).into_iter().flat_map(BTreeMap::values) {
                let (channel, payload) = (Arc::clone(&channel), Arc::clone(&payload));
                listener.push(Notification { pid, channel, payload });
            }
        }
    }

    fn listen(&self, database: DatabaseId, channel: &Arc<str>, session: u64, listener: &Arc<Listener>) {
        let mut listeners = self.listeners.lock();
        listeners.entry((database, Arc::clone(channel))).or_default().insert(session, Arc::clone(listener));
    }

    fn unlisten(&self, database: DatabaseId, channel: &Arc<str>, session: u64) {
        let mut listeners = self.listeners.lock();
        let key = (database, Arc::clone(channel));
        if let Some(all) = listeners.get_mut(&key) {
            all.remove(&session);
            if all.is_empty() {
                listeners.remove(&key);
            }
        }
    }
}

/// What a transaction has said so far. Shared with `pg_notify`, which runs inside statements.
#[derive(Default)]
pub(crate) struct Said {
    /// Each with the command that said it; `None`: the running one.
    entries: Vec<(Option<CommandId>, Arc<str>, Arc<str>)>,
    seen: HashSet<(Arc<str>, Arc<str>)>,
    bytes: usize,
}

impl Said {
    pub fn add(&mut self, channel: &str, payload: &str) -> Result<()> {
        check_channel(channel)?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "payload string too long"));
        }
        let (channel, payload): (Arc<str>, Arc<str>) = (channel.into(), payload.into());
        if !self.seen.insert((Arc::clone(&channel), Arc::clone(&payload))) {
            return Ok(());
        }
        self.bytes += bytes_of(&channel, &payload);
        if self.bytes > QUEUE_BYTES_MAX {
            return Err(too_many());
        }
        self.entries.push((None, channel, payload));
        Ok(())
    }

    fn stamp(&mut self, command: CommandId) {
        // Those without are the last ones.
        for entry in self.entries.iter_mut().rev().take_while(|entry| entry.0.is_none()) {
            entry.0 = Some(command);
        }
    }

    fn back_to(&mut self, from: CommandId) {
        self.entries.retain(|(command, _, _)| command.is_some_and(|command| command < from));
        self.seen = self.entries.iter().map(|(_, channel, payload)| (channel.clone(), payload.clone())).collect();
        self.bytes = self.seen.iter().map(|(channel, payload)| bytes_of(channel, payload)).sum();
    }

    fn take(&mut self) -> Vec<(Arc<str>, Arc<str>)> {
        let said = std::mem::take(self);
        said.entries.into_iter().map(|(_, channel, payload)| (channel, payload)).collect()
    }
}

fn check_channel(channel: &str) -> Result<()> {
    let wrong = match channel.len() {
        0 => "channel name cannot be empty",
        len if len > CHANNEL_BYTES_MAX => "channel name too long",
        _ => return Ok(()),
    };
    Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, wrong))
}

/// LISTEN and UNLISTEN of a transaction, to be done when it commits.
#[derive(Clone, Debug)]
pub(crate) enum Listening {
    To(Arc<str>),
    NoMore(Arc<str>),
    ToNothing,
}

/// A session's part in all this.
#[derive(Default)]
pub(crate) struct Ears {
    listener: Arc<Listener>,
    /// The channels listened to, in the order of LISTEN; facts show them.
    pub channels: Arc<Mutex<Vec<Arc<str>>>>,
    pub said: Arc<Mutex<Said>>,
    wishes: Vec<(CommandId, Listening)>,
}

impl Session {
    pub(super) fn listen(&mut self, wish: Listening) -> Result<()> {
        if let Listening::To(channel) = &wish {
            check_channel(channel)?;
        }
        let command = self.open_transaction()?.command;
        self.ears.wishes.push((command, wish));
        self.next_command();
        Ok(())
    }

    pub(super) fn notify(&mut self, channel: &str, payload: &str) -> Result<()> {
        let command = self.open_transaction()?.command;
        let mut said = self.ears.said.lock();
        said.add(channel, payload)?;
        said.stamp(command);
        drop(said);
        self.next_command();
        Ok(())
    }

    /// A statement has ended: what it said belongs to its command.
    pub(super) fn take_said(&mut self) {
        let mut said = self.ears.said.lock();
        if said.entries.last().is_some_and(|entry| entry.0.is_none()) {
            let next = self.state.open().map_or(1, |transaction| transaction.command.0);
            said.stamp(CommandId(next.saturating_sub(1)));
        }
    }

    /// Before a commit: whether its notifications can be delivered.
    pub(super) fn check_said(&self) -> Result<()> {
        let said = self.ears.said.lock();
        if said.entries.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = said.entries.iter().map(|(_, channel, payload)| (channel.clone(), payload.clone())).collect();
        self.engine.channels.check_room(self.database.id, &all)
    }

    /// The transaction has committed.
    pub(super) fn said_after_commit(&mut self) {
        for (_, wish) in std::mem::take(&mut self.ears.wishes) {
            match wish {
                Listening::To(channel) => self.listen_now(channel),
                Listening::NoMore(channel) => self.unlisten_now(|other| *other == channel),
                Listening::ToNothing => self.unlisten_now(|_| true),
            }
        }
        let said = self.ears.said.lock().take();
        if !said.is_empty() {
            self.engine.channels.publish(self.database.id, self.pid, said);
        }
    }

    /// The transaction was rolled back, or part of it, from a command on.
    pub(super) fn said_after_rollback(&mut self, from: CommandId) {
        self.ears.wishes.retain(|(command, _)| *command < from);
        let mut said = self.ears.said.lock();
        if !said.entries.is_empty() {
            said.back_to(from);
        }
    }

    fn listen_now(&mut self, channel: Arc<str>) {
        let mut channels = self.ears.channels.lock();
        if !channels.contains(&channel) {
            self.engine.channels.listen(self.database.id, &channel, self.temp_number, &self.ears.listener);
            channels.push(channel);
        }
    }

    pub(super) fn unlisten_now(&mut self, which: impl Fn(&Arc<str>) -> bool) {
        let mut channels = self.ears.channels.lock();
        channels.retain(|channel| {
            let ends = which(channel);
            if ends {
                self.engine.channels.unlisten(self.database.id, channel, self.temp_number);
            }
            !ends
        });
    }

    /// What has arrived; nothing inside a transaction.
    pub(super) fn arrived(&mut self) -> Vec<Notification> {
        match self.session_status() {
            heliosdb_contracts::TransactionStatus::Idle => {
                let mut arrived = self.ears.listener.take();
                let channels = self.ears.channels.lock();
                // It may have ceased to listen since.
                arrived.retain(|notification| channels.contains(&notification.channel));
                arrived
            }
            _ => Vec::new(),
        }
    }

    /// Resolves when something has arrived that may be told now; `None`: nothing will.
    pub(super) fn arriving(&self) -> Option<futures::future::BoxFuture<'static, ()>> {
        let idle = self.session_status() == heliosdb_contracts::TransactionStatus::Idle;
        if !idle || self.ears.channels.lock().is_empty() {
            return None;
        }
        let listener = Arc::clone(&self.ears.listener);
        Some(Box::pin(async move { listener.wait().await }))
    }
}
