//! What a scan still looks for while it runs: the bound of the rows that an ORDER BY with a LIMIT above it has found so far.
//!
//! A bound is advice, so rows that fail it may come nevertheless; it is about one column and becomes narrower.

use std::sync::Arc;

use heliosdb_contracts::{Bound, BoundValues, CompareOp, PredicateOp};
use heliosdb_hcc::{BlockStats, Filter};
use heliosdb_types::{ColumnId, DatumRef, Error, PhysicalType, Result};

use super::predicate::{Tally, translate};
use crate::shape::TreeState;

/// A bound compiled for its column.
pub(crate) struct ColumnBound {
    pub column: ColumnId,
    /// Rows without a value are wanted.
    nulls: bool,
    /// Rows with a value that are wanted; `None`: none of them.
    values: Option<Filter>,
    is_null: Filter,
    /// Of this bound and those before it.
    pub tally: Arc<Tally>,
}

impl ColumnBound {
    /// `None` if the bound leaves out nothing.
    pub fn compile(bound: &Bound, state: &TreeState, tally: Arc<Tally>) -> Result<Option<ColumnBound>> {
        let column = bound.column;
        let physical = state.physical(column);
        let physical = physical.ok_or_else(|| Error::internal(format!("a bound of unknown column {column}")))?;
        let end = |op, value| Filter::compile(&translate(&PredicateOp::Compare(op, value)), physical);
        let values = match bound.values.clone() {
            BoundValues::None => None,
            BoundValues::Within(None, None) if bound.nulls => return Ok(None),
            BoundValues::Within(None, None) => Some(Filter::compile(&translate(&PredicateOp::IsNotNull), physical)?),
            BoundValues::Within(Some(low), None) => Some(end(CompareOp::GtEq, low)?),
            BoundValues::Within(None, Some(high)) => Some(end(CompareOp::LtEq, high)?),
            BoundValues::Within(Some(low), Some(high)) => {
                let (low, high) = (end(CompareOp::GtEq, low)?, end(CompareOp::LtEq, high)?);
                Some(low.and(&high).unwrap_or(low))
            }
        };
        let is_null = null_filter(physical)?;
        Ok(Some(ColumnBound { column, nulls: bound.nulls, values, is_null, tally }))
    }

    /// False only if no row of a block with these statistics is wanted.
    pub fn may_match(&self, stats: &BlockStats) -> bool {
        (self.nulls && stats.null_count > 0) || self.values.as_ref().is_some_and(|values| values.may_match(stats))
    }

    /// The test of the rows of a block, with or without NULLs; `None`: all of them have to be taken.
    pub fn of_rows(&self, has_nulls: bool) -> Option<&Filter> {
        match &self.values {
            // One test cannot say "this, or NULL".
            Some(_) if self.nulls && has_nulls => None,
            Some(values) => Some(values),
            None => Some(&self.is_null),
        }
        .filter(|_| !self.tally.is_worthless())
    }

    pub fn matches(&self, value: &DatumRef<'_>) -> bool {
        match value {
            DatumRef::Null => self.nulls,
            value => self.values.as_ref().is_some_and(|values| values.matches(value)),
        }
    }
}

fn null_filter(physical: PhysicalType) -> Result<Filter> {
    Filter::compile(&translate(&PredicateOp::IsNull), physical)
}
