//! Values that conditions give the columns of a key.

use std::borrow::Cow;

use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use heliosdb_contracts::{CompareOp, arrow_type};
use heliosdb_types::{Datum, PhysicalType};

use crate::exec::parameters::{Turn, slot_of};
use crate::exec::pushdown::datum;

/// A value that is known when the statement runs.
pub(super) struct KeyValue {
    physical: PhysicalType,
    source: Source,
}

enum Source {
    Known(Datum),
    Slot(usize),
}

impl KeyValue {
    /// `None`: it is NULL, which compares with nothing.
    pub fn get(&self, turn: &Turn) -> Option<Cow<'_, Datum>> {
        Some(match &self.source {
            Source::Known(value) => Cow::Borrowed(value),
            Source::Slot(slot) => Cow::Owned(datum(&turn.value(*slot)?, self.physical)?),
        })
    }
}

/// What a condition compares a column with, and how (the column stands on the left).
pub(super) fn compared(condition: &Expr, column: &str, physical: PhysicalType) -> Option<(CompareOp, KeyValue)> {
    use PhysicalType::{Float32, Float64, Interval, Numeric};
    // Equal values of these types may have different keys, or are compared by functions.
    if matches!(physical, Float32 | Float64 | Interval | Numeric) {
        return None;
    }
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (op, value) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(c), value) if c.name == column => (*op, value),
        (value, Expr::Column(c)) if c.name == column => (op.swap()?, value),
        _ => return None,
    };
    let op = match op {
        Operator::Eq => CompareOp::Eq,
        Operator::Lt => CompareOp::Lt,
        Operator::LtEq => CompareOp::LtEq,
        Operator::Gt => CompareOp::Gt,
        Operator::GtEq => CompareOp::GtEq,
        _ => return None,
    };
    let source = match value {
        Expr::Literal(value, _) => Source::Known(datum(value, physical)?),
        value => {
            let (slot, data_type) = slot_of(value)?;
            (*data_type == arrow_type(physical)).then_some(Source::Slot(slot))?
        }
    };
    Some((op, KeyValue { physical, source }))
}

/// The values of `column = 1 OR column = 2 OR ...`, which is what IN comes to, if they are no more than `most`.
pub(super) fn one_of(condition: &Expr, column: &str, physical: PhysicalType, most: usize) -> Option<Vec<KeyValue>> {
    let mut values = Vec::new();
    let mut left = vec![condition];
    while let Some(condition) = left.pop() {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left: one, op: Operator::Or, right: other }) => {
                left.extend([&**one, &**other])
            }
            Expr::InList(InList { expr, list, negated: false }) => {
                let equals = |value: &Expr| {
                    let equals = BinaryExpr::new(expr.clone(), Operator::Eq, Box::new(value.clone()));
                    compared(&Expr::BinaryExpr(equals), column, physical)
                };
                for value in list.iter().take(most + 1) {
                    values.push(equals(value)?.1);
                }
            }
            condition => match compared(condition, column, physical)? {
                (CompareOp::Eq, value) => values.push(value),
                _ => return None,
            },
        }
        if values.len() > most {
            return None;
        }
    }
    Some(values)
}
