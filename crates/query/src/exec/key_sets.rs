//! What a finished join knows of its keys, as a set of numbers that the shard's scan can ask.
//!
//! The join hands over an expression: a look-up in its table. If that is about one column of whole numbers or days that lie
//! within a span, it is evaluated once for every number of the span, which costs less than once for every row, and from then on
//! a row costs a bit: asked on encoded blocks, before the other columns are decoded.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Date32Array, Int16Array, Int32Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use heliosdb_types::KeySet;

use super::state::{ARRAY_JOIN_DENSITY, ARRAY_JOIN_RANGE};

/// Numbers looked up at a time.
const STEP: u64 = 8192;
/// A span up to this is always looked up: it is a few batches.
const SPAN_FREE: u64 = 1 << 16;
/// No span is larger: 8 MB of bits.
const SPAN_MAX: u64 = 1 << 26;
/// Numbers of a span for two rows, at most. Numbers that follow each other are looked up faster than those of rows, and there are fewer rows
/// than numbers as soon as some were deleted; but one thread looks them up while the others wait.
const NUMBERS_FOR_TWO_ROWS: u64 = 3;
/// A look-up in a hash table costs several times as much as one in an array: then rows have to outnumber the span by this.
const HASHED_COST: u64 = 4;
/// Steps tried at first, spread over the span, to see whether so many of its numbers are there that the table is an array.
const SAMPLE_STEPS: u64 = 8;

/// A span of numbers and what is known of those outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub low: i64,
    pub high: i64,
    /// Nothing outside can match.
    pub complete: bool,
}

impl Span {
    fn len(&self) -> u64 {
        (i128::from(self.high) - i128::from(self.low) + 1).clamp(0, i128::from(u64::MAX)) as u64
    }
}

/// The only column an expression is about.
pub(super) fn only_column(expr: &Arc<dyn PhysicalExpr>) -> Option<Column> {
    let mut columns = collect_columns(expr).into_iter();
    columns.next().filter(|_| columns.next().is_none())
}

/// The numbers within `span` for which `expr`, about its column alone, is true, if finding out pays for a scan of `rows` rows.
/// `None` too if the expression is true for NULL, which no set holds.
pub(super) fn key_set(
    expr: &Arc<dyn PhysicalExpr>,
    data_type: &DataType,
    span: Span,
    rows: u64,
) -> DfResult<Option<KeySet>> {
    let len = span.len();
    if len == 0 || len > SPAN_MAX || len > (rows / 2).saturating_mul(NUMBERS_FOR_TWO_ROWS).max(SPAN_FREE) {
        return Ok(None);
    }
    let Some(column) = only_column(expr) else { return Ok(None) };
    let alone: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), 0));
    let expr = Arc::clone(expr).transform(|node| match node.downcast_ref::<Column>() {
        Some(_) => Ok(Transformed::yes(Arc::clone(&alone))),
        None => Ok(Transformed::no(node)),
    })?;
    let schema = Arc::new(Schema::new(vec![Field::new(column.name(), data_type.clone(), true)]));
    let look_up = |values: ArrayRef| {
        let count = values.len();
        expr.data.evaluate(&RecordBatch::try_new(Arc::clone(&schema), vec![values])?)?.into_array(count)
    };
    let null = look_up(arrow_array::new_null_array(data_type, 1))?;
    if null.as_boolean_opt().is_none_or(|null| null.is_valid(0) && null.value(0)) {
        return Ok(None);
    }
    let steps = len.div_ceil(STEP);
    let mut set = KeySet::new(span.low, len, !span.complete);
    // How many of a step's numbers are there; `None` if the type does not have them.
    let mut step = |at: u64| -> DfResult<Option<usize>> {
        let from = span.low.saturating_add_unsigned(at * STEP);
        let to = span.high.min(from.saturating_add_unsigned(STEP - 1));
        let Some(values) = numbers(data_type, from, to) else { return Ok(None) };
        let held = look_up(values)?;
        let Some(held) = held.as_boolean_opt() else { return Ok(None) };
        for place in held.values().set_indices().filter(|place| held.is_valid(*place)) {
            set.insert(from.saturating_add_unsigned(place as u64));
        }
        Ok(Some(held.true_count()))
    };
    if len > SPAN_FREE && len.saturating_mul(HASHED_COST) > rows {
        let (sampled, mut found) = (steps.min(SAMPLE_STEPS), 0);
        for at in 0..sampled {
            match step(at * steps / sampled)? {
                Some(count) => found += count,
                None => return Ok(None),
            }
        }
        let is_dense = found as f64 >= (sampled * STEP) as f64 * ARRAY_JOIN_DENSITY;
        if !is_dense && len > ARRAY_JOIN_RANGE as u64 {
            return Ok(None);
        }
    }
    for at in 0..steps {
        if step(at)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(set))
}

