//! Which filters a scan evaluates itself: DataFusion expressions as column predicates.
//!
//! A translation is exact or absent: the expression is true for a row if and only if every predicate is, NULLs included,
//! so DataFusion drops the filter it handed over. Numeric (arbitrary precision) and interval columns are compared by
//! functions of ours and never come here; only their NULL tests do. The same translation over [`TableKeys`] understands what
//! indexes compute; that only chooses an index.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{InList, Like};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use heliosdb_contracts::{ColumnPredicate, CompareOp, PredicateOp};
use heliosdb_types::{ColumnId, Datum, Interval, Numeric, PhysicalType};

use super::index::TableKeys;
use crate::catalog::Relation;

/// A column of the scanned table, or a value computed from its columns.
#[derive(Clone, Copy)]
struct Target {
    id: ColumnId,
    physical: PhysicalType,
    /// It is compared by a key of its own: constants come as such keys.
    computed: bool,
}

/// What predicates can be about.
#[derive(Clone, Copy)]
pub(super) struct Targets<'a> {
    pub relation: &'a Relation,
    /// With them, predicates may also be about what indexes compute.
    pub keys: Option<&'a TableKeys>,
}

/// The predicates equal to `filter`, or `None` if the scan cannot evaluate all of it.
pub(crate) fn translate(filter: &Expr, relation: &Relation) -> Option<Vec<ColumnPredicate>> {
    conditions_of(&Targets { relation, keys: None }, filter)
}

/// The same for one condition about anything.
pub(super) fn conditions_of(targets: &Targets<'_>, filter: &Expr) -> Option<Vec<ColumnPredicate>> {
    let mut out = Vec::new();
    collect(filter, targets, &mut out)?;
    Some(out)
}

/// What can be said of these conjuncts, some of which may say nothing.
pub(super) fn conditions(targets: &Targets<'_>, conjuncts: &[Expr]) -> Vec<ColumnPredicate> {
    conjuncts.iter().filter_map(|conjunct| conditions_of(targets, conjunct)).flatten().collect()
}

fn collect(filter: &Expr, targets: &Targets<'_>, out: &mut Vec<ColumnPredicate>) -> Option<()> {
    match filter {
        Expr::Alias(alias) => collect(&alias.expr, targets, out)?,
        // What is left of a filter that was handed over and simplified after that.
        Expr::Literal(ScalarValue::Boolean(Some(true)), _) => {}
        Expr::Literal(ScalarValue::Boolean(_), _) => {
            out.push(ColumnPredicate { column: targets.relation.columns.first()?.id, op: PredicateOp::In(Vec::new()) });
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            collect(left, targets, out)?;
            collect(right, targets, out)?;
        }
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
            // What the optimiser makes of a short IN list.
            let (mut column, mut values) = (None, Vec::new());
            alternatives(filter, targets, &mut column, &mut values)?;
            out.push(ColumnPredicate { column: column?, op: PredicateOp::In(values) });
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => out.push(comparison(left, *op, right, targets)?),
        Expr::Between(Between { expr, negated: false, low, high }) => {
            out.push(comparison(expr, Operator::GtEq, low, targets)?);
            out.push(comparison(expr, Operator::LtEq, high, targets)?);
        }
        Expr::InList(list) => in_list(list, targets, out)?,
        Expr::Like(like) => out.push(pattern(like, targets)?),
        Expr::IsNull(inner) => out.push(null_test(inner, PredicateOp::IsNull, targets)?),
        Expr::IsNotNull(inner) => out.push(null_test(inner, PredicateOp::IsNotNull, targets)?),
        Expr::Column(_) => out.push(boolean(filter, true, targets)?),
        Expr::IsTrue(inner) => out.push(boolean(inner, true, targets)?),
        Expr::IsFalse(inner) | Expr::Not(inner) => out.push(boolean(inner, false, targets)?),
        _ => return None,
    }
    Some(())
}

fn target(expr: &Expr, targets: &Targets<'_>) -> Option<Target> {
    if let Some(computed) = targets.keys.and_then(|keys| keys.target(expr)) {
        return Some(Target { id: computed.id, physical: computed.physical, computed: true });
    }
    let Expr::Column(column) = expr else { return None };
    let (_, column) = targets.relation.column(&column.name)?;
    Some(Target { id: column.id, physical: column.sql_type.physical()?, computed: false })
}

