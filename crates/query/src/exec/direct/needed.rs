//! Which columns of its leaf a statement looks at: only they are read.
//!
//! No optimiser has looked at the plan, so a scan gives every column of its table. Places stay as they are, so that no expression
//! has to be changed: what nobody looks at is NULL.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use super::Leaf;
use super::step::Step;
use crate::exec::places::add_places;

/// Places in the batches of a leaf; `None`: all of them.
pub(super) type Needed = Option<BTreeSet<usize>>;

/// The places that steps look at, where of their outcome `after` is looked at.
pub(super) fn needed_by(steps: &[Step], after: Needed) -> Needed {
    let mut places = BTreeSet::new();
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Filter(predicate) => add_places(predicate, &mut places),
            Step::Sort(keys) => keys.iter().for_each(|(key, _)| add_places(key, &mut places)),
            Step::Slice { .. } => {}
            // What follows looks at what these make.
            Step::Project(projection) => {
                projection.exprs().iter().for_each(|expr| add_places(expr, &mut places));
                return Some(places);
            }
            Step::Aggregate(aggregation) => {
                aggregation.exprs().for_each(|expr| add_places(expr, &mut places));
                return Some(places);
            }
            Step::Write(spec) => {
                let later = needed_by(steps.get(at + 1..).unwrap_or_default(), after);
                places.extend(spec.places(later.as_ref())?);
                return Some(places);
            }
            Step::Lock(_) => return None,
        }
    }
    places.extend(after?);
    Some(places)
}

impl Leaf {
    /// Reads what is needed and no more.
    pub(super) fn read_only(&mut self, needed: &Needed) {
        let Some(needed) = needed else { return };
        match self {
            Leaf::Point(point) => point.shape_mut().read_only(needed),
            Leaf::Range(range) => range.shape_mut().read_only(needed),
            Leaf::Join(join) => join.read_only(needed),
            Leaf::Rows(_) | Leaf::Found(_) => {}
        }
    }

    /// Gives what a first step that picks columns would make of its rows, so that nobody need make it.
    pub(super) fn pick_columns(&mut self, steps: &mut Vec<Step>) {
        let Some(Step::Project(projection)) = steps.first() else { return };
        let place = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().map(Column::index);
        let Some(places) = projection.exprs().iter().map(place).collect::<Option<Vec<_>>>() else { return };
        let picked = match self {
            Leaf::Point(point) => point.shape_mut().give_only(&places),
            Leaf::Range(range) => range.shape_mut().give_only(&places),
            Leaf::Join(_) | Leaf::Rows(_) | Leaf::Found(_) => false,
        };
        if picked {
            steps.remove(0);
        }
    }
}
