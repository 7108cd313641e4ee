//! Whether conditions on rows imply another: what decides if a partial index has all rows a query can want.
//!
//! A condition is implied if it is among them, if it is an OR of which one side is, or if it is about one column and so is one of
//! them that lets through nothing else. Anything cleverer says no, which costs an index and never a row.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use heliosdb_contracts::{ColumnPredicate, CompareOp, PredicateOp};
use heliosdb_types::{Datum, compare};

use super::keys::{Conjuncts, split};
use super::rows::holds;
use crate::exec::pushdown::{Targets, conditions_of};

/// `known` are the conjuncts as far as they are about one column each.
pub(super) fn implied(targets: &Targets<'_>, conjuncts: &Conjuncts, known: &[ColumnPredicate], wanted: &Expr) -> bool {
    if conjuncts.contains(wanted) {
        return true;
    }
    match wanted {
        Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => {
            let mut parts = Vec::new();
            split(wanted, &mut parts);
            parts.into_iter().all(|part| implied(targets, conjuncts, known, part))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right })
            if implied(targets, conjuncts, known, left) || implied(targets, conjuncts, known, right) =>
        {
            true
        }
        _ => conditions_of(targets, wanted).is_some_and(|wanted| {
            wanted.iter().all(|wanted| {
                let same = known.iter().filter(|known| known.column == wanted.column);
                same.into_iter().any(|known| narrower(&known.op, &wanted.op))
            })
        }),
    }
}

/// Whether every value that passes `known` passes `wanted`.
fn narrower(known: &PredicateOp, wanted: &PredicateOp) -> bool {
    use CompareOp::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    match (known, wanted) {
        (known, wanted) if known == wanted => true,
        (PredicateOp::IsNull, _) => false,
        // Everything else lets no NULL through.
        (_, PredicateOp::IsNotNull) => true,
        (PredicateOp::IsNotNull, _) => false,
        (PredicateOp::Compare(_, value), _) if value.is_null() => true,
        (PredicateOp::Compare(Eq, value), wanted) => holds(wanted, value.as_ref()),
        (PredicateOp::In(list), wanted) => {
            list.iter().all(|value| matches!(value, Datum::Null) || holds(wanted, value.as_ref()))
        }
        (PredicateOp::Compare(op, value), PredicateOp::Compare(limit, to)) if !to.is_null() => {
            let order = compare(value.as_ref(), to.as_ref());
            match (op, limit) {
                (Gt, Gt | GtEq | NotEq) => order.is_ge(),
                (GtEq, GtEq) => order.is_ge(),
                (GtEq, Gt | NotEq) => order.is_gt(),
                (Lt, Lt | LtEq | NotEq) => order.is_le(),
                (LtEq, LtEq) => order.is_le(),
                (LtEq, Lt | NotEq) => order.is_lt(),
                _ => false,
            }
        }
        (PredicateOp::StartsWith(long), PredicateOp::StartsWith(short)) => long.starts_with(short.as_str()),
        (PredicateOp::StartsWith(text) | PredicateOp::Contains(text), PredicateOp::Contains(part)) => {
            text.contains(part.as_str())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrower_condition_lets_through_nothing_else() {
        let values: Vec<Datum> = (-3..=3).map(Datum::Int32).chain([Datum::Null]).collect();
        let mut ops = vec![PredicateOp::IsNull, PredicateOp::IsNotNull];
        for value in -1..=1 {
            use CompareOp::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
            ops.extend([Eq, NotEq, Lt, LtEq, Gt, GtEq].map(|op| PredicateOp::Compare(op, Datum::Int32(value))));
            ops.push(PredicateOp::In(vec![Datum::Int32(value), Datum::Int32(1)]));
        }
        let mut found = 0;
        for known in &ops {
            for wanted in &ops {
                if narrower(known, wanted) {
                    found += 1;
                    let passes = |value: &&Datum| holds(known, value.as_ref()) && !holds(wanted, value.as_ref());
                    assert_eq!(values.iter().find(passes), None, "{known:?} does not imply {wanted:?}");
                }
            }
        }
        // x > 1 implies x > 0, x >= 1, x <> 0, IS NOT NULL ...
        assert!(found > 100, "{found}");
        let above = |value| PredicateOp::Compare(CompareOp::Gt, Datum::Int32(value));
        assert!(narrower(&above(5), &above(3)) && !narrower(&above(3), &above(5)));
        let one_of = PredicateOp::In(vec![Datum::Int32(1), Datum::Int32(2)]);
        assert!(narrower(&PredicateOp::Compare(CompareOp::Eq, Datum::Int32(1)), &one_of));
    }
}