/// A constant as what it is compared with is kept. Only for conditions that choose an index it may still have to be computed.
fn constant(expr: &Expr, target: Target) -> Option<Datum> {
    let simple;
    let value = match expr {
        Expr::Literal(value, _) => value,
        other if target.computed && other.column_refs().is_empty() => {
            let context = SimplifyContext::builder().build();
            simple = ExprSimplifier::new(context).simplify(other.clone()).ok()?;
            let Expr::Literal(value, _) = &simple else { return None };
            value
        }
        _ => return None,
    };
    match (target.computed, target.physical, value) {
        (true, PhysicalType::Numeric, ScalarValue::BinaryView(Some(key))) => {
            Numeric::from_sort_bytes(key).ok().map(Datum::Numeric)
        }
        (true, PhysicalType::Interval, ScalarValue::Decimal128(Some(micros), _, 0)) => {
            Some(Datum::Interval(Interval { months: 0, days: 0, micros: i64::try_from(*micros).ok()? }))
        }
        (_, physical, value) => datum(value, physical),
    }
}

fn comparable(target: Target) -> Option<Target> {
    (target.computed || !matches!(target.physical, PhysicalType::Numeric | PhysicalType::Interval)).then_some(target)
}

/// The values of `a = 1 OR a = 2 OR a IN (3, 4)`, if it is all about one column.
fn alternatives(
    expr: &Expr,
    targets: &Targets<'_>,
    column: &mut Option<ColumnId>,
    values: &mut Vec<Datum>,
) -> Option<()> {
    if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) = expr {
        alternatives(left, targets, column, values)?;
        return alternatives(right, targets, column, values);
    }
    let mut part = Vec::new();
    collect(expr, targets, &mut part)?;
    let [ColumnPredicate { column: found, op }] = part.as_slice() else { return None };
    if *column.get_or_insert(*found) != *found {
        return None;
    }
    match op {
        PredicateOp::Compare(CompareOp::Eq, value) => values.push(value.clone()),
        PredicateOp::In(list) => values.extend(list.iter().cloned()),
        _ => return None,
    }
    Some(())
}

fn comparison(left: &Expr, op: Operator, right: &Expr, targets: &Targets<'_>) -> Option<ColumnPredicate> {
    let (column, op, literal) = match target(left, targets) {
        Some(column) => (column, op, right),
        None => (target(right, targets)?, op.swap()?, left),
    };
    let op = compare_op(op)?;
    let column = comparable(column)?;
    let value = constant(literal, column)?;
    Some(ColumnPredicate { column: column.id, op: PredicateOp::Compare(op, value) })
}

pub(super) fn compare_op(op: Operator) -> Option<CompareOp> {
    Some(match op {
        Operator::Eq => CompareOp::Eq,
        Operator::NotEq => CompareOp::NotEq,
        Operator::Lt => CompareOp::Lt,
        Operator::LtEq => CompareOp::LtEq,
        Operator::Gt => CompareOp::Gt,
        Operator::GtEq => CompareOp::GtEq,
        _ => return None,
    })
}

fn in_list(list: &InList, targets: &Targets<'_>, out: &mut Vec<ColumnPredicate>) -> Option<()> {
    let column = comparable(target(&list.expr, targets)?)?;
    let mut values = Vec::with_capacity(list.list.len());
    for item in &list.list {
        if matches!(item, Expr::Literal(value, _) if value.is_null()) {
            // `x IN (.., NULL)` is true exactly when another item matches; `NOT IN` never is.
            if list.negated {
                return None;
            }
            continue;
        }
        values.push(constant(item, column)?);
    }
    if list.negated {
        let differs = |value| PredicateOp::Compare(CompareOp::NotEq, value);
        out.extend(values.into_iter().map(|v| ColumnPredicate { column: column.id, op: differs(v) }));
    } else {
        out.push(ColumnPredicate { column: column.id, op: PredicateOp::In(values) });
    }
    Some(())
}

fn pattern(like: &Like, targets: &Targets<'_>) -> Option<ColumnPredicate> {
    if like.negated || like.case_insensitive || like.escape_char.is_some_and(|c| c != '\\') {
        return None;
    }
    let column = target(&like.expr, targets).filter(|t| t.physical == PhysicalType::Text)?;
    let Expr::Literal(value, _) = like.pattern.as_ref() else { return None };
    let Datum::Text(pattern) = datum(value, PhysicalType::Text)? else { return None };
    if pattern.contains(['_', '\\']) {
        return None;
    }
    let op = match pattern.split('%').collect::<Vec<_>>().as_slice() {
        [whole] => PredicateOp::Compare(CompareOp::Eq, Datum::Text((*whole).to_owned())),
        [prefix, ""] => PredicateOp::StartsWith((*prefix).to_owned()),
        ["", part, ""] => PredicateOp::Contains((*part).to_owned()),
        _ => return None,
    };
    Some(ColumnPredicate { column: column.id, op })
}

