//! Filters that appear while a plan runs: a hash join that has built its table tells the scan of its other side what can
//! match at all.
//!
//! What is a range, a list or a set of one column becomes a predicate of the shard's scan, which skips blocks by it and decodes
//! other columns of what is left only; the rest (a look-up of several columns in the join's own table) is evaluated on the
//! scan's batches as long as it pays. The join still decides: these
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
use heliosdb_contracts::{ColumnPredicate, CompareOp, PredicateOp, TableScan};
use heliosdb_types::{ColumnId, Error, KeySet, PhysicalType, Result};

use super::error::{from_arrow, from_datafusion};
use super::key_sets::{Span, key_set, only_column};
use super::packed_keys::{PackedKey, as_value};
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
    pub(super) fn take(
        filters: &[Arc<dyn PhysicalExpr>],
        schema: &SchemaRef,
        relation: &Relation,
        scan: &dyn TableScan,
    ) -> Result<Snapshot> {
        let mut out = Snapshot::default();
        for filter in filters {
            let now = snapshot_physical_expr(Arc::clone(filter)).map_err(from_datafusion)?;
            out.collect(&now, schema, relation);
        }
        if !out.nothing {
            out.ask_all(schema, relation, scan)?;
        }
        Ok(out)
    }

    /// Makes sets of what is left, where that pays.
    fn ask_all(&mut self, schema: &SchemaRef, relation: &Relation, scan: &dyn TableScan) -> Result<()> {
        let mut rest = Vec::new();
        for expr in std::mem::take(&mut self.rest) {
            match self.key_set_of(&expr, schema, relation, scan)? {
                Some((column, span, set)) => {
                    // The set says all that the ends of its span say.
                    let is_end =
                        |op: &PredicateOp| matches!(op, PredicateOp::Compare(CompareOp::GtEq | CompareOp::LtEq, _));
                    self.predicates.retain(|known| known.column != column || !span.complete || !is_end(&known.op));
                    self.predicates.push(ColumnPredicate { column, op: PredicateOp::Member(Arc::new(set)) });
                }
                None => rest.push(expr),
            }
        }
        self.rest = rest;
        Ok(())
    }

    fn key_set_of(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        schema: &SchemaRef,
        relation: &Relation,
        scan: &dyn TableScan,
    ) -> Result<Option<(ColumnId, Span, KeySet)>> {
        let Some(column) = only_column(expr) else { return Ok(None) };
        let Some(field) = schema.fields().get(column.index()) else { return Ok(None) };
        let Some((_, column)) = relation.column(field.name()) else { return Ok(None) };
        let ends = self.predicates.iter().filter(|known| known.column == column.id);
        let (mut low, mut high) = (None, None);
        for end in ends {
            match &end.op {
                PredicateOp::Compare(CompareOp::GtEq, value) => low = low.max(KeySet::number(&value.as_ref())),
                PredicateOp::Compare(CompareOp::LtEq, value) => {
                    high = [high, KeySet::number(&value.as_ref())].into_iter().flatten().min()
                }
                _ => {}
            }
        }
        let span = match (low, high) {
            (Some(low), Some(high)) => Some(Span { low, high, complete: true }),
            // A guess: what lies outside of it is let through.
            _ => scan.estimated_bounds(column.id).and_then(|(low, high)| {
                Some(Span {
                    low: KeySet::number(&low.as_ref())?,
                    high: KeySet::number(&high.as_ref())?,
                    complete: false,
                })
            }),
        };
        let Some(span) = span else { return Ok(None) };
        let set = key_set(expr, field.data_type(), span, scan.estimated_rows()).map_err(from_datafusion)?;
        Ok(set.map(|set| (column.id, span, set)))
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
        if let Some(ends) = ends_of_packed(expr, schema, relation) {
            self.predicates.extend(ends);
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

/// What the ends of several keys that are one number say of each key: where all of its values lie. A join tells both ends of its
/// keys, and who they are; so the ends of the number itself need not be asked.
fn ends_of_packed(
    expr: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    relation: &Relation,
) -> Option<Vec<ColumnPredicate>> {
    let compare = expr.downcast_ref::<BinaryExpr>()?;
    let key = compare.left().downcast_ref::<PackedKey>()?;
    match *compare.op() {
        Operator::GtEq => {}
        Operator::LtEq => return Some(Vec::new()),
        _ => return None,
    }
    let ends = key.parts().flat_map(|(part, least, greatest)| {
        let end = |op, value| {
            let (column, physical) = column_of(part, schema, relation)?;
            let value = datum(&as_value(value, &part.data_type(schema).ok()?)?, physical)?;
            Some(ColumnPredicate { column, op: PredicateOp::Compare(op, value) })
        };
        [end(CompareOp::GtEq, least), end(CompareOp::LtEq, greatest)]
    });
    Some(ends.flatten().collect())
}

/// What `(a, b) IN (rows)` says of each column by itself: less than the whole, but what an index over them can use.
fn columns_of_rows(expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef, relation: &Relation) -> Vec<ColumnPredicate> {
    let Some(list) = expr.downcast_ref::<InListExpr>().filter(|list| !list.negated()) else { return Vec::new() };
    if let Some(key) = list.expr().downcast_ref::<PackedKey>() {
        return columns_of_numbers(list, key, schema, relation);
    }
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

/// The same for keys that are one number.
fn columns_of_numbers(
    list: &InListExpr,
    key: &PackedKey,
    schema: &SchemaRef,
    relation: &Relation,
) -> Vec<ColumnPredicate> {
    let predicate = |(place, (part, ..)): (usize, (&Arc<dyn PhysicalExpr>, i64, i64))| {
        let (column, physical) = column_of(part, schema, relation)?;
        let kind = part.data_type(schema).ok()?;
        let mut values = Vec::new();
        for item in list.list() {
            // A NULL equals nothing.
            let Some(number) = PackedKey::number(item.downcast_ref::<Literal>()?.value())? else { continue };
            let value = datum(&as_value(key.part_of(number, place)?, &kind)?, physical)?;
            if !values.contains(&value) {
                values.push(value);
            }
        }
        (!values.is_empty()).then_some(ColumnPredicate { column, op: PredicateOp::In(values) })
    };
    key.parts().enumerate().filter_map(predicate).collect()
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

    /// A scan of a thousand rows with a column from 0 to 999.
    struct Thousand(ColumnId);

    impl TableScan for Thousand {
        fn schema(&self) -> SchemaRef {
            Arc::new(Schema::empty())
        }

        fn partition_count(&self) -> usize {
            1
        }

        fn open(&self, _: usize) -> Result<Box<dyn heliosdb_contracts::BatchReader>> {
            Err(Error::internal("not to be read"))
        }

        fn metrics(&self) -> Arc<heliosdb_contracts::ScanMetrics> {
            Arc::default()
        }

        fn estimated_rows(&self) -> u64 {
            1000
        }

        fn estimated_bytes(&self) -> u64 {
            1000
        }

        fn estimated_bounds(&self, column: ColumnId) -> Option<(Datum, Datum)> {
            (column == self.0).then_some((Datum::Int32(0), Datum::Int32(999)))
        }
    }

    #[test]
    fn look_ups_of_one_column_become_sets() {
        let table = relation("t", &[("a", SqlType::Int4), ("b", SqlType::Int4)], &[]);
        let schema: SchemaRef =
            Arc::new(Schema::new(vec![Field::new("b", DataType::Int32, true), Field::new("a", DataType::Int32, true)]));
        let column = |name: &str| col(name, &schema).unwrap();
        let compare = |name: &str, op, value: Arc<dyn PhysicalExpr>| {
            Arc::new(BinaryExpr::new(column(name), op, value)) as Arc<dyn PhysicalExpr>
        };
        let and = |a, b| Arc::new(BinaryExpr::new(a, Operator::And, b)) as Arc<dyn PhysicalExpr>;
        let either = |a, b| Arc::new(BinaryExpr::new(a, Operator::Or, b)) as Arc<dyn PhysicalExpr>;
        let take = |filter| Snapshot::take(&[filter], &schema, &table, &Thousand(ColumnId(2))).unwrap();
        // No predicate says this, so it stands for a join's look-up.
        let look_up = |name: &str| either(compare(name, Operator::Eq, lit(4)), compare(name, Operator::Eq, lit(4000)));
        let ends = and(compare("b", Operator::GtEq, lit(3)), compare("b", Operator::LtEq, lit(8)));
        let known = take(and(ends, look_up("b")));
        let [ColumnPredicate { column: ColumnId(2), op: PredicateOp::Member(set) }] = known.predicates.as_slice()
        else {
            panic!("{:?}", known.predicates)
        };
        assert!(known.rest.is_empty() && set.contains(4) && !set.contains(5) && !set.contains(4000));
        let guessed = take(look_up("b"));
        let [ColumnPredicate { op: PredicateOp::Member(set), .. }] = guessed.predicates.as_slice() else {
            panic!("{:?}", guessed.predicates)
        };
        assert!(set.contains(4) && !set.contains(5) && set.contains(4000) && set.contains(-1), "bounds are a guess");
        let unknown = take(look_up("a"));
        assert!(unknown.predicates.is_empty() && unknown.rest.len() == 1, "nobody knows where its values lie");
        let both = take(compare("a", Operator::Eq, column("b")));
        assert!(both.predicates.is_empty() && both.rest.len() == 1);
    }

    #[test]
    fn ranges_and_lists_go_to_the_shard_and_emptiness_ends_the_scan() {
        let table = relation("t", &[("a", SqlType::Text), ("b", SqlType::Int4)], &[]);
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("b", DataType::Int32, true)]));
        let b = || col("b", &schema).unwrap();
        let filter = Arc::new(DynamicFilterPhysicalExpr::new(vec![b()], lit(true)));
        let take = || {
            let filter = Arc::clone(&filter) as Arc<dyn PhysicalExpr>;
            Snapshot::take(&[filter], &schema, &table, &Thousand(ColumnId(2))).unwrap()
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
    fn keys_that_are_one_number_are_told_apart_for_the_shard() {
        let table = relation("t", &[("a", SqlType::Text), ("b", SqlType::Int4), ("d", SqlType::Date)], &[]);
        let fields = vec![Field::new("d", DataType::Date32, true), Field::new("b", DataType::Int32, true)];
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let parts = vec![col("b", &schema).unwrap(), col("d", &schema).unwrap()];
        let key = || Arc::new(PackedKey::within(parts.clone(), &[(-2, 7), (100, 119)])) as Arc<dyn PhysicalExpr>;
        let compare = |op, value: i64| Arc::new(BinaryExpr::new(key(), op, lit(value))) as Arc<dyn PhysicalExpr>;
        let ends = BinaryExpr::new(compare(Operator::GtEq, 3), Operator::And, compare(Operator::LtEq, 199));
        let list =
            in_list(key(), vec![lit(3_i64), lit(43_i64), lit(ScalarValue::Int64(None))], &false, &schema).unwrap();
        let all: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(Arc::new(ends), Operator::And, list));
        let known = Snapshot::take(&[all], &schema, &table, &Thousand(ColumnId(2))).unwrap();
        assert_eq!(known.rest.len(), 1, "the list is asked whole");
        let found = known.predicates.iter().map(|known| (known.column, known.op.clone()));
        let end = |op, value| PredicateOp::Compare(op, value);
        let expected = [
            (ColumnId(2), end(CompareOp::GtEq, Datum::Int32(-2))),
            (ColumnId(2), end(CompareOp::LtEq, Datum::Int32(7))),
            (ColumnId(3), end(CompareOp::GtEq, Datum::Date(100))),
            (ColumnId(3), end(CompareOp::LtEq, Datum::Date(119))),
            (ColumnId(2), PredicateOp::In(vec![Datum::Int32(-2), Datum::Int32(0)])),
            (ColumnId(3), PredicateOp::In(vec![Datum::Date(103)])),
        ];
        assert!(found.eq(expected));
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
