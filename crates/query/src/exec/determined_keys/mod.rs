//! Groups by fewer keys: what the other keys determine is taken from any row of a group.
//!
//! Whoever groups by a primary key and wants more columns of the row has to write all of them into GROUP BY, or other systems
//! refuse it: `GROUP BY c_custkey, c_name, c_address, ...`. One key is enough, and a table of groups by one number is several
//! times as fast as one by a number and four strings. What determines what is in [`facts`].

mod any;
mod facts;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result as DfResult};
use datafusion::logical_expr::builder::project;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

pub(super) use self::any::{any_of_group_of, new_groups, of_new_groups};
use self::facts::Facts;
use super::row_source::has_sets;

/// After DataFusion's rules: conditions on keys have found their way down, and what nobody asks for is gone.
#[derive(Debug)]
pub(super) struct DeterminedKeys;

impl OptimizerRule for DeterminedKeys {
    fn name(&self) -> &str {
        "determined_keys"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> DfResult<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Aggregate(aggregate) => rewritten(aggregate),
            other => Ok(Transformed::no(other)),
        }
    }
}

fn rewritten(aggregate: Aggregate) -> DfResult<Transformed<LogicalPlan>> {
    let determined = determined(&aggregate);
    if !determined.contains(&true) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let Aggregate { input, group_expr, mut aggr_expr, schema, .. } = aggregate;
    let calls = aggr_expr.len();
    let (mut keys, mut places) = (Vec::new(), Vec::new());
    for (key, determined) in group_expr.into_iter().zip(&determined) {
        places.push(if *determined { aggr_expr.len() } else { keys.len() });
        match determined {
            true => aggr_expr.push(any::any_of_group(key, input.schema())?),
            false => keys.push(key),
        }
    }
    let groups = keys.len();
    let fewer = Aggregate::try_new(input, keys, aggr_expr)?;
    let column = |at: usize| Expr::Column(Column::from(fewer.schema.qualified_field(at)));
    let mut shown = Vec::with_capacity(schema.fields().len());
    for (at, (place, determined)) in places.into_iter().zip(&determined).enumerate() {
        if *determined {
            let (qualifier, field) = schema.qualified_field(at);
            shown.push(column(groups + place).alias_qualified(qualifier.cloned(), field.name()));
        } else {
            shown.push(column(place));
        }
    }
    shown.extend((groups..groups + calls).map(column));
    project(LogicalPlan::Aggregate(fewer.clone()), shown).map(Transformed::yes)
}

/// Which keys the others determine.
fn determined(aggregate: &Aggregate) -> Vec<bool> {
    let keys = &aggregate.group_expr;
    // Without functions, groups may be cut off early by a LIMIT above: that is worth more.
    if keys.len() < 2 || aggregate.aggr_expr.is_empty() || has_sets(aggregate) {
        return vec![false; keys.len()];
    }
    let mut facts = Facts::default();
    let input = facts.of_plan(&aggregate.input);
    let ids: Vec<usize> = keys.iter().map(|key| facts.of_expr(key, aggregate.input.schema(), &input)).collect();
    let mut determined = vec![false; keys.len()];
    // Strings and the like first: they cost most.
    let wide = |at: &usize| {
        let (_, field) = aggregate.schema.qualified_field(*at);
        field.data_type().primitive_width().is_none()
    };
    let (wide, narrow): (Vec<usize>, Vec<usize>) = (0..keys.len()).rev().partition(wide);
    for at in wide.into_iter().chain(narrow) {
        let others: Vec<usize> = ids
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at && !determined[*other])
            .map(|(_, id)| *id)
            .collect();
        determined[at] = !others.is_empty() && facts.determine(&others, ids[at]);
    }
    determined
}
