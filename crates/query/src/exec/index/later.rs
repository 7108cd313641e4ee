//! UNIQUE constraints that are DEFERRABLE: rows are written first and looked at later, so their entries contain the row's key
//! as those of any index do.
//!
//! 1. Every row written leaves an event. Whoever looks at it locks what would be the key of a unique index' entry, which no entry
//!    of such an index has, and keeps it until the transaction ends: of two transactions that write equal columns the second to
//!    look waits, and then sees the first.
//! 2. Rows found beside the one written may be about to go: each is locked before it counts.

use std::collections::HashSet;

use bytes::Bytes;
use heliosdb_contracts::{
    IsolationLevel, KeyRange, LockedRow, RangeRequest, ReadContext, RowHint, RowLockMode, RowSink,
};
use heliosdb_types::{CommandId, Datum, DatumRef, Error, Oid, Result, SqlState, TxnId, text_of};

use super::entry::{ENTRY_ROW, tree_key};
use crate::catalog::{IndexInfo, Relation, TableInfo};
use crate::exec::scope::StatementScope;
use crate::pg_catalog::quote_identifier;

/// The two last bytes of a key, which its longer keys do not share.
const TERMINATOR: usize = 2;

/// A row whose columns another row must not have.
#[derive(Clone, Debug)]
pub(crate) struct UniqueEvent {
    pub table: Oid,
    pub index: Oid,
    /// What SET CONSTRAINTS calls it.
    pub constraint: Oid,
    /// The entry's columns.
    pub columns: Bytes,
    pub command: CommandId,
}

/// 23505 if two rows have the columns of an event. All events are of this index.
pub(crate) async fn check_unique(
    scope: &StatementScope,
    txn: TxnId,
    relation: &Relation,
    index: &IndexInfo,
    events: &[UniqueEvent],
) -> Result<()> {
    let table = relation.table().ok_or_else(|| Error::internal("an index of no table"))?;
    let tree = table.index_tree(index);
    let mut seen = HashSet::new();
    for event in events {
        if !seen.insert(event.columns.clone()) {
            continue;
        }
        let locked = tree_key(&event.columns);
        tokio::select! {
            biased;
            () = scope.cancel.cancelled() => return Err(scope.cancel.error()),
            claimed = scope.shard.claim(txn, tree, locked.clone(), scope.lock_wait) => {
                if !claimed? {
                    return Err(Error::corrupt(format!("index \"{}\" has an entry without its row", index.name)));
                }
            }
        }
        let prefix = locked.get(..locked.len().saturating_sub(TERMINATOR)).unwrap_or(&[]);
        let mut held: HashSet<Bytes> = HashSet::new();
        loop {
            // Whoever gave up the lock may not be visible yet.
            scope.shard.settle_all().await?;
            let context = newest(scope, txn);
            let rows = rows_of(scope, &context, table, index, prefix)?;
            let [first, _, ..] = rows.as_slice() else { break };
            if rows.iter().all(|row| held.contains(row)) {
                return Err(duplicate(scope, &context, relation, table, index, first)?);
            }
            let keys = rows.clone();
            let locking = scope.shard.lock_rows(&context, table.tree.tree, keys, RowLockMode::Share, scope.lock_wait);
            let states = tokio::select! {
                biased;
                () = scope.cancel.cancelled() => return Err(scope.cancel.error()),
                states = locking => states?,
            };
            held.extend(
                rows.into_iter().zip(states).filter(|(_, s)| !matches!(s, LockedRow::Gone)).map(|(row, _)| row),
            );
        }
    }
    Ok(())
}

/// What is there now, the transaction's own writes included.
fn newest(scope: &StatementScope, txn: TxnId) -> ReadContext {
    ReadContext {
        txn: Some(txn),
        command: CommandId(u32::MAX),
        snapshot: scope.shard.snapshot(scope.read.snapshot.branch),
        isolation: IsolationLevel::ReadCommitted,
    }
}

/// The keys of the rows that have an entry's columns.
fn rows_of(
    scope: &StatementScope,
    context: &ReadContext,
    table: &TableInfo,
    index: &IndexInfo,
    prefix: &[u8],
) -> Result<Vec<Bytes>> {
    let tree = table.index_tree(index);
    let (range, projection) = (KeyRange::prefix(prefix), vec![ENTRY_ROW]);
    let request = RangeRequest { tree, range, projection, keys: false };
    let mut cursor = scope.shard.range(context, &request)?;
    let mut rows = Vec::new();
    let mut sink = |_: &[u8], values: &[DatumRef<'_>], _: RowHint| match values.first() {
        Some(DatumRef::Bytes(row)) => {
            rows.push(Bytes::copy_from_slice(row));
            Ok(())
        }
        _ => Err(Error::corrupt("an index entry without its row")),
    };
    while cursor.next(&mut sink)? {}
    Ok(rows)
}

fn duplicate(
    scope: &StatementScope,
    context: &ReadContext,
    relation: &Relation,
    table: &TableInfo,
    index: &IndexInfo,
    row: &[u8],
) -> Result<Error> {
    let attributes = index.key_attributes().unwrap_or_default();
    let columns = attributes.iter().filter_map(|at| relation.columns.iter().find(|column| column.attribute == *at));
    let columns: Vec<_> = columns.collect();
    let ids: Vec<_> = columns.iter().map(|column| column.id).collect();
    let mut values = Values(Vec::new());
    scope.shard.get(context, table.tree.tree, row, &ids, &mut values)?;
    let names: Vec<String> = columns.iter().map(|column| quote_identifier(&column.name)).collect();
    let shown = columns.iter().zip(&values.0).map(|(column, value)| match value {
        Datum::Null => "null".to_owned(),
        value => text_of(value.as_ref(), &column.sql_type, &scope.text),
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    let message = format!("duplicate key value violates unique constraint \"{}\"", index.name);
    Ok(Error::conflict(SqlState::UNIQUE_VIOLATION, message)
        .with_detail(format!("Key ({})=({shown}) already exists.", names.join(", ")))
        .with_table(relation.name.as_str())
        .with_constraint(index.name.as_str()))
}

/// Takes one row's values.
struct Values(Vec<Datum>);

impl RowSink for Values {
    fn row(&mut self, values: &[DatumRef<'_>], _reference: RowHint) -> Result<()> {
        self.0 = values.iter().map(|value| value.to_owned()).collect();
        Ok(())
    }
}
