//! Functions that give rows: `unnest`, `generate_series`, `generate_subscripts`, ...
//!
//! A call becomes an expression that gives a list for each row of its input, and the plan expands the lists
//! (`bind::rows`). A list of no rows is NULL, so that an outer join can tell.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, StructArray, UInt32Array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};
use datafusion::logical_expr::Expr;
use heliosdb_contracts::{arrow_type, datum_at};
use heliosdb_types::{ArrayView, Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType};

use super::aggregate::undefined;
use super::common::without_modifier;
use super::udf::Function;
use super::value::{physical_of_type, wrong_shape};
use super::{CastKind, FuncContext, Typed, array, cast};
use crate::exec::{ColumnBuilder, from_arrow};

/// The most rows the calls of one batch of input rows may give together.
const ROWS_MAX: usize = 20_000_000;

/// A call of a function that gives rows.
#[derive(Clone, Debug)]
pub struct RowsCall {
    /// Gives a list of values (one column) or of structs (several) for each input row; NULL for no rows.
    pub list: Expr,
    /// What an element is.
    pub columns: Vec<RowsColumn>,
}

#[derive(Clone, Debug)]
pub struct RowsColumn {
    pub name: String,
    pub sql_type: SqlType,
}

/// Takes the rows of one call.
pub(crate) struct RowsOut {
    columns: Vec<ColumnBuilder>,
    count: usize,
}

