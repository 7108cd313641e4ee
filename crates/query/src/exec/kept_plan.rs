//! An optimised plan that is kept for the next time its statement comes.
//!
//! Four tenths of planning a query are rules that ask for nothing one execution has of its own: [`reorder`] asks how large tables
//! are, all others what the catalog says, and under another catalog (or other settings) a statement has another bound plan. So what they
//! made of a statement serves as long as its tables are about as large as they were. Invariants: a kept plan has no parameters,
//! no time and no snapshot in it; what depends on those - physical plans, scans, the rows that a WITH query shares - is made of
//! it anew for each execution.
//!
//! [`reorder`]: super::join_order::reorder

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::LogicalPlan;
use heliosdb_types::TreeRef;

use super::instantiate::has_placeholder;
use super::scope::StatementScope;
use super::shared_rows::SharedNode;
use super::table::HeliosTable;

/// A table this much larger or smaller than it was when its plan was made,
const GROWTH: f64 = 1.25;
/// by more rows than these, has it made anew.
const FEW_ROWS: u64 = 1000;

/// See the module.
pub(super) struct KeptPlan {
    pub plan: LogicalPlan,
    /// The rows each of its tables had.
    sizes: Vec<(TreeRef, u64)>,
}

impl KeptPlan {
    /// What was made of a statement that reads these tables.
    pub fn new(plan: LogicalPlan, tables: Vec<TreeRef>, scope: &StatementScope) -> KeptPlan {
        let size = |tree: TreeRef| (tree, scope.shard.tree_size(tree).rows);
        KeptPlan { plan, sizes: tables.into_iter().map(size).collect() }
    }

    /// Whether its tables are about as large as when it was made.
    pub fn fits(&self, scope: &StatementScope) -> bool {
        let alike = |(tree, rows): &(TreeRef, u64)| are_alike(scope.shard.tree_size(*tree).rows, *rows);
        scope.join_order_seed.is_none() && self.sizes.iter().all(alike)
    }
}

fn are_alike(a: u64, b: u64) -> bool {
    let (less, more) = (a.min(b), a.max(b));
    more - less <= FEW_ROWS || more as f64 <= less as f64 * GROWTH
}

