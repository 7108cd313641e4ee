//! Rows of the short path that an index names: few, so that reading them is less than planning would be.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use datafusion::common::Result as DfResult;
use datafusion::datasource::source_as_provider;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, TableScan as ScanNode};
use heliosdb_contracts::{ScanRequest, TableScan};
use heliosdb_types::{Error, Result};

use super::range::ROWS_MAX;
use super::step::assemble;
use crate::catalog::Relation;
use crate::exec::error::to_datafusion;
use crate::exec::index::{KeyedScan, Wanted, bare, cheapest, split};
use crate::exec::scope::StatementScope;
use crate::exec::table::HeliosTable;
use crate::statistics::index_oid;

/// Rows of a table by their keys, which were found when the statement was compiled: in the same snapshot as it reads.
pub(super) struct FoundRows {
    relation: Arc<Relation>,
    keys: Vec<Bytes>,
    index: String,
    /// Positions in the table's columns; one past them is the row reference.
    projection: Vec<usize>,
}

/// The rows a scan comes down to, if an index names them and they are few. `filters` still decide about each.
pub(super) fn found_rows(scan: &ScanNode, filters: &[&Expr], session: &SessionState) -> DfResult<Option<FoundRows>> {
    if !scan.filters.is_empty() || scan.fetch.is_some() || filters.is_empty() {
        return Ok(None);
    }
    let provider = source_as_provider(&scan.source)?;
    let Some(table) = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<HeliosTable>() else {
        return Ok(None);
    };
    if table.keys().keys.is_empty() {
        return Ok(None);
    }
    let Ok(scope) = StatementScope::of(session.config()) else { return Ok(None) };
    let relation = table.relation();
    let mut parts = Vec::new();
    filters.iter().for_each(|filter| split(filter, &mut parts));
    let conjuncts: Vec<Expr> = parts.into_iter().map(|part| bare(part.clone())).collect();
    let conditions = table.keys().conditions(relation, &conjuncts);
    if conditions.is_empty() {
        return Ok(None);
    }
    let wanted = Wanted {
        relation,
        keys: table.keys(),
        conjuncts: &conjuncts,
        conditions: &conditions,
        snapshot: scope.read.snapshot.ts,
    };
    let found = cheapest(&*scope.shard, &scope.read, &wanted, ROWS_MAX).map_err(to_datafusion)?;
    let all = || (0..datafusion::catalog::TableProvider::schema(table).fields().len()).collect();
    Ok(found.map(|found| FoundRows {
        relation: Arc::clone(relation),
        keys: found.keys,
        index: found.index,
        projection: scan.projection.clone().unwrap_or_else(all),
    }))
}

impl FoundRows {
    pub(super) fn read(&self, scope: &StatementScope) -> Result<RecordBatch> {
        let table = self.relation.table().ok_or_else(|| Error::internal("a read of no table"))?;
        let stored = self.projection.iter().filter_map(|&at| self.relation.columns.get(at));
        let request = ScanRequest {
            tree: table.tree.tree,
            projection: stored.map(|column| column.id).collect(),
            predicates: Vec::new(),
            row_refs: self.projection.iter().any(|&at| at >= self.relation.columns.len()),
            limit: None,
            target_partitions: 1,
            batch_rows: ROWS_MAX,
        };
        let scan = KeyedScan::new(Arc::clone(&scope.shard), &scope.read, &self.relation, &request, self.keys.clone())?;
        let batch = scan.open(0)?.next_batch()?;
        let batch = batch.unwrap_or_else(|| RecordBatch::new_empty(scan.schema()));
        if let Some(index) = index_oid(&self.relation, &self.index) {
            scope.tier.tally().found(self.relation.oid, index, 1, batch.num_rows() as i64);
        }
        let mut next = 0;
        let places = self.projection.iter().map(|&at| {
            if at >= self.relation.columns.len() {
                return request.projection.len();
            }
            next += 1;
            next - 1
        });
        let column = |at: usize| batch.columns().get(at).cloned();
        let columns = places.map(column).collect::<Option<Vec<_>>>();
        assemble(columns.ok_or_else(|| Error::internal("a scan of other columns"))?, batch.num_rows())
    }
}
