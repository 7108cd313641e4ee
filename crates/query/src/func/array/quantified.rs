//! `x op ANY (array)` and `x op ALL (array)` for any operator.
//!
//! With a constant array (a literal, or a parameter once it has its value) the call becomes what could have been written
//! without an array: an IN list, which storage can test, or for other operators a few comparisons. Otherwise a kernel flattens
//! the arrays of some rows into one column, evaluates the operator over all elements at once, and folds each row's results.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::builder::BooleanBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Operator, lit};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use heliosdb_contracts::datum_at;
use heliosdb_types::{ArrayView, DatumRef, Error, PhysicalType, Result, SqlState, SqlType, element_key};
use sqlparser::ast::BinaryOperator;

use super::super::common::without_modifier;
use super::super::udf::Function;
use super::super::value::{literal_of, physical_of_type};
use super::super::{CastKind, FuncContext, Typed, binary, cast};
use super::{type_key, view};
use crate::exec::{ColumnBuilder, from_arrow, from_datafusion};

/// Elements compared at once.
const CHUNK_ELEMENTS: usize = 1 << 16;
/// The most comparisons a constant array becomes, other than an IN list.
const COMPARISONS_MAX: usize = 16;
/// The longest IN list a constant array becomes.
const LIST_MAX: usize = 100_000;

/// `any`: ANY (SOME); else ALL.
pub fn quantified(op: &BinaryOperator, left: Typed, array: Typed, any: bool, ctx: &FuncContext) -> Result<Typed> {
    let (left, array) = settle(left, array, ctx)?;
    let Some(element) = array.sql_type.element().cloned() else {
        let message = "op ANY/ALL (array) requires array on right side";
        return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
    };
    let operand = |name: &str, sql_type: &SqlType, arrow: &DataType| Typed {
        expr: Expr::Column(Column::new_unqualified(name)),
        sql_type: sql_type.clone(),
        arrow: arrow.clone(),
    };
    // The elements of all numeric arrays have one form.
    let element = if matches!(element, SqlType::Numeric(_)) { without_modifier(&element) } else { element };
    let physical = physical_of_type(&element);
    let element_arrow = heliosdb_contracts::arrow_type(physical);
    let (l, e) = (operand("l", &left.sql_type, &left.arrow), operand("e", &element, &element_arrow));
    let compared = binary(op, l, e, ctx)?;
    if compared.sql_type != SqlType::Bool {
        let message = "op ANY/ALL (array) requires operator to yield boolean";
        return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
    }
    let fields = vec![Field::new("l", left.arrow.clone(), true), Field::new("e", element_arrow, true)];
    let schema = Arc::new(Schema::new(fields));
    let described = DFSchema::try_from(Arc::clone(&schema)).map_err(from_datafusion)?;
    let planning = PhysicalPlanningContext::default();
    let compared = create_physical_expr(&compared.expr, &described, &ExecutionProps::new(), &planning);
    let compared = compared.map_err(from_datafusion)?;
    let equality = matches!((op, any), (BinaryOperator::Eq, true) | (BinaryOperator::NotEq, false));
    let same = without_modifier(&left.sql_type) == without_modifier(&element) && super::comparable(&element);
    let keys = (equality && same).then(|| left.physical());
    let quantified = Quantified { element: element.clone(), physical, schema, compared, any, keys };
    let name = if any { "any" } else { "all" };
    let key = format!(
        "{name} {op} {} {} {} {}",
        type_key(&left.sql_type),
        left.arrow,
        type_key(&element),
        ctx.text.time_zone.name()
    );
    let function =
        Function::arrays(name, key, DataType::Boolean, move |arrays, rows| quantified.evaluate(arrays, rows));
    let (op, left_type, left_arrow, ctx) = (op.clone(), left.sql_type.clone(), left.arrow.clone(), ctx.clone());
    let function = function.specialised_by(move |args| {
        let [left, Expr::Literal(value, _)] = args else { return None };
        let left = Typed { expr: left.clone(), sql_type: left_type.clone(), arrow: left_arrow.clone() };
        constant(&op, left, value, &element, any, &ctx)
    });
    Ok(Typed::new(function.call(vec![left.expr, array.expr]), SqlType::Bool))
}