/// The tables that a bound statement reads, if what is made of it lasts: it reads nothing else and waits for no value.
pub(super) fn lasting(statement: &LogicalPlan, scope: &StatementScope) -> DfResult<Option<Vec<TreeRef>>> {
    let mut found = scope.join_order_seed.is_none().then(Vec::new);
    statement.apply_with_subqueries(|node| {
        let mut lasts = match node {
            LogicalPlan::TableScan(scan) => {
                let tree = HeliosTable::relation_of(scan).and_then(|relation| Some(relation.table()?.tree.tree));
                found.as_mut().zip(tree).map(|(found, tree)| found.push(tree)).is_some()
            }
            // Others may have plans and expressions that nobody is shown.
            LogicalPlan::Extension(extension) => extension.node.as_any().is::<SharedNode>(),
            _ => true,
        };
        node.apply_expressions(|expr| {
            lasts = lasts && !has_placeholder(expr)?;
            Ok(if lasts { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })?;
        if lasts {
            return Ok(TreeNodeRecursion::Continue);
        }
        found = None;
        Ok(TreeNodeRecursion::Stop)
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use datafusion::functions_aggregate::expr_fn::count;
    use datafusion::logical_expr::{Expr, col, lit, placeholder};
    use futures::TryStreamExt;
    use heliosdb_types::{Datum, SqlType};

    use super::super::{Compiled, NOW_PLACEHOLDER};
    use super::*;
    use crate::testing::{Bench, relation};

    /// How many groups a statement has.
    fn groups(bench: &Bench, compiled: &Arc<Compiled>, statement: &LogicalPlan, parameters: &[i32]) -> usize {
        let values = parameters.iter().map(|value| Datum::Int32(*value)).collect();
        let types = vec![SqlType::Int4; parameters.len()];
        let scope = Arc::new(bench.scope(None, 0));
        let rows = bench.executor.run_compiled(compiled, statement, values, &types, scope);
        let batches: Vec<_> = bench.pool.block_on(rows.try_collect()).unwrap();
        let counts = batches.iter().flat_map(|batch| batch.column(1).as_primitive::<Int64Type>().values().to_vec());
        counts.filter(|count| *count > 0).count()
    }

    fn bench() -> Bench {
        let bench = Bench::new(relation("t", &[("k", SqlType::Int4), ("g", SqlType::Int4)], &["k"]));
        insert(&bench, 0..100);
        bench
    }

    fn insert(bench: &Bench, keys: std::ops::Range<i32>) {
        bench.autocommit(&bench.insert(keys.map(|k| vec![lit(k), lit(k / 10)]).collect())).unwrap();
    }

    fn grouped(bench: &Bench, condition: Expr) -> LogicalPlan {
        let rows = bench.scan().filter(condition).unwrap();
        rows.aggregate(vec![col("t.g")], vec![count(col("t.k"))]).unwrap().build().unwrap()
    }

    #[test]
    fn a_plan_is_kept_while_its_tables_are_about_as_large() {
        let bench = bench();
        let (statement, compiled) = (grouped(&bench, col("t.k").gt_eq(lit(20))), Arc::default());
        assert_eq!(groups(&bench, &compiled, &statement, &[]), 8);
        let first = compiled.optimised().unwrap();
        insert(&bench, 100..900);
        assert_eq!(groups(&bench, &compiled, &statement, &[]), 88);
        assert!(Arc::ptr_eq(&first, &compiled.optimised().unwrap()));
        insert(&bench, 900..2000);
        assert_eq!(groups(&bench, &compiled, &statement, &[]), 198);
        let second = compiled.optimised().unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!(groups(&bench, &compiled, &statement, &[]), 198);
        assert!(Arc::ptr_eq(&second, &compiled.optimised().unwrap()));
    }

    #[test]
    fn what_has_values_or_the_time_is_not_kept() {
        let bench = bench();
        let (statement, compiled) = (grouped(&bench, col("t.k").gt_eq(placeholder("$1"))), Arc::default());
        assert_eq!(groups(&bench, &compiled, &statement, &[20]), 8);
        assert!(compiled.optimised().is_none());
        assert_eq!(groups(&bench, &compiled, &statement, &[50]), 5);
        let beneath = grouped(&bench, col("t.k").gt_eq(placeholder("$1")));
        let within = Expr::Exists(datafusion::logical_expr::expr::Exists {
            subquery: datafusion::logical_expr::Subquery {
                subquery: Arc::new(beneath),
                outer_ref_columns: Vec::new(),
                spans: datafusion::common::Spans::new(),
            },
            negated: false,
        });
        let scope = bench.scope(None, 0);
        assert_eq!(lasting(&grouped(&bench, within), &scope).unwrap(), None, "a value in a subquery");
        let timed = grouped(&bench, placeholder(NOW_PLACEHOLDER).is_not_null());
        assert_eq!(lasting(&timed, &scope).unwrap(), None);
        let plain = grouped(&bench, col("t.k").gt(lit(1)));
        assert_eq!(lasting(&plain, &scope).unwrap().map(|tables| tables.len()), Some(1));
        let drawn = StatementScope { join_order_seed: Some(1), ..scope };
        assert_eq!(lasting(&plain, &drawn).unwrap(), None);
    }

    #[test]
    fn sizes_are_alike_within_a_quarter_or_few_rows() {
        assert!(are_alike(0, 1000) && are_alike(1000, 0) && !are_alike(0, 1001));
        assert!(are_alike(100_000, 125_000) && are_alike(125_000, 100_000) && !are_alike(100_000, 125_001));
    }
}
