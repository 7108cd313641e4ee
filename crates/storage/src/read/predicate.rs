//! A scan's predicates, compiled once: the same tests for rows in memory and for encoded blocks.

use heliosdb_contracts::{ColumnPredicate, CompareOp, PredicateOp};
use heliosdb_hcc::{Filter, Predicate};
use heliosdb_types::{ColumnId, Error, Result};

use crate::shape::TreeState;

pub(crate) struct ColumnFilter {
    pub column: ColumnId,
    pub filter: Filter,
}

pub(crate) fn compile(predicates: &[ColumnPredicate], state: &TreeState) -> Result<Vec<ColumnFilter>> {
    let mut compiled: Vec<ColumnFilter> = Vec::with_capacity(predicates.len());
    for predicate in predicates {
        let column = predicate.column;
        let physical =
            state.physical(column).ok_or_else(|| Error::internal(format!("a predicate on unknown column {column}")))?;
        let filter = Filter::compile(&translate(&predicate.op), physical)?;
        // Both ends of a range, say, in one pass over the column.
        let joined = compiled.iter_mut().filter(|known| known.column == column);
        let joined = joined.filter_map(|known| Some((known.filter.and(&filter)?, known))).next();
        match joined {
            Some((both, known)) => known.filter = both,
            None => compiled.push(ColumnFilter { column, filter }),
        }
    }
    Ok(compiled)
}

fn translate(op: &PredicateOp) -> Predicate<'_> {
    match op {
        PredicateOp::Compare(op, datum) => {
            let op = match op {
                CompareOp::Eq => heliosdb_hcc::CompareOp::Eq,
                CompareOp::NotEq => heliosdb_hcc::CompareOp::NotEq,
                CompareOp::Lt => heliosdb_hcc::CompareOp::Lt,
                CompareOp::LtEq => heliosdb_hcc::CompareOp::LtEq,
                CompareOp::Gt => heliosdb_hcc::CompareOp::Gt,
                CompareOp::GtEq => heliosdb_hcc::CompareOp::GtEq,
            };
            Predicate::Compare(op, datum)
        }
        PredicateOp::In(list) => Predicate::In(list),
        PredicateOp::IsNull => Predicate::IsNull,
        PredicateOp::IsNotNull => Predicate::IsNotNull,
        PredicateOp::StartsWith(prefix) => Predicate::StartsWith(prefix),
        PredicateOp::Contains(part) => Predicate::Contains(part),
    }
}
