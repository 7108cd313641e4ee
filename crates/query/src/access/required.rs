//! What a statement needs of the relations it names.

use std::collections::{BTreeMap, BTreeSet};

use heliosdb_types::Oid;

use crate::catalog::Privileges;

/// The use of one relation by one role. SELECT, INSERT and UPDATE may also be granted on each of the columns listed; a SELECT
/// that lists none (`count(*)`) needs the privilege on any column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Required {
    pub relation: Oid,
    /// Whose privileges count: a view's owner, or (`None`) whoever runs the statement.
    pub as_role: Option<Oid>,
    pub privileges: Privileges,
    pub selected: BTreeSet<i16>,
    pub inserted: BTreeSet<i16>,
    pub updated: BTreeSet<i16>,
}

/// The list under construction: one entry for each relation and role.
#[derive(Debug, Default)]
pub(crate) struct RequiredSet {
    entries: BTreeMap<(Oid, Option<Oid>), Required>,
}

impl RequiredSet {
    pub fn entry(&mut self, relation: Oid, as_role: Option<Oid>) -> &mut Required {
        let entry = self.entries.entry((relation, as_role)).or_default();
        (entry.relation, entry.as_role) = (relation, as_role);
        entry
    }

    pub fn list(&self) -> Vec<Required> {
        self.entries.values().cloned().collect()
    }
}
