//! The sides of joins by what ANALYZE found, where that is known of all of them.
//!
//! DataFusion's rule asks a registry of statistics if it is told to, and it asks for each side of each join again: where any step is
//! unknown to us it stays with what operators themselves say, as for tables never analyzed.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Result as DfResult;
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::{PhysicalOptimizerContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::operator_statistics::StatisticsRegistry;

use super::physical::{Provider, address, walk};

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// The rules with the choice of sides told what we know.
pub(crate) fn informed(rules: Vec<Rule>) -> Vec<Rule> {
    let inform = |rule: Rule| match rule.name() {
        "join_selection" => Arc::new(Informed(rule)) as Rule,
        _ => rule,
    };
    rules.into_iter().map(inform).collect()
}

#[derive(Debug)]
struct Informed(Rule);

struct Context {
    config: ConfigOptions,
    registry: StatisticsRegistry,
}

impl PhysicalOptimizerContext for Context {
    fn config_options(&self) -> &ConfigOptions {
        &self.config
    }

    fn statistics_registry(&self) -> Option<&StatisticsRegistry> {
        Some(&self.registry)
    }
}

impl PhysicalOptimizerRule for Informed {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut known = HashMap::new();
        // To know may take a look at small tables.
        if joins(&plan) {
            walk(&plan, &mut known);
        }
        if known.is_empty() || !sides_are_known(&plan, &known) {
            return self.0.optimize(plan, config);
        }
        let mut config = config.clone();
        config.optimizer.use_statistics_registry = true;
        let registry = StatisticsRegistry::with_providers(vec![Arc::new(Provider)]);
        self.0.optimize_with_context(plan, &Context { config, registry })
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn is_join(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<HashJoinExec>() || plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>()
}

fn joins(plan: &Arc<dyn ExecutionPlan>) -> bool {
    is_join(plan) || plan.children().into_iter().any(joins)
}

fn sides_are_known(plan: &Arc<dyn ExecutionPlan>, known: &HashMap<usize, f64>) -> bool {
    let join = is_join(plan);
    plan.children()
        .into_iter()
        .all(|child| (!join || known.contains_key(&address(child))) && sides_are_known(child, known))
}