/// Consecutive numbers as an array, if the type has them all.
fn numbers(data_type: &DataType, from: i64, to: i64) -> Option<ArrayRef> {
    let (narrow_from, narrow_to) = (i32::try_from(from), i32::try_from(to));
    Some(match data_type {
        DataType::Int16 => Arc::new(Int16Array::from_iter_values(i16::try_from(from).ok()?..=i16::try_from(to).ok()?)),
        DataType::Int32 => Arc::new(Int32Array::from_iter_values(narrow_from.ok()?..=narrow_to.ok()?)),
        DataType::Date32 => Arc::new(Date32Array::from_iter_values(narrow_from.ok()?..=narrow_to.ok()?)),
        DataType::Int64 => Arc::new(Int64Array::from_iter_values(from..=to)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{BinaryExpr, col, in_list, is_null, lit};

    use super::*;

    fn column(data_type: &DataType) -> Arc<dyn PhysicalExpr> {
        let other = Field::new("a", DataType::Utf8View, true);
        col("b", &Schema::new(vec![other, Field::new("b", data_type.clone(), true)])).unwrap()
    }

    #[test]
    fn every_number_of_the_span_is_asked() {
        let schema =
            Schema::new(vec![Field::new("a", DataType::Utf8View, true), Field::new("b", DataType::Int32, true)]);
        let b = column(&DataType::Int32);
        let list = in_list(b, [-20_000, -3, 7, 20_000, 30_000].map(lit).to_vec(), &false, &schema).unwrap();
        let span = |complete| Span { low: -20_000, high: 20_000, complete };
        let set = key_set(&list, &DataType::Int32, span(true), 0).unwrap().unwrap();
        let held = (-40_000..40_000).filter(|n| set.contains(*n)).collect::<Vec<_>>();
        assert_eq!(held, [-20_000, -3, 7, 20_000]);
        let open = key_set(&list, &DataType::Int32, span(false), 0).unwrap().unwrap();
        assert!(open.contains(30_000) && open.contains(20_001) && !open.contains(19_999));
    }

    #[test]
    fn what_does_not_pay_or_cannot_be_said_makes_no_set() {
        let b = column(&DataType::Int64);
        let is =
            |value: i64| Arc::new(BinaryExpr::new(Arc::clone(&b), Operator::Eq, lit(value))) as Arc<dyn PhysicalExpr>;
        let set = |expr: &Arc<dyn PhysicalExpr>, low, high, rows| {
            key_set(expr, &DataType::Int64, Span { low, high, complete: true }, rows).unwrap()
        };
        let wide = 1 << 21;
        assert!(set(&is(5), 0, wide, 1 << 22).is_none(), "one number in two million: the table is hashed");
        assert!(set(&is(5), 0, wide, 1 << 24).is_some());
        let many = Arc::new(BinaryExpr::new(Arc::clone(&b), Operator::GtEq, lit(wide / 2))) as Arc<dyn PhysicalExpr>;
        // A sixteenth of the rows may have been deleted since every number of the span had one.
        assert!(set(&many, 0, wide, wide as u64 / 16 * 15).is_some_and(|set| set.contains(wide) && !set.contains(1)));
        assert!(set(&many, 0, wide, 1 << 20).is_none(), "many fewer rows than numbers");
        assert!(set(&is(5), i64::MIN, i64::MAX, u64::MAX).is_none());
        assert!(set(&is(5), 9, 8, 100).is_none());
        assert!(set(&is_null(Arc::clone(&b)).unwrap(), 0, 100, 100).is_none(), "true for NULL");
        let unknown = lit(ScalarValue::Boolean(None));
        let both = Arc::new(BinaryExpr::new(is(7), Operator::And, unknown)) as Arc<dyn PhysicalExpr>;
        assert!(!set(&both, 0, 100, 100).unwrap().contains(7), "unknown is not true");
        let two = Arc::new(BinaryExpr::new(Arc::clone(&b), Operator::Lt, Arc::new(Column::new("a", 0))))
            as Arc<dyn PhysicalExpr>;
        assert!(set(&two, 0, 100, 100).is_none());
    }
}
