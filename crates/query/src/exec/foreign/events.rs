//! What a statement leaves to its session: checks for later, and what became of referenced keys.

use std::collections::HashMap;

use bytes::Bytes;
use heliosdb_types::{CommandId, Datum, Error, Oid, Result, SqlState};
use parking_lot::Mutex;

use crate::catalog::{ForeignKey, IndexInfo, ReferentialAction};
use crate::exec::index::UniqueEvent;

/// Memory the events of one transaction may take.
const EVENT_BYTES_MAX: usize = 256 << 20;

/// SET CONSTRAINTS, for the transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConstraintModes {
    pub all: Option<bool>,
    pub named: HashMap<Oid, bool>,
}

impl ConstraintModes {
    pub fn is_deferred(&self, key: &ForeignKey) -> bool {
        key.deferrable && self.set(key.oid).unwrap_or(key.initially_deferred)
    }

    /// The same for a UNIQUE constraint.
    pub fn is_unique_deferred(&self, index: &IndexInfo) -> bool {
        let set = index.constraint.and_then(|constraint| self.set(constraint)).or(self.all);
        index.deferrable.is_some_and(|kind| set.unwrap_or(kind.initially_deferred))
    }

    fn set(&self, constraint: Oid) -> Option<bool> {
        self.named.get(&constraint).copied().or(self.all)
    }
}

/// A child row whose parent is to be looked for later.
#[derive(Clone, Debug)]
pub(crate) struct ChildEvent {
    pub child: Oid,
    pub constraint: Oid,
    pub row: Bytes,
    pub command: CommandId,
}

/// A referenced key that is gone, or has become another one.
#[derive(Clone, Debug)]
pub(crate) struct ParentEvent {
    pub parent: Oid,
    pub child: Oid,
    pub constraint: Oid,
    pub old: Vec<Datum>,
    /// Set by UPDATE.
    pub new: Option<Vec<Datum>>,
    pub command: CommandId,
}

impl ParentEvent {
    pub fn action(&self, key: &ForeignKey) -> ReferentialAction {
        if self.new.is_some() { key.on_update } else { key.on_delete }
    }
}

/// Filled by a statement's writers.
#[derive(Debug, Default)]
pub struct References {
    pub(crate) modes: ConstraintModes,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    children: Vec<ChildEvent>,
    /// Checks for the end of the statement.
    at_end: Vec<ChildEvent>,
    parents: Vec<ParentEvent>,
    unique: Vec<UniqueEvent>,
    bytes: usize,
}

impl References {
    /// Nothing was left to the session.
    pub(crate) fn is_empty(&self) -> bool {
        let Queue { children, at_end, parents, unique, bytes: _ } = &*self.queue.lock();
        children.is_empty() && at_end.is_empty() && parents.is_empty() && unique.is_empty()
    }
}

impl Queue {
    fn grow(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes;
        if self.bytes <= EVENT_BYTES_MAX {
            return Ok(());
        }
        Err(Error::unavailable(SqlState::OUT_OF_MEMORY, "too many constraint checks are pending in this statement")
            .with_hint("Write fewer rows at once, or SET CONSTRAINTS ALL IMMEDIATE."))
    }
}

impl References {
    pub(crate) fn with_modes(modes: ConstraintModes) -> References {
        References { modes, queue: Mutex::default() }
    }

    pub(crate) fn child(&self, event: ChildEvent) -> Result<()> {
        let mut queue = self.queue.lock();
        queue.grow(size_of::<ChildEvent>() + event.row.len())?;
        queue.children.push(event);
        Ok(())
    }

    /// A row whose uniqueness is to be looked at later.
    pub(crate) fn unique(&self, event: UniqueEvent) -> Result<()> {
        let mut queue = self.queue.lock();
        queue.grow(size_of::<UniqueEvent>() + event.columns.len())?;
        queue.unique.push(event);
        Ok(())
    }

    pub(crate) fn take_unique(&self, which: impl Fn(&UniqueEvent) -> bool) -> Vec<UniqueEvent> {
        let mut queue = self.queue.lock();
        let (taken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut queue.unique).into_iter().partition(|event| which(event));
        // A COPY looks at its rows batch by batch, however many there are.
        let bytes = taken.iter().map(|event| size_of::<UniqueEvent>() + event.columns.len()).sum::<usize>();
        queue.bytes = queue.bytes.saturating_sub(bytes);
        queue.unique = left;
        taken
    }

    /// A parent that another part of the statement may still make.
    pub(crate) fn child_at_end(&self, event: ChildEvent) -> Result<()> {
        let mut queue = self.queue.lock();
        queue.grow(size_of::<ChildEvent>() + event.row.len())?;
        queue.at_end.push(event);
        Ok(())
    }

    pub(crate) fn take_at_end(&self) -> Vec<ChildEvent> {
        std::mem::take(&mut self.queue.lock().at_end)
    }

    pub(crate) fn parent(&self, event: ParentEvent) -> Result<()> {
        let mut queue = self.queue.lock();
        let values = event.old.iter().chain(event.new.iter().flatten());
        let bytes = values.map(|value| size_of::<Datum>() + variable_bytes(value)).sum::<usize>();
        queue.grow(size_of::<ParentEvent>() + bytes)?;
        queue.parents.push(event);
        Ok(())
    }

    pub(crate) fn take(&self) -> (Vec<ChildEvent>, Vec<ParentEvent>) {
        let mut queue = self.queue.lock();
        let taken = (std::mem::take(&mut queue.children), std::mem::take(&mut queue.parents));
        if queue.at_end.is_empty() && queue.unique.is_empty() {
            queue.bytes = 0;
        }
        taken
    }
}

fn variable_bytes(value: &Datum) -> usize {
    match value {
        Datum::Text(text) => text.len(),
        Datum::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}
