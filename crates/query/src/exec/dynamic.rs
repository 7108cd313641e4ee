//! Filters that appear while a plan runs: a hash join that has built its table tells the scan of its other side what can
//! match at all.
//!
//! What is a range or a list of one column becomes a predicate of the shard's scan, which skips blocks by it; the rest (a
//! look-up in the join's own table) is evaluated on the scan's batches as long as it pays. The join still decides: these
//! filters only ever remove rows that could not have matched.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, InListExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;
use heliosdb_contracts::{ColumnPredicate, PredicateOp};
use heliosdb_types::{ColumnId, Error, PhysicalType, Result};

use super::error::{from_arrow, from_datafusion};
use super::pushdown::{compare_op, datum};
use crate::catalog::Relation;

/// Rows looked at before deciding whether a filter pays.
const TRIAL_ROWS: usize = 32 * 1024;
/// A filter that keeps more than this share costs more than it saves.
const KEPT_MAX: f64 = 0.7;

/// The filters of one scan, as they are when it starts to read.
#[derive(Default)]
pub(super) struct Snapshot {
    /// For the shard.
    pub predicates: Vec<ColumnPredicate>,
    /// For the batches.
    pub rest: Vec<Arc<dyn PhysicalExpr>>,
    /// Nothing can match: the other side of the join is empty.
    pub nothing: bool,
}

impl Snapshot {
    /// `schema` is the scan's output, which the filters' columns are positions in.
    pub(super) fn take(filters: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef, relation: &Relation) -> Result<Snapshot> {
        let mut out = Snapshot::default();
        for filter in filters {
            let now = snapshot_physical_expr(Arc::clone(filter)).map_err(from_datafusion)?;
            out.collect(&now, schema, relation);
        }
        Ok(out)
    }

    fn collect(&mut self, expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef, relation: &Relation) {
        if let Some(and) = expr.downcast_ref::<BinaryExpr>().filter(|e| *e.op() == Operator::And) {
            self.collect(and.left(), schema, relation);
            self.collect(and.right(), schema, relation);
            return;
        }
        if let Some(literal) = expr.downcast_ref::<Literal>() {
            self.nothing |= !matches!(literal.value(), ScalarValue::Boolean(Some(true)));
            return;
        }
        match predicate(expr, schema, relation) {
            Some(predicate) => self.predicates.push(predicate),
            None => {
                self.predicates.extend(columns_of_rows(expr, schema, relation));
                self.rest.push(Arc::clone(expr));
            }
        }
    }
}

fn predicate(expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef, relation: &Relation) -> Option<ColumnPredicate> {
    let column = |expr| column_of(expr, schema, relation);
    let value = |expr: &Arc<dyn PhysicalExpr>, physical| datum(expr.downcast_ref::<Literal>()?.value(), physical);
    if let Some(compare) = expr.downcast_ref::<BinaryExpr>() {
        let (id, physical) = column(compare.left())?;
        let op = PredicateOp::Compare(compare_op(*compare.op())?, value(compare.right(), physical)?);
        return Some(ColumnPredicate { column: id, op });
    }
    let list = expr.downcast_ref::<InListExpr>().filter(|list| !list.negated())?;
    let (id, physical) = column(list.expr())?;
    // A NULL equals nothing.
    let null =
        |item: &&Arc<dyn PhysicalExpr>| item.downcast_ref::<Literal>().is_some_and(|item| item.value().is_null());
    let items = list.list().iter().filter(|item| !null(item));
    let values = items.map(|item| value(item, physical)).collect::<Option<Vec<_>>>()?;
    (!values.is_empty()).then_some(ColumnPredicate { column: id, op: PredicateOp::In(values) })
}

fn column_of(
    expr: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    relation: &Relation,
) -> Option<(ColumnId, PhysicalType)> {
    let column = expr.downcast_ref::<Column>()?;
    let (_, column) = relation.column(schema.fields().get(column.index())?.name())?;
    Some((column.id, column.sql_type.physical()?))
}

