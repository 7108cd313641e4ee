//! Which columns of a batch an expression looks at.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

/// Adds their places.
pub(crate) fn add_places(expr: &Arc<dyn PhysicalExpr>, places: &mut BTreeSet<usize>) {
    // It cannot fail: the closure does not.
    let _ = expr.apply(|inner| {
        places.extend(inner.downcast_ref::<Column>().map(Column::index));
        Ok(TreeNodeRecursion::Continue)
    });
}