fn null_test(expr: &Expr, op: PredicateOp, targets: &Targets<'_>) -> Option<ColumnPredicate> {
    Some(ColumnPredicate { column: target(expr, targets)?.id, op })
}

fn boolean(expr: &Expr, is: bool, targets: &Targets<'_>) -> Option<ColumnPredicate> {
    let column = target(expr, targets).filter(|t| t.physical == PhysicalType::Bool)?;
    Some(ColumnPredicate { column: column.id, op: PredicateOp::Compare(CompareOp::Eq, Datum::Bool(is)) })
}

/// A literal as a value of a column's physical type; `None` if it is NULL or does not fit exactly.
pub(crate) fn datum(value: &ScalarValue, physical: PhysicalType) -> Option<Datum> {
    Some(match (physical, value) {
        (PhysicalType::Bool, ScalarValue::Boolean(Some(v))) => Datum::Bool(*v),
        (PhysicalType::Int16, _) => Datum::Int16(i16::try_from(integer(value)?).ok()?),
        (PhysicalType::Int32, _) => Datum::Int32(i32::try_from(integer(value)?).ok()?),
        (PhysicalType::Int64, _) => Datum::Int64(integer(value)?),
        (PhysicalType::Float32, ScalarValue::Float32(Some(v))) if !v.is_nan() => Datum::Float32(*v),
        (PhysicalType::Float64, ScalarValue::Float64(Some(v))) if !v.is_nan() => Datum::Float64(*v),
        (PhysicalType::Decimal64 { precision, scale } | PhysicalType::Decimal128 { precision, scale }, _) => {
            Datum::Decimal { unscaled: decimal(value, precision, scale)?, scale }
        }
        (PhysicalType::Text, ScalarValue::Utf8View(v) | ScalarValue::Utf8(v) | ScalarValue::LargeUtf8(v)) => {
            Datum::Text(v.clone()?)
        }
        (PhysicalType::Bytes, ScalarValue::BinaryView(v) | ScalarValue::Binary(v) | ScalarValue::LargeBinary(v)) => {
            Datum::Bytes(v.clone()?)
        }
        (PhysicalType::Date, ScalarValue::Date32(Some(v))) => Datum::Date(*v),
        (PhysicalType::Time, ScalarValue::Time64Microsecond(Some(v))) => Datum::Time(*v),
        (PhysicalType::Timestamp, ScalarValue::TimestampMicrosecond(Some(v), None)) => Datum::Timestamp(*v),
        (PhysicalType::TimestampTz, ScalarValue::TimestampMicrosecond(Some(v), Some(_))) => Datum::TimestampTz(*v),
        (PhysicalType::Uuid, ScalarValue::FixedSizeBinary(16, Some(v))) => Datum::Uuid(v.as_slice().try_into().ok()?),
        _ => return None,
    })
}

pub(crate) fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int8(v) => v.map(i64::from),
        ScalarValue::Int16(v) => v.map(i64::from),
        ScalarValue::Int32(v) => v.map(i64::from),
        ScalarValue::Int64(v) => *v,
        _ => None,
    }
}