impl RowsOut {
    /// Adds a row; `values` are as many as the function has columns.
    pub(crate) fn row(&mut self, values: &[DatumRef<'_>]) -> Result<()> {
        if self.count >= ROWS_MAX {
            let message = format!("a function gives more than {ROWS_MAX} rows at once");
            return Err(Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        if values.len() != self.columns.len() {
            return Err(Error::internal(format!("{} values for {} columns", values.len(), self.columns.len())));
        }
        self.count += 1;
        self.columns.iter_mut().zip(values).try_for_each(|(column, value)| column.push(*value))
    }
}

impl RowsCall {
    /// A call whose kernel adds the rows of one input row. `key` tells the function from others of its name.
    pub(crate) fn new(
        name: &str,
        key: impl Into<String>,
        args: Vec<Typed>,
        columns: Vec<(&str, SqlType)>,
        kernel: impl Fn(&[DatumRef<'_>], &mut RowsOut) -> Result<()> + Send + Sync + 'static,
    ) -> RowsCall {
        RowsCall::build(name, key, false, args, columns, kernel)
    }

    /// The same without arguments, and each run may give other rows.
    pub(crate) fn changing(
        name: &str,
        columns: Vec<(&str, SqlType)>,
        kernel: impl Fn(&[DatumRef<'_>], &mut RowsOut) -> Result<()> + Send + Sync + 'static,
    ) -> RowsCall {
        RowsCall::build(name, "", true, Vec::new(), columns, kernel)
    }

    fn build(
        name: &str,
        key: impl Into<String>,
        volatile: bool,
        args: Vec<Typed>,
        columns: Vec<(&str, SqlType)>,
        kernel: impl Fn(&[DatumRef<'_>], &mut RowsOut) -> Result<()> + Send + Sync + 'static,
    ) -> RowsCall {
        let physicals: Vec<PhysicalType> = columns.iter().map(|(_, sql_type)| physical_of_type(sql_type)).collect();
        let element = element_type(&physicals);
        let field = Arc::new(Field::new_list_field(element.clone(), true));
        let arguments: Vec<PhysicalType> = args.iter().map(Typed::physical).collect();
        let key = format!("rows {} {arguments:?}->{physicals:?}", key.into());
        let function = Function::arrays(name, key, DataType::List(Arc::clone(&field)), move |arrays, rows| {
            let builders = physicals.iter().map(|physical| ColumnBuilder::new(*physical, 0)).collect();
            let mut out = RowsOut { columns: builders, count: 0 };
            let (mut offsets, mut given) = (vec![0i32], Vec::with_capacity(rows));
            let mut values = Vec::with_capacity(arrays.len());
            for row in 0..rows {
                values.clear();
                for (array, physical) in arrays.iter().zip(&arguments) {
                    values.push(datum_at(array, row, *physical)?);
                }
                let before = out.count;
                kernel(&values, &mut out)?;
                offsets.push(out.count as i32);
                given.push(out.count > before);
            }
            let count = out.count;
            let columns: Vec<ArrayRef> = out.columns.into_iter().map(ColumnBuilder::finish).collect();
            let elements: ArrayRef = match (&element, <[ArrayRef; 1]>::try_from(columns)) {
                (_, Ok([only])) => only,
                (DataType::Struct(fields), Err(columns)) => Arc::new(
                    StructArray::try_new_with_length(fields.clone(), columns, None, count).map_err(from_arrow)?,
                ),
                _ => return Err(Error::internal("rows of several columns are structs")),
            };
            let offsets = OffsetBuffer::new(offsets.into());
            let list = ListArray::try_new(Arc::clone(&field), offsets, elements, Some(NullBuffer::from(given)));
            Ok(Arc::new(list.map_err(from_arrow)?) as ArrayRef)
        });
        let function = if volatile { function.volatile() } else { function };
        let list = function.call(args.into_iter().map(|arg| arg.expr).collect());
        let columns = columns.into_iter().map(|(name, sql_type)| RowsColumn { name: name.to_owned(), sql_type });
        RowsCall { list, columns: columns.collect() }
    }

    /// The call's columns, from the expression that gives one element.
    pub fn values(&self, element: Expr) -> Vec<Typed> {
        let [only] = self.columns.as_slice() else {
            let fields = self.columns.iter().enumerate();
            return fields
                .map(|(at, column)| Typed::new(field_of(&element, at, column), column.sql_type.clone()))
                .collect();
        };
        vec![Typed::new(element, only.sql_type.clone())]
    }
}

fn element_type(physicals: &[PhysicalType]) -> DataType {
    match physicals {
        [only] => arrow_type(*only),
        several => {
            let fields = several.iter().enumerate();
            let fields = fields.map(|(at, physical)| Field::new(format!("c{at}"), arrow_type(*physical), true));
            DataType::Struct(fields.collect::<Fields>())
        }
    }
}

/// A column of a struct; NULL where the struct is.
fn field_of(element: &Expr, at: usize, column: &RowsColumn) -> Expr {
    let arrow = arrow_type(physical_of_type(&column.sql_type));
    let function = Function::arrays("row_field", format!("row_field {at} {arrow}"), arrow, move |args, _| {
        let [array] = args else { return Err(Error::internal("one struct")) };
        let rows = array.as_struct_opt().ok_or_else(|| Error::internal("rows of several columns are structs"))?;
        let column = rows.columns().get(at).ok_or_else(|| Error::internal("a struct without the column"))?;
        let Some(nulls) = rows.nulls().filter(|nulls| nulls.null_count() > 0) else { return Ok(Arc::clone(column)) };
        let places = (0..rows.len() as u32).map(|row| nulls.is_valid(row as usize).then_some(row));
        arrow_select::take::take(column.as_ref(), &places.collect::<UInt32Array>(), None).map_err(from_arrow)
    });
    function.call(vec![element.clone()])
}

/// Numbers the elements of lists that are expanded side by side, from 1.
pub fn ordinality(lists: Vec<Expr>) -> RowsCall {
    let field = Arc::new(Field::new_list_field(DataType::Int64, true));
    let function =
        Function::arrays("ordinality", "ordinality", DataType::List(Arc::clone(&field)), move |arrays, rows| {
            let lists: Vec<&ListArray> = arrays.iter().filter_map(|array| array.as_list_opt()).collect();
            let (mut values, mut offsets) = (Vec::new(), vec![0i32]);
            let mut given = Vec::with_capacity(rows);
            for row in 0..rows {
                let lengths = lists.iter().map(|list| if list.is_null(row) { 0 } else { list.value_length(row) });
                let longest = lengths.max().unwrap_or(0);
                values.extend(1..=i64::from(longest));
                offsets.push(values.len() as i32);
                given.push(longest > 0);
            }
            let values = Arc::new(arrow_array::Int64Array::from(values));
            let list = ListArray::try_new(
                Arc::clone(&field),
                OffsetBuffer::new(offsets.into()),
                values,
                Some(NullBuffer::from(given)),
            );
            Ok(Arc::new(list.map_err(from_arrow)?) as ArrayRef)
        });
    let columns = vec![RowsColumn { name: "ordinality".to_owned(), sql_type: SqlType::Int8 }];
    RowsCall { list: function.call(lists), columns }
}

/// Whether calls of this name give rows.
pub fn gives_rows(name: &str) -> bool {
    matches!(name, "unnest" | "generate_series" | "generate_subscripts")
        || super::json::gives_rows(name)
        || super::text_rows::gives_rows(name)
        || super::catalog_rows::gives_rows(name)
}

/// A call of a function that gives rows; `None` if this is not one.
pub fn rows(name: &str, args: &[Typed], ctx: &FuncContext) -> Option<Result<RowsCall>> {
    Some(match name {
        "unnest" => unnest(args),
        "generate_series" => series(args, ctx),
        "generate_subscripts" => subscripts(args, ctx),
        _ => {
            let known = super::catalog_rows::rows(name, args, ctx).or_else(|| super::json::rows(name, args, ctx));
            return known.or_else(|| super::text_rows::rows(name, args, ctx));
        }
    })
}

/// `unnest(array)`: a row for each element, whatever the dimensions.
fn unnest(args: &[Typed]) -> Result<RowsCall> {
    let [arg] = args else { return Err(undefined("unnest", args)) };
    let Some(element) = arg.sql_type.element().cloned() else {
        return Err(if arg.is_unknown() {
            let message = "function unnest(unknown) is not unique";
            Error::invalid(SqlState::AMBIGUOUS_FUNCTION, message)
                .with_hint("Could not choose a best candidate function. You might need to add explicit type casts.")
        } else {
            undefined("unnest", args)
        });
    };
    // The elements of all numeric arrays have one form.
    let shown = if matches!(element, SqlType::Numeric(_)) { without_modifier(&element) } else { element.clone() };
    let key = format!("unnest {}", array::type_key(&element));
    Ok(RowsCall::new("unnest", key, vec![arg.clone()], vec![("unnest", shown)], move |values, out| match values {
        [DatumRef::Bytes(bytes)] => {
            ArrayView::new(&element, bytes)?.iter().try_for_each(|value| out.row(&[value?.as_ref()]))
        }
        [DatumRef::Null] => Ok(()),
        _ => Err(Error::internal("unnest of other than an array")),
    }))
}

/// `generate_subscripts(array, dimension [, reverse])`.
fn subscripts(args: &[Typed], ctx: &FuncContext) -> Result<RowsCall> {
    let name = "generate_subscripts";
    let [arg, dimension, reverse @ ..] = args else { return Err(undefined(name, args)) };
    let Some(element) = arg.sql_type.element().cloned().filter(|_| reverse.len() < 2) else {
        return Err(undefined(name, args));
    };
    let mut all = vec![arg.clone(), cast(dimension.clone(), &SqlType::Int4, CastKind::Implicit, ctx)?];
    if let Some(reverse) = reverse.first() {
        all.push(cast(reverse.clone(), &SqlType::Bool, CastKind::Implicit, ctx)?);
    }
    let key = format!("{name} {}", array::type_key(&element));
    Ok(RowsCall::new(name, key, all, vec![(name, SqlType::Int4)], move |values, out| {
        let [DatumRef::Bytes(bytes), DatumRef::Int32(at), reverse @ ..] = values else { return Ok(()) };
        let array = ArrayView::new(&element, bytes)?;
        let at = usize::try_from(*at).ok().and_then(|at| at.checked_sub(1));
        let Some(dimension) = at.and_then(|at| array.dimensions().get(at)) else { return Ok(()) };
        let (lower, upper) = (dimension.lower, dimension.upper());
        match reverse.first() {
            Some(DatumRef::Null) => Ok(()),
            Some(DatumRef::Bool(true)) => (lower..=upper).rev().try_for_each(|at| out.row(&[DatumRef::Int32(at)])),
            _ => (lower..=upper).try_for_each(|at| out.row(&[DatumRef::Int32(at)])),
        }
    }))
}

/// The type of a series of integers, some of them untyped; 42725 where nothing decides.
pub fn integer_series(args: &[Typed]) -> Result<SqlType> {
    let any = |sql_type: SqlType| args.iter().any(|arg| arg.sql_type == sql_type);
    match (any(SqlType::Int8), any(SqlType::Int4)) {
        (true, _) => Ok(SqlType::Int8),
        (false, true) => Ok(SqlType::Int4),
        (false, false) => Err(super::common::not_unique("generate_series", args)),
    }
}

/// A bound of such a series as a bigint; an untyped one is of the series' type first.
pub fn series_bound(arg: Typed, sql_type: &SqlType, ctx: &FuncContext) -> Result<Typed> {
    let arg = if arg.is_unknown() { cast(arg, sql_type, CastKind::Implicit, ctx)? } else { arg };
    cast(arg, &SqlType::Int8, CastKind::Implicit, ctx)
}

/// `generate_series(start, end [, step])` of integers.
fn series(args: &[Typed], ctx: &FuncContext) -> Result<RowsCall> {
    let name = "generate_series";
    if !(2..=3).contains(&args.len()) {
        return Err(undefined(name, args));
    }
    let integer =
        |arg: &Typed| matches!(arg.sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Unknown);
    if !args.iter().all(integer) {
        return super::series::series(args, ctx)?.ok_or_else(|| undefined(name, args));
    }
    let sql_type = integer_series(args)?;
    let wide = sql_type == SqlType::Int8;
    let all = args.iter().map(|arg| series_bound(arg.clone(), &sql_type, ctx));
    let all = all.collect::<Result<Vec<_>>>()?;
    let key = format!("{name} {wide}");
    Ok(RowsCall::new(name, key, all, vec![(name, sql_type)], move |values, out| {
        if values.iter().any(DatumRef::is_null) {
            return Ok(());
        }
        let at = |at: usize| match values.get(at) {
            Some(DatumRef::Int64(value)) => Ok(*value),
            Some(other) => Err(wrong_shape("a bigint", *other)),
            None => Ok(1),
        };
        let (start, end, step) = (at(0)?, at(1)?, at(2)?);
        if step == 0 {
            return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
        }
        let mut value = start;
        while if step > 0 { value <= end } else { value >= end } {
            let shown = if wide { Datum::Int64(value) } else { Datum::Int32(value as i32) };
            out.row(&[shown.as_ref()])?;
            match value.checked_add(step) {
                Some(next) => value = next,
                None => break,
            }
        }
        Ok(())
    }))
}
