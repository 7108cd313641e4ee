//! What the shard must hold: every committed state, which of them are visible, and what open transactions have written.

use std::collections::BTreeMap;
use std::sync::Arc;

use heliosdb_contracts::TreeDescriptorRef;
use heliosdb_types::{CommandId, CommitTs, TxnId};

use crate::support::{Rows, row_bytes};

#[derive(Clone, Debug, PartialEq)]
pub struct TreeModel {
    pub descriptor: TreeDescriptorRef,
    pub rows: Arc<Rows>,
}

/// Trees by number.
pub type State = BTreeMap<u64, TreeModel>;

/// What a transaction made of keys: a value, or nothing.
pub type Writes = BTreeMap<(u64, i64), Option<i64>>;

#[derive(Debug)]
pub struct OpenTxn {
    pub id: TxnId,
    pub command: u32,
    pub writes: Writes,
    /// Open savepoints: their command, and the writes before.
    pub marks: Vec<(CommandId, Writes)>,
}

impl OpenTxn {
    pub fn new(id: TxnId) -> OpenTxn {
        OpenTxn { id, command: 0, writes: Writes::new(), marks: Vec::new() }
    }

    pub fn next_command(&mut self) -> CommandId {
        self.command += 1;
        CommandId(self.command - 1)
    }
}

struct Commit {
    ts: CommitTs,
    after: Arc<State>,
}

/// Committed states in log order. Up to `visible` they are acknowledged or may be; those after are in flight.
pub struct Model {
    commits: Vec<Commit>,
    visible: usize,
    /// What was visible before it last moved: everything up to here was written to the log in earlier groups.
    proven: usize,
}

impl Default for Model {
    fn default() -> Model {
        Model { commits: vec![Commit { ts: CommitTs::ZERO, after: Arc::default() }], visible: 0, proven: 0 }
    }
}

impl Model {
    pub fn visible(&self) -> &Arc<State> {
        &self.commits[self.visible].after
    }

    pub fn latest(&self) -> &Arc<State> {
        &self.commits.last().expect("the first is never removed").after
    }

    /// The state a snapshot sees.
    pub fn at(&self, ts: CommitTs) -> Arc<State> {
        let upto = self.commits.partition_point(|commit| commit.ts <= ts);
        self.commits[upto - 1].after.clone()
    }

    /// A commit was appended to the log.
    pub fn appended(&mut self, ts: CommitTs, after: State) {
        let last = self.commits.last().expect("the first is never removed").ts;
        assert!(ts > last, "commit timestamps ascend: {ts} after {last}");
        self.commits.push(Commit { ts, after: Arc::new(after) });
    }

    /// The shard says that everything up to `ts` is visible.
    pub fn settle(&mut self, ts: CommitTs) {
        let visible = self.commits.partition_point(|commit| commit.ts <= ts) - 1;
        assert!(visible >= self.visible, "what was visible is not any more");
        if visible > self.visible {
            (self.proven, self.visible) = (self.visible, visible);
        }
    }

    /// A restart found `matches`; it must be what was visible or something in flight after it. With `damaged_end` what the
    /// log wrote last may be gone: nothing tells a flipped bit there from a write that power loss has torn.
    pub fn recovered(&mut self, damaged_end: bool, matches: impl Fn(&State) -> bool) -> Result<(), String> {
        let first = if damaged_end { self.proven } else { self.visible };
        let found = (first..self.commits.len()).find(|&at| matches(&self.commits[at].after));
        let found = found.ok_or_else(|| {
            let lost = (0..first).rev().find(|&at| matches(&self.commits[at].after));
            let what = lost.map_or_else(
                || "no state that ever was".to_owned(),
                |at| format!("a state {} commits before what was acknowledged", self.visible - at),
            );
            format!("a restart found {what}; {} commits were in flight", self.commits.len() - 1 - self.visible)
        })?;
        self.commits.truncate(found + 1);
        (self.visible, self.proven) = (found, found);
        Ok(())
    }

    /// The state `writes` leave when they are committed now.
    pub fn after(&self, writes: &Writes) -> State {
        overlaid(self.latest(), writes)
    }
}

/// A state with some writes on top.
pub fn overlaid(state: &State, writes: &Writes) -> State {
    let mut after = state.clone();
    for (&(tree, key), &value) in writes {
        let rows = Arc::make_mut(&mut after.get_mut(&tree).expect("only trees that exist are written").rows);
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }
    after
}

/// Rows of a state, and their bytes, about.
pub fn size(state: &State) -> (u64, u64) {
    let rows = state.values().flat_map(|tree| tree.rows.values());
    rows.fold((0, 0), |(count, bytes), &value| (count + 1, bytes + row_bytes(value)))
}