/// A literal's unscaled value at the column's scale, if it is exact there and fits the precision.
fn decimal(value: &ScalarValue, precision: u8, scale: i8) -> Option<i128> {
    let (unscaled, from) = match value {
        ScalarValue::Decimal32(Some(v), _, s) => (i128::from(*v), *s),
        ScalarValue::Decimal64(Some(v), _, s) => (i128::from(*v), *s),
        ScalarValue::Decimal128(Some(v), _, s) => (*v, *s),
        _ => (i128::from(integer(value)?), 0),
    };
    let rescaled = if scale >= from {
        unscaled.checked_mul(10i128.checked_pow(u32::try_from(scale - from).ok()?)?)?
    } else {
        let divisor = 10i128.checked_pow(u32::try_from(from - scale).ok()?)?;
        (unscaled % divisor == 0).then_some(unscaled / divisor)?
    };
    (rescaled.unsigned_abs() < 10u128.checked_pow(u32::from(precision))?).then_some(rescaled)
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};
    use heliosdb_types::SqlType;

    use super::*;
    use crate::testing::relation;

    fn table() -> Relation {
        relation(
            "t",
            &[
                ("id", SqlType::Int4),
                ("price", SqlType::Numeric(Some((15, 2)))),
                ("name", SqlType::Text),
                ("day", SqlType::Date),
                ("big", SqlType::Numeric(None)),
                ("ok", SqlType::Bool),
            ],
            &["id"],
        )
    }

    fn compare(column: u32, op: CompareOp, value: Datum) -> ColumnPredicate {
        ColumnPredicate { column: ColumnId(column), op: PredicateOp::Compare(op, value) }
    }

    fn text(value: &str) -> Expr {
        Expr::Literal(ScalarValue::Utf8View(Some(value.into())), None)
    }

    #[test]
    fn comparisons_go_down_whichever_side_the_column_is_on() {
        let table = table();
        let both = col("id").gt(lit(3)).and(lit(9).gt_eq(col("id")));
        let expected = vec![compare(1, CompareOp::Gt, Datum::Int32(3)), compare(1, CompareOp::LtEq, Datum::Int32(9))];
        assert_eq!(translate(&both, &table), Some(expected));
        let day = Expr::Literal(ScalarValue::Date32(Some(100)), None);
        let between = col("day").between(day.clone(), day);
        let expected =
            vec![compare(4, CompareOp::GtEq, Datum::Date(100)), compare(4, CompareOp::LtEq, Datum::Date(100))];
        assert_eq!(translate(&between, &table), Some(expected));
        assert_eq!(translate(&col("id").gt(col("id")), &table), None);
        assert_eq!(translate(&col("id").gt(lit(3)).or(col("ok")), &table), None);
        let either = col("id").eq(lit(3)).or(col("id").eq(lit(9)).or(col("id").in_list(vec![lit(4)], false)));
        let list = PredicateOp::In(vec![Datum::Int32(3), Datum::Int32(9), Datum::Int32(4)]);
        assert_eq!(translate(&either, &table), Some(vec![ColumnPredicate { column: ColumnId(1), op: list }]));
        assert_eq!(translate(&col("id").eq(lit(3)).or(col("name").eq(text("x"))), &table), None);
    }

    #[test]
    fn decimals_are_rescaled_only_when_that_is_exact() {
        let table = table();
        let price = |v, p, s| col("price").lt(Expr::Literal(ScalarValue::Decimal128(Some(v), p, s), None));
        let expected = |unscaled| {
            let value = Datum::Decimal { unscaled, scale: 2 };
            Some(vec![compare(2, CompareOp::Lt, value)])
        };
        assert_eq!(translate(&price(24, 2, 0), &table), expected(2400));
        assert_eq!(translate(&price(24_000, 5, 3), &table), expected(2400));
        assert_eq!(translate(&price(24_001, 5, 3), &table), None, "24.001 does not exist at scale 2");
        assert_eq!(translate(&price(10i128.pow(15), 16, 0), &table), None, "out of the column's range");
        assert_eq!(translate(&col("big").eq(lit(1)), &table), None);
        let is_null = ColumnPredicate { column: ColumnId(5), op: PredicateOp::IsNull };
        assert_eq!(translate(&col("big").is_null(), &table), Some(vec![is_null]));
    }

    #[test]
    fn lists_and_patterns_keep_null_logic_and_wildcards() {
        let table = table();
        let null = || Expr::Literal(ScalarValue::Int32(None), None);
        let list = |list| ColumnPredicate { column: ColumnId(1), op: PredicateOp::In(list) };
        let one_two = vec![Datum::Int32(1), Datum::Int32(2)];
        let with_null = col("id").in_list(vec![lit(1), null(), lit(2)], false);
        assert_eq!(translate(&with_null, &table), Some(vec![list(one_two)]));
        assert_eq!(translate(&col("id").in_list(vec![lit(1), null()], true), &table), None);
        assert_eq!(translate(&col("id").eq(null()), &table), None);
        let op = |pattern: &str| Some(translate(&col("name").like(text(pattern)), &table)?.remove(0).op);
        assert_eq!(op("PROMO%"), Some(PredicateOp::StartsWith("PROMO".into())));
        assert_eq!(op("%green%"), Some(PredicateOp::Contains("green".into())));
        assert_eq!(op("x"), Some(PredicateOp::Compare(CompareOp::Eq, Datum::Text("x".into()))));
        for refused in ["%BRASS", "a_c%", "a\\%", "%special%requests%"] {
            assert_eq!(op(refused), None, "{refused}");
        }
        assert_eq!(translate(&col("name").not_like(text("a%")), &table), None);
        let is = |v| Some(vec![compare(6, CompareOp::Eq, Datum::Bool(v))]);
        assert_eq!(translate(&col("ok"), &table), is(true));
        assert_eq!(translate(&Expr::Not(Box::new(col("ok"))), &table), is(false));
    }
}
