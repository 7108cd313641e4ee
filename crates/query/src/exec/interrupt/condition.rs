//! Conditions of joins that look whether the statement is cancelled.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, FieldRef, Schema};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};

use super::watch::check_cancelled;
use crate::exec::each_node::EachNode;
use crate::exec::error::to_datafusion;

/// Gives the conditions of joins the look at the statement.
pub(in crate::exec) const CHECKED_CONDITIONS: EachNode = EachNode::new("checked_conditions", with_check);

fn with_check(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    Ok(if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let checked = |filter| NestedLoopJoinExecBuilder::from(join).with_filter(Some(checked(filter))).build();
        join.filter().map(checked).transpose()?.map(|join| Arc::new(join) as _)
    } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let checked = |filter| HashJoinExecBuilder::from(join).with_filter(Some(checked(filter))).build_exec();
        join.filter().map(checked).transpose()?
    } else {
        None
    })
}

fn checked(filter: &JoinFilter) -> JoinFilter {
    let condition = Arc::new(Checked { condition: Arc::clone(filter.expression()) });
    JoinFilter::new(condition, filter.column_indices().to_vec(), Arc::clone(filter.schema()))
}

/// A join's condition without the look at the statement, for who asks what it says.
pub(in crate::exec) fn unchecked(condition: &Arc<dyn PhysicalExpr>) -> &Arc<dyn PhysicalExpr> {
    condition.downcast_ref::<Checked>().map_or(condition, |checked| &checked.condition)
}

/// A condition that fails once the statement is cancelled.
#[derive(Debug)]
struct Checked {
    condition: Arc<dyn PhysicalExpr>,
}

impl PartialEq for Checked {
    fn eq(&self, other: &Checked) -> bool {
        self.condition.eq(&other.condition)
    }
}

impl Eq for Checked {}

impl Hash for Checked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for Checked {
    fn data_type(&self, input: &Schema) -> DfResult<DataType> {
        self.condition.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> DfResult<bool> {
        self.condition.nullable(input)
    }

    fn return_field(&self, input: &Schema) -> DfResult<FieldRef> {
        self.condition.return_field(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> DfResult<ColumnarValue> {
        check_cancelled().map_err(to_datafusion)?;
        self.condition.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> DfResult<Arc<dyn PhysicalExpr>> {
        let condition = children.pop().ok_or_else(|| DataFusionError::Internal("a check needs a condition".into()))?;
        Ok(Arc::new(Checked { condition }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow_array::Int32Array;
    use arrow_schema::Field;
    use datafusion::common::{JoinType, ScalarValue};
    use datafusion::config::ConfigOptions;
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::execution::TaskContext;
    use datafusion::physical_optimizer::PhysicalOptimizerRule;
    use datafusion::physical_plan::collect;
    use datafusion::prelude::SessionConfig;
    use heliosdb_types::SqlType;

    use super::*;
    use crate::exec::interrupt::INTERRUPTIBLE;
    use crate::exec::scope::CancelFlag;
    use crate::testing::{Bench, relation};

    /// Never true; cancels the statement when it is asked for the third time.
    #[derive(Debug)]
    struct Cancels {
        asked: Arc<AtomicUsize>,
        cancel: CancelFlag,
    }

    impl PartialEq for Cancels {
        fn eq(&self, other: &Cancels) -> bool {
            Arc::ptr_eq(&self.asked, &other.asked)
        }
    }

    impl Eq for Cancels {}

    impl Hash for Cancels {
        fn hash<H: Hasher>(&self, _: &mut H) {}
    }

    impl fmt::Display for Cancels {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cancels")
        }
    }

    impl PhysicalExpr for Cancels {
        fn data_type(&self, _input: &Schema) -> DfResult<DataType> {
            Ok(DataType::Boolean)
        }

        fn nullable(&self, _input: &Schema) -> DfResult<bool> {
            Ok(false)
        }

        fn evaluate(&self, _batch: &RecordBatch) -> DfResult<ColumnarValue> {
            if self.asked.fetch_add(1, Ordering::SeqCst) == 2 {
                self.cancel.cancel();
            }
            Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(false))))
        }

        fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
            Vec::new()
        }

        fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn PhysicalExpr>>) -> DfResult<Arc<dyn PhysicalExpr>> {
            Ok(self)
        }

        fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Display::fmt(self, f)
        }
    }

    fn numbers(rows: i32, key: impl Fn(i32) -> i32) -> Arc<dyn ExecutionPlan> {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
        let values = Arc::new(Int32Array::from_iter_values((0..rows).map(key)));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap();
        MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None).unwrap()
    }

    /// How often a join of one batch with a thousand rows asks its condition, and how it ends.
    fn asked(join: impl Fn(JoinFilter) -> Arc<dyn ExecutionPlan>) -> (usize, String) {
        let scope = Bench::new(relation("t", &[("id", SqlType::Int4)], &["id"])).scope(None, 0);
        let asked = Arc::<AtomicUsize>::default();
        let condition = Arc::new(Cancels { asked: Arc::clone(&asked), cancel: scope.cancel.clone() });
        let plan = join(JoinFilter::new(condition, Vec::new(), Arc::new(Schema::empty())));
        let options = ConfigOptions::default();
        let plan = CHECKED_CONDITIONS.optimize(plan, &options).unwrap();
        let plan = INTERRUPTIBLE.optimize(plan, &options).unwrap();
        let config = SessionConfig::new().with_extension(Arc::new(scope));
        let context = Arc::new(TaskContext::default().with_session_config(config));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = runtime.block_on(collect(plan, context)).unwrap_err().to_string();
        (asked.load(Ordering::SeqCst), error)
    }

    #[test]
    fn a_nested_loop_that_keeps_nothing_stops_between_two_questions() {
        let (asked, error) = asked(|filter| {
            let (left, right) = (numbers(1_000, |n| n), numbers(8_000, |n| n));
            Arc::new(NestedLoopJoinExec::try_new(left, right, Some(filter), &JoinType::Inner, None).unwrap())
        });
        assert_eq!(asked, 3, "{error}");
        assert!(error.contains("canceling statement"), "{error}");
    }

    #[test]
    fn a_hash_join_of_one_key_stops_between_two_questions() {
        use datafusion::common::NullEquality;
        use datafusion::physical_expr::expressions::Column;
        use datafusion::physical_plan::joins::PartitionMode;
        let (asked, error) = asked(|filter| {
            let (left, right) = (numbers(1_000, |_| 1), numbers(8_000, |_| 1));
            let key = || Arc::new(Column::new("n", 0)) as Arc<dyn PhysicalExpr>;
            let on = vec![(key(), key())];
            let join = HashJoinExec::try_new(
                left,
                right,
                on,
                Some(filter),
                &JoinType::Inner,
                None,
                PartitionMode::CollectLeft,
                NullEquality::NullEqualsNothing,
                false,
            );
            Arc::new(join.unwrap())
        });
        assert_eq!(asked, 3, "{error}");
        assert!(error.contains("canceling statement"), "{error}");
    }
}