/// Decides the types of untyped sides: the array's elements and the left side have one type then.
fn settle(left: Typed, array: Typed, ctx: &FuncContext) -> Result<(Typed, Typed)> {
    match (left.is_unknown(), array.is_unknown()) {
        (true, true) => {
            let left = cast(left, &SqlType::Text, CastKind::Implicit, ctx)?;
            Ok((left, cast(array, &SqlType::Text.array_of(), CastKind::Implicit, ctx)?))
        }
        (true, false) => match array.sql_type.element() {
            Some(element) => Ok((cast(left, &without_modifier(element), CastKind::Implicit, ctx)?, array)),
            None => Ok((left, array)),
        },
        (false, true) => {
            let element = match &left.sql_type {
                SqlType::Varchar(_) | SqlType::QuotedChar | SqlType::Name => SqlType::Text,
                other => without_modifier(other),
            };
            let array = cast(array, &element.array_of(), CastKind::Implicit, ctx)?;
            Ok((left, array))
        }
        (false, false) => Ok((left, array)),
    }
}

/// An array's keys.
struct Keys<'a> {
    of: &'a [u8],
    keys: HashSet<&'a [u8]>,
    nulls: bool,
}

struct Quantified {
    element: SqlType,
    physical: PhysicalType,
    schema: Arc<Schema>,
    compared: Arc<dyn PhysicalExpr>,
    any: bool,
    /// `= ANY` and `<> ALL` of one type on both sides: looked up by key; how the left side travels.
    keys: Option<PhysicalType>,
}

impl Quantified {
    fn evaluate(&self, arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let [left, arrays] = arrays else { return Err(super::wrong_arguments("ANY/ALL")) };
        if let Some(physical) = self.keys {
            return self.look_up(left, physical, arrays, rows);
        }
        let mut out = BooleanBuilder::with_capacity(rows);
        let mut row = 0;
        while row < rows {
            let mut elements = ColumnBuilder::new(self.physical, 0);
            let (mut owners, mut lengths): (Vec<u32>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
            while row < rows && owners.len() < CHUNK_ELEMENTS {
                let array = view(&self.element, datum_at(arrays, row, PhysicalType::Bytes)?)?;
                for value in array.iter().flat_map(heliosdb_types::ArrayView::iter) {
                    elements.push(value?.as_ref())?;
                    owners.push(row as u32);
                }
                lengths.push(array.map(|array| array.len()));
                row += 1;
            }
            let left = arrow_select::take::take(left.as_ref(), &UInt32Array::from(owners), None).map_err(from_arrow)?;
            let count = left.len();
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![left, elements.finish()]);
            let compared = self.compared.evaluate(&batch.map_err(from_arrow)?).map_err(from_datafusion)?;
            let compared = compared.into_array(count).map_err(from_datafusion)?;
            self.fold(&compared, &lengths, &mut out)?;
        }
        Ok(Arc::new(out.finish()))
    }

    /// Equality by key. The set of an array's keys is kept for as long as the rows have the same array.
    fn look_up(&self, left: &ArrayRef, physical: PhysicalType, arrays: &ArrayRef, rows: usize) -> Result<ArrayRef> {
        let mut out = BooleanBuilder::with_capacity(rows);
        let mut known: Option<Keys<'_>> = None;
        for row in 0..rows {
            let DatumRef::Bytes(bytes) = datum_at(arrays, row, PhysicalType::Bytes)? else {
                out.append_null();
                continue;
            };
            if known.as_ref().is_none_or(|known| known.of != bytes) {
                let (mut keys, mut nulls) = (HashSet::new(), false);
                for key in ArrayView::new(&self.element, bytes)?.keys() {
                    match key? {
                        Some(key) => {
                            keys.insert(key);
                        }
                        None => nulls = true,
                    }
                }
                known = Some(Keys { of: bytes, keys, nulls });
            }
            let Some(Keys { keys, nulls, .. }) = &known else { return Err(Error::internal("the keys of an array")) };
            let wanted = element_key(&self.element, datum_at(left, row, physical)?)?;
            match wanted {
                // Nothing is compared with an empty array, not even NULL.
                _ if keys.is_empty() && !nulls => out.append_value(!self.any),
                None => out.append_null(),
                Some(wanted) if keys.contains(wanted.as_slice()) => out.append_value(self.any),
                Some(_) if *nulls => out.append_null(),
                Some(_) => out.append_value(!self.any),
            }
        }
        Ok(Arc::new(out.finish()))
    }

