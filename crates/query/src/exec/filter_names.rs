//! Conditions are not pushed through operators of which two columns have one name.
//!
//! DataFusion's operators find a condition's columns in their input by name: with `t0.t` and `t1.t` both called `t` it takes the
//! first, so `WHERE f(t0.t)` above an outer join would be tested on `t1.t` below it, and a join's runtime filter on another
//! column than its key. While its rule works, a node stands above each such operator that lets nothing through.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use super::above::{Above, Step};

/// The rules with those that push conditions down guarded.
pub(super) fn guarded(
    rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let guard = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| match rule.name().starts_with("FilterPushdown") {
        true => Arc::new(GuardedFilters(rule)) as Arc<dyn PhysicalOptimizerRule + Send + Sync>,
        false => rule,
    };
    rules.into_iter().map(guard).collect()
}

#[derive(Debug)]
struct GuardedFilters(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for GuardedFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let barred = plan.transform_up(|plan| {
            Ok(match has_namesakes(&plan) {
                true => Transformed::yes(Arc::new(Above::new(Barrier, plan)) as Arc<dyn ExecutionPlan>),
                false => Transformed::no(plan),
            })
        })?;
        let pushed = self.0.optimize(barred.data, config)?;
        if !barred.transformed {
            return Ok(pushed);
        }
        let unbarred = pushed.transform_up(|plan| {
            Ok(match plan.downcast_ref::<Above<Barrier>>() {
                Some(barrier) => Transformed::yes(Arc::clone(barrier.input())),
                None => Transformed::no(plan),
            })
        });
        unbarred.map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn has_namesakes(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = plan.schema();
    let mut names = HashSet::with_capacity(schema.fields().len());
    !schema.fields().iter().all(|field| names.insert(field.name()))
}

/// Its input; asked about conditions it says no, as operators do by default.
#[derive(Debug)]
struct Barrier;

impl Step for Barrier {
    const NAME: &'static str = "Barrier";

    fn anew(&self) -> Barrier {
        Barrier
    }
}
