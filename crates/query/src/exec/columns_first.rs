//! `f(a) = a` is asked as `a = f(a)`.
//!
//! Of what a condition makes equal DataFusion takes the first to stand for all: where that is computed, a sort by `a` becomes
//! one by `f(a)`, and a window over `PARTITION BY a` above it no longer knows its partitions ("Expects PARTITION BY expression
//! to be ordered"). A column may stand for what is computed.

use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// After DataFusion's rules, which write conditions as they like.
#[derive(Debug)]
pub(super) struct ColumnsFirst;

impl OptimizerRule for ColumnsFirst {
    fn name(&self) -> &str {
        "columns_first"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> DfResult<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else { return Ok(Transformed::no(plan)) };
        let Filter { predicate, input, .. } = filter;
        let turned = predicate.transform_up(|expr| {
            Ok(match expr {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
                    if matches!(*right, Expr::Column(_)) && !matches!(*left, Expr::Column(_)) =>
                {
                    Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(right, Operator::Eq, left)))
                }
                other => Transformed::no(other),
            })
        })?;
        let transformed = turned.transformed;
        let filter = LogicalPlan::Filter(Filter::try_new(turned.data, input)?);
        Ok(if transformed { Transformed::yes(filter) } else { Transformed::no(filter) })
    }
}