/// What `(a, b) IN (rows)` says of each column by itself: less than the whole, but what an index over them can use.
fn columns_of_rows(expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef, relation: &Relation) -> Vec<ColumnPredicate> {
    let Some(list) = expr.downcast_ref::<InListExpr>().filter(|list| !list.negated()) else { return Vec::new() };
    let Some(row) = list.expr().downcast_ref::<ScalarFunctionExpr>().filter(|call| call.name() == "struct") else {
        return Vec::new();
    };
    let predicate = |(at, part): (usize, &Arc<dyn PhysicalExpr>)| {
        let (id, physical) = column_of(part, schema, relation)?;
        let mut values = Vec::new();
        for item in list.list() {
            let ScalarValue::Struct(row) = item.downcast_ref::<Literal>()?.value() else { return None };
            let value = ScalarValue::try_from_array(row.columns().get(at)?, 0).ok()?;
            // A NULL equals nothing.
            if !value.is_null() {
                let value = datum(&value, physical)?;
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        (!values.is_empty()).then_some(ColumnPredicate { column: id, op: PredicateOp::In(values) })
    };
    row.args().iter().enumerate().filter_map(predicate).collect()
}

/// Evaluates filters on batches and gives up on those that keep nearly everything.
pub(super) struct BatchFilter {
    filters: Vec<Trial>,
}

struct Trial {
    expr: Arc<dyn PhysicalExpr>,
    seen: usize,
    kept: usize,
}

impl BatchFilter {
    pub(super) fn new(filters: Vec<Arc<dyn PhysicalExpr>>) -> BatchFilter {
        BatchFilter { filters: filters.into_iter().map(|expr| Trial { expr, seen: 0, kept: 0 }).collect() }
    }

    pub(super) fn apply(&mut self, mut batch: RecordBatch) -> Result<RecordBatch> {
        for trial in &mut self.filters {
            let keep = trial.expr.evaluate(&batch).and_then(|value| value.into_array(batch.num_rows()));
            let keep = keep.map_err(from_datafusion)?;
            let keep = keep.as_boolean_opt().ok_or_else(|| Error::internal("a filter is not boolean"))?;
            let kept = keep.true_count();
            trial.seen += batch.num_rows();
            trial.kept += kept;
            if kept < batch.num_rows() {
                batch = filter_record_batch(&batch, keep).map_err(from_arrow)?;
            }
        }
        self.filters.retain(|t| t.seen < TRIAL_ROWS || (t.kept as f64) <= t.seen as f64 * KEPT_MAX);
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field, Schema};
    use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, col, in_list, lit};
    use heliosdb_contracts::CompareOp;
    use heliosdb_types::{ColumnId, Datum, SqlType};

    use super::*;
    use crate::testing::relation;

    #[test]
    fn ranges_and_lists_go_to_the_shard_and_emptiness_ends_the_scan() {
        let table = relation("t", &[("a", SqlType::Text), ("b", SqlType::Int4)], &[]);
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("b", DataType::Int32, true)]));
        let b = || col("b", &schema).unwrap();
        let filter = Arc::new(DynamicFilterPhysicalExpr::new(vec![b()], lit(true)));
        let take = || {
            let filter = Arc::clone(&filter) as Arc<dyn PhysicalExpr>;
            Snapshot::take(&[filter], &schema, &table).unwrap()
        };
        let before = take();
        assert!(before.predicates.is_empty() && before.rest.is_empty() && !before.nothing);
        let compare = |op, value: i32| Arc::new(BinaryExpr::new(b(), op, lit(value))) as Arc<dyn PhysicalExpr>;
        let range = BinaryExpr::new(compare(Operator::GtEq, 3), Operator::And, compare(Operator::LtEq, 9));
        let list = in_list(b(), vec![lit(3), lit(9)], &false, &schema).unwrap();
        filter.update(Arc::new(BinaryExpr::new(Arc::new(range), Operator::And, list))).unwrap();
        let known = take();
        let op = |op, value| PredicateOp::Compare(op, Datum::Int32(value));
        let expected =
            [op(CompareOp::GtEq, 3), op(CompareOp::LtEq, 9), PredicateOp::In(vec![Datum::Int32(3), Datum::Int32(9)])];
        assert_eq!(known.predicates.iter().map(|p| p.op.clone()).collect::<Vec<_>>(), expected);
        assert!(known.predicates.iter().all(|p| p.column == ColumnId(2)));
        filter.update(lit(false)).unwrap();
        assert!(take().nothing);
    }

    #[test]
    fn a_filter_that_keeps_everything_is_given_up() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("b", DataType::Int32, true)]));
        let column = Arc::new(arrow_array::Int32Array::from_iter_values(0..8192));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        let less = |than: i32| {
            let b = col("b", &schema).unwrap();
            Arc::new(BinaryExpr::new(b, Operator::Lt, lit(than))) as Arc<dyn PhysicalExpr>
        };
        let mut filter = BatchFilter::new(vec![less(8000), less(10)]);
        for _ in 0..5 {
            assert_eq!(filter.apply(batch.clone()).unwrap().num_rows(), 10);
        }
        assert_eq!(filter.filters.len(), 1, "the first keeps 98 % of the rows");
    }
}