    /// One result a row: true if any is true (ALL: false if any is false), else NULL if any is NULL.
    fn fold(&self, compared: &ArrayRef, lengths: &[Option<usize>], out: &mut BooleanBuilder) -> Result<()> {
        let compared = compared.as_boolean_opt().ok_or_else(|| Error::internal("a comparison is a boolean"))?;
        let mut at = 0;
        for length in lengths {
            let Some(length) = *length else {
                out.append_null();
                continue;
            };
            let (mut decided, mut unknown) = (false, false);
            for element in at..at + length {
                if compared.is_null(element) {
                    unknown = true;
                } else {
                    decided |= compared.value(element) == self.any;
                }
            }
            at += length;
            match (decided, unknown) {
                (true, _) => out.append_value(self.any),
                (false, true) => out.append_null(),
                (false, false) => out.append_value(!self.any),
            }
        }
        Ok(())
    }
}

/// The elements of a constant array as literals; `None` if it is NULL.
fn constant_elements(value: &ScalarValue, element: &SqlType) -> Result<Option<Vec<Typed>>> {
    let array = value.to_array().map_err(from_datafusion)?;
    let Some(array) = view(element, datum_at(&array, 0, PhysicalType::Bytes)?)? else { return Ok(None) };
    let numeric = matches!(element, SqlType::Numeric(_));
    let literal = |value: DatumRef<'_>| match value {
        // In its decimal form it can be compared with a bare column.
        DatumRef::Numeric(bytes) if numeric => {
            super::super::literal::numeric_literal(&heliosdb_types::Numeric::from_bytes_unchecked(bytes))
        }
        value => literal_of(&value.to_owned(), element.clone(), physical_of_type(element)),
    };
    array.iter().map(|value| literal(value?.as_ref())).collect::<Result<Vec<_>>>().map(Some)
}

/// The call with a constant array, without the array; `None` where the kernel does better.
fn constant(
    op: &BinaryOperator,
    left: Typed,
    value: &ScalarValue,
    element: &SqlType,
    any: bool,
    ctx: &FuncContext,
) -> Option<Expr> {
    let Some(elements) = constant_elements(value, element).ok()? else {
        return Some(Expr::Literal(ScalarValue::Boolean(None), None));
    };
    if elements.is_empty() {
        return Some(lit(!any));
    }
    let list = match (op, any) {
        (BinaryOperator::Eq, true) => elements.len() <= LIST_MAX,
        (BinaryOperator::NotEq, false) => elements.len() <= LIST_MAX,
        _ => false,
    };
    let bare = matches!(left.expr, Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::Literal(..));
    if !list && (!bare || elements.len() > COMPARISONS_MAX) {
        return None;
    }
    let compared_by = if list { &BinaryOperator::Eq } else { op };
    let mut parts = Vec::with_capacity(elements.len());
    for value in elements {
        parts.push(binary(compared_by, left.clone(), value, ctx).ok()?.expr);
    }
    if list && let Some((tested, literals)) = literal_list(&parts) {
        return Some(Expr::InList(InList { expr: Box::new(tested), list: literals, negated: !any }));
    }
    if list && !any || !bare || parts.len() > COMPARISONS_MAX {
        return None;
    }
    parts.into_iter().reduce(if any { Expr::or } else { Expr::and })
}

/// `x = 1`, `x = 2`, ... with the same `x` as (x, [1, 2, ...]).
fn literal_list(parts: &[Expr]) -> Option<(Expr, Vec<Expr>)> {
    let mut tested: Option<&Expr> = None;
    let mut literals = Vec::with_capacity(parts.len());
    for part in parts {
        let Expr::BinaryExpr(comparison) = part else { return None };
        if comparison.op != Operator::Eq || !matches!(*comparison.right, Expr::Literal(..)) {
            return None;
        }
        let left = comparison.left.as_ref();
        if *tested.get_or_insert(left) != left {
            return None;
        }
        literals.push(comparison.right.as_ref().clone());
    }
    Some((tested?.clone(), literals))
}

#[cfg(test)]
mod tests {
    use heliosdb_types::Datum;

    use super::*;

    #[test]
    fn constant_arrays_give_their_elements() {
        let bytes = heliosdb_types::text_array([Some("a"), None]).unwrap();
        let Datum::Bytes(bytes) = bytes else { panic!("arrays are bytes") };
        let elements = constant_elements(&ScalarValue::BinaryView(Some(bytes)), &SqlType::Text).unwrap().unwrap();
        assert_eq!(elements.len(), 2);
        assert!(elements.iter().all(|element| element.sql_type == SqlType::Text));
        assert!(constant_elements(&ScalarValue::BinaryView(None), &SqlType::Text).unwrap().is_none());
    }
}
