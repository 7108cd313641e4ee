//! Window functions: OVER, named windows, frames.

use std::collections::{HashMap, HashSet};

use arrow_schema::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, Spanned};

use super::aggregate::{output_column, rewrite};
use super::binder::Binder;
use super::from::refuse;
use super::names::fold_identifier;
use super::order::OrderKey;
use super::plan::{self, from_datafusion, simplify};
use super::select::Clauses;
use super::subquery::has_subquery;
use crate::func::{self, CastKind};

/// PARTITION BY, ORDER BY and frame of one OVER, bound.
pub(super) struct BoundWindow {
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<Sort>,
    pub frame: Option<WindowFrame>,
}

impl Binder<'_> {
    /// Window nodes over the input, and the clauses rewritten over their output.
    pub fn plan_windows(&mut self, input: LogicalPlan, clauses: &mut Clauses) -> Result<LogicalPlan> {
        let mut calls: Vec<Expr> = Vec::new();
        for expr in clauses.exprs_mut() {
            expr.apply(|node| {
                Ok(match node {
                    Expr::WindowFunction(_) => {
                        if !calls.contains(node) {
                            calls.push(node.clone());
                        }
                        TreeNodeRecursion::Jump
                    }
                    _ => TreeNodeRecursion::Continue,
                })
            })
            .map_err(from_datafusion)?;
        }
        if calls.is_empty() {
            return Ok(input);
        }
        refuse(calls.iter().any(has_subquery), "a subquery inside a window function")?;
        let mut outputs = HashMap::new();
        let (mut seen, mut computed) = (HashSet::new(), Vec::new());
        let mut keys: Vec<(Expr, Column)> = Vec::new();
        for call in &mut calls {
            let original = call.clone();
            if let Expr::WindowFunction(window) = call {
                // Keys that are computed become columns: rewrites do not reach all of a node's calls alike, and planning counts on
                // their keys being the same.
                let params = &mut window.params;
                let sorts = params.order_by.iter_mut().map(|sort| &mut sort.expr);
                for key in params.partition_by.iter_mut().chain(sorts) {
                    if matches!(key, Expr::Column(_) | Expr::Literal(..)) || key.contains_outer() {
                        continue;
                    }
                    let known = keys.iter().find(|(expr, _)| expr == key).map(|(_, column)| column.clone());
                    let column = known.unwrap_or_else(|| {
                        self.computed += 1;
                        let column = Column::new_unqualified(format!("key:{}", self.computed));
                        keys.push((key.clone(), column.clone()));
                        computed.push((key.clone(), column.name.clone()));
                        column
                    });
                    *key = Expr::Column(column);
                }
            }
            if !seen.insert(call.schema_name().to_string())
                && let Expr::WindowFunction(window) = call
            {
                // Names leave out casts: arguments that differ in nothing else are computed below, under names of their own.
                for arg in window.params.args.iter_mut().filter(|arg| !matches!(arg, Expr::Literal(..))) {
                    self.computed += 1;
                    let column = Column::new_unqualified(format!("argument:{}", self.computed));
                    computed.push((std::mem::replace(arg, Expr::Column(column.clone())), column.name));
                }
            }
            outputs.insert(original, output_column(call));
        }
        let input = plan::extend(input, computed)?;
        let plan = LogicalPlanBuilder::window_plan(input, calls).map_err(from_datafusion)?;
        for output in outputs.iter_mut().filter(|(call, _)| is_aggregate(call)).map(|(_, output)| output) {
            let found = match &*output {
                Expr::Column(column) => plan.schema().field_with_unqualified_name(&column.name).ok(),
                _ => None,
            };
            if let Some(field) = found {
                *output = func::as_it_is(std::mem::take(output), field.data_type().clone());
            }
        }
        for expr in clauses.exprs_mut() {
            *expr = rewrite(std::mem::take(expr), &outputs)?;
        }
        Ok(plan)
    }

    /// The windows of a WINDOW clause, each with what it takes over from an earlier one.
    pub fn named_windows(
        &mut self,
        definitions: &[ast::NamedWindowDefinition],
    ) -> Result<Vec<(String, ast::WindowSpec)>> {
        let mut windows: Vec<(String, ast::WindowSpec)> = Vec::new();
        for ast::NamedWindowDefinition(name, definition) in definitions {
            let name = fold_identifier(name);
            if windows.iter().any(|(other, _)| *other == name) {
                let message = format!("window \"{name}\" is already defined");
                return Err(Error::invalid(SqlState::WINDOWING_ERROR, message));
            }
            let ast::NamedWindowExpr::WindowSpec(spec) = definition else {
                return Err(Error::unsupported("a window defined as another"));
            };
            let spec = self.complete_window(spec.clone(), &windows)?;
            windows.push((name, spec));
        }
        Ok(windows)
    }

    /// `(base ORDER BY ...)` with what it takes over from its base.
    fn complete_window(&self, spec: ast::WindowSpec, windows: &[(String, ast::WindowSpec)]) -> Result<ast::WindowSpec> {
        let Some(base) = spec.window_name else { return Ok(spec) };
        let base_spec = self.window_called(&base, windows)?;
        let name = fold_identifier(&base);
        let refused = |message: String| Err(self.error_at(base.span, SqlState::WINDOWING_ERROR, message));
        if !spec.partition_by.is_empty() {
            return refused(format!("cannot override PARTITION BY clause of window \"{name}\""));
        }
        if !spec.order_by.is_empty() && !base_spec.order_by.is_empty() {
            return refused(format!("cannot override ORDER BY clause of window \"{name}\""));
        }
        if base_spec.window_frame.is_some() {
            return refused(format!("cannot copy window \"{name}\" because it has a frame clause"));
        }
        let order_by = if spec.order_by.is_empty() { base_spec.order_by } else { spec.order_by };
        Ok(ast::WindowSpec { window_name: None, order_by, window_frame: spec.window_frame, ..base_spec })
    }

    fn window_called(&self, name: &ast::Ident, windows: &[(String, ast::WindowSpec)]) -> Result<ast::WindowSpec> {
        let folded = fold_identifier(name);
        let found = windows.iter().find(|(other, _)| *other == folded).map(|(_, spec)| spec.clone());
        found.ok_or_else(|| {
            let message = format!("window \"{folded}\" does not exist");
            self.error_at(name.span, SqlState::UNDEFINED_OBJECT, message)
        })
    }

    pub fn bind_window(&mut self, window: &ast::WindowType) -> Result<BoundWindow> {
        let windows = self.level().windows.clone();
        let spec = match window {
            ast::WindowType::WindowSpec(spec) => self.complete_window(spec.clone(), &windows)?,
            ast::WindowType::NamedWindow(name) => self.window_called(name, &windows)?,
        };
        let ast::WindowSpec { partition_by, order_by, window_frame, .. } = spec;
        let mut partitions = Vec::with_capacity(partition_by.len());
        for expr in &partition_by {
            let value = self.bind_expr(expr)?;
            let value = self.settle(value)?;
            let comparable = func::check_comparable(&value, false);
            self.at(expr.span(), comparable)?;
            partitions.push(func::sort_key(&value));
        }
        let keys = self.bind_sort_keys(&order_by)?;
        let mut sorts: Vec<Sort> = keys.iter().map(OrderKey::sort).collect();
        let (mut frame, mut distances) = (None, false);
        if let Some(written) = window_frame {
            let (bound, key) = self.bind_frame(&written, &keys)?;
            frame = Some(bound);
            if let (Some(key), Some(sort)) = (key, sorts.first_mut()) {
                (sort.expr, distances) = (key, true);
            }
        }
        if !distances {
            frame = frame_for_keys(frame, &keys);
        }
        frame = frame.map(|frame| settled(frame, keys.is_empty()));
        Ok(BoundWindow { partition_by: partitions, order_by: sorts, frame })
    }

    /// The frame; with RANGE by distances the key as well, in the distances' type.
    fn bind_frame(&mut self, frame: &ast::WindowFrame, keys: &[OrderKey]) -> Result<(WindowFrame, Option<Expr>)> {
        let ast::WindowFrame { units, start_bound, end_bound } = frame;
        let units = match units {
            ast::WindowFrameUnits::Rows => WindowFrameUnits::Rows,
            ast::WindowFrameUnits::Range => WindowFrameUnits::Range,
            ast::WindowFrameUnits::Groups => WindowFrameUnits::Groups,
        };
        if units == WindowFrameUnits::Groups && keys.is_empty() {
            return Err(Error::invalid(SqlState::WINDOWING_ERROR, "GROUPS mode requires an ORDER BY clause"));
        }
        let end_bound = end_bound.as_ref().unwrap_or(&ast::WindowFrameBound::CurrentRow);
        let (start, end) = (distance(start_bound), distance(end_bound));
        if units == WindowFrameUnits::Range && (start.is_some() || end.is_some()) {
            let [key] = keys else {
                let message = "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column";
                return Err(Error::invalid(SqlState::WINDOWING_ERROR, message));
            };
            return self.bind_range(key, (start_bound, start), (end_bound, end));
        }
        let start = self.bind_bound(start_bound, true)?;
        let end = self.bind_bound(end_bound, false)?;
        check_frame_order(&start, &end)?;
        Ok((WindowFrame::new_bounds(units, start, end), None))
    }

    fn bind_range(
        &mut self,
        key: &OrderKey,
        (start_bound, start): (&ast::WindowFrameBound, Option<&ast::Expr>),
        (end_bound, end): (&ast::WindowFrameBound, Option<&ast::Expr>),
    ) -> Result<(WindowFrame, Option<Expr>)> {
        let mut given = Vec::new();
        for (expr, edge) in [(start, "starting"), (end, "ending")] {
            let Some(expr) = expr else { continue };
            let value = match bare_text(expr).filter(|_| !func::has_interval_distances(&key.value.sql_type)) {
                Some(text) => func::literal(&text)?,
                None => self.bind_expr(expr)?,
            };
            let distance = func::range_distance(&key.value, value, self.func());
            let distance = self.at(expr.span(), distance)?;
            match func::constant_distance(&distance, &simplify(distance.expr.clone())?)? {
                Some(heliosdb_types::Datum::Null) => {
                    let message = format!("frame {edge} offset must not be null");
                    return Err(Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, message));
                }
                Some(value) => given.push(value),
                None => return Err(Error::unsupported("a RANGE offset that is not a constant")),
            }
        }
        let func::RangeKey { key, distances } = func::range_key(&key.value, given, self.func())?;
        let mut distances = distances.into_iter();
        let mut bound = |bound: &ast::WindowFrameBound, is_start: bool| match bound {
            ast::WindowFrameBound::CurrentRow => Ok(WindowFrameBound::CurrentRow),
            ast::WindowFrameBound::Preceding(given) => {
                let distance = given.as_ref().and_then(|_| distances.next());
                match (distance, is_start) {
                    (None, false) => Err(unbounded_on_the_wrong_side(false)),
                    (distance, _) => Ok(WindowFrameBound::Preceding(distance.unwrap_or(ScalarValue::Null))),
                }
            }
            ast::WindowFrameBound::Following(given) => {
                let distance = given.as_ref().and_then(|_| distances.next());
                match (distance, is_start) {
                    (None, true) => Err(unbounded_on_the_wrong_side(true)),
                    (distance, _) => Ok(WindowFrameBound::Following(distance.unwrap_or(ScalarValue::Null))),
                }
            }
        };
        let (start, end) = (bound(start_bound, true)?, bound(end_bound, false)?);
        check_frame_order(&start, &end)?;
        Ok((WindowFrame::new_bounds(WindowFrameUnits::Range, start, end), Some(key)))
    }

    fn bind_bound(&mut self, bound: &ast::WindowFrameBound, start: bool) -> Result<WindowFrameBound> {
        match bound {
            ast::WindowFrameBound::CurrentRow => Ok(WindowFrameBound::CurrentRow),
            ast::WindowFrameBound::Preceding(None) if start => {
                Ok(WindowFrameBound::Preceding(ScalarValue::UInt64(None)))
            }
            ast::WindowFrameBound::Following(None) if !start => {
                Ok(WindowFrameBound::Following(ScalarValue::UInt64(None)))
            }
            ast::WindowFrameBound::Preceding(None) | ast::WindowFrameBound::Following(None) => {
                Err(unbounded_on_the_wrong_side(start))
            }
            ast::WindowFrameBound::Preceding(Some(expr)) => {
                Ok(WindowFrameBound::Preceding(self.bind_frame_offset(expr, start)?))
            }
            ast::WindowFrameBound::Following(Some(expr)) => {
                Ok(WindowFrameBound::Following(self.bind_frame_offset(expr, start)?))
            }
        }
    }

    /// ROWS and GROUPS count.
    fn bind_frame_offset(&mut self, expr: &ast::Expr, start: bool) -> Result<ScalarValue> {
        let value = self.bind_expr(expr)?;
        let value = func::cast(value, &SqlType::Int8, CastKind::Implicit, self.func());
        let value = self.at(expr.span(), value)?;
        let edge = if start { "starting" } else { "ending" };
        match simplify(value.expr)? {
            Expr::Literal(ScalarValue::Int64(Some(count)), _) => match u64::try_from(count) {
                Ok(count) => Ok(ScalarValue::UInt64(Some(count))),
                Err(_) => Err(Error::invalid(SqlState(*b"22013"), format!("frame {edge} offset must not be negative"))),
            },
            Expr::Literal(ScalarValue::Int64(None), _) => {
                Err(Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, format!("frame {edge} offset must not be null")))
            }
            _ => Err(Error::unsupported("a frame offset that is not a constant")),
        }
    }
}

/// Whether a call is of an aggregate. DataFusion takes such a call over sorted rows for sorted itself, wherever its NULLs are:
/// those of frames without rows, or of which nothing but NULLs is left.
fn is_aggregate(call: &Expr) -> bool {
    let Expr::WindowFunction(window) = call else { return false };
    matches!(window.fun, WindowFunctionDefinition::AggregateUDF(_))
}

/// The distance of a bound, if it has one.
fn distance(bound: &ast::WindowFrameBound) -> Option<&ast::Expr> {
    match bound {
        ast::WindowFrameBound::CurrentRow => None,
        ast::WindowFrameBound::Preceding(distance) | ast::WindowFrameBound::Following(distance) => distance.as_deref(),
    }
}

/// The parser takes a string in a frame's bound for an interval.
fn bare_text(expr: &ast::Expr) -> Option<ast::Value> {
    match expr {
        ast::Expr::Interval(ast::Interval {
            value,
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        }) => match value.as_ref() {
            ast::Expr::Value(value) => match &value.value {
                // As a number it can only have been a bare text.
                ast::Value::SingleQuotedString(text) if text.trim().parse::<f64>().is_ok() => Some(value.value.clone()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn unbounded_on_the_wrong_side(start: bool) -> Error {
    let message = match start {
        true => "frame start cannot be UNBOUNDED FOLLOWING",
        false => "frame end cannot be UNBOUNDED PRECEDING",
    };
    Error::invalid(SqlState::WINDOWING_ERROR, message)
}

/// DataFusion refuses RANGE over keys it cannot add to, although without a distance nothing is added: such a frame ends at peers,
/// and so does one in GROUPS.
fn frame_for_keys(frame: Option<WindowFrame>, keys: &[OrderKey]) -> Option<WindowFrame> {
    let additive = |key: &OrderKey| {
        let arrow = &key.value.arrow;
        arrow.is_numeric()
            || arrow.is_string()
            || (arrow.is_temporal() && !matches!(key.value.sql_type, SqlType::Interval | SqlType::Time(_)))
    };
    let Some(first) = keys.first() else { return frame };
    if additive(first) && func::sort_key(&first.value) == first.value.expr {
        return frame;
    }
    let unbounded = WindowFrameBound::Preceding(ScalarValue::UInt64(None));
    let (units, start, end) = match frame {
        None => (WindowFrameUnits::Range, unbounded, WindowFrameBound::CurrentRow),
        Some(frame) => (frame.units, frame.start_bound, frame.end_bound),
    };
    let units = if units == WindowFrameUnits::Range { WindowFrameUnits::Groups } else { units };
    let unsigned = |bound: WindowFrameBound| match bound {
        WindowFrameBound::Preceding(value) if value.is_null() => WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
        WindowFrameBound::Following(value) if value.is_null() => WindowFrameBound::Following(ScalarValue::UInt64(None)),
        other => other,
    };
    Some(WindowFrame::new_bounds(units, unsigned(start), unsigned(end)))
}

/// A frame as DataFusion takes it: without keys all rows are peers, and it refuses frames that end before they begin, which have
/// no rows.
fn settled(frame: WindowFrame, no_keys: bool) -> WindowFrame {
    use WindowFrameBound::{Following, Preceding};
    const NO_END: ScalarValue = ScalarValue::UInt64(None);
    if frame.units == WindowFrameUnits::Range && no_keys {
        return WindowFrame::new_bounds(WindowFrameUnits::Rows, Preceding(NO_END), Following(NO_END));
    }
    // Which of two intervals is longer depends on the day they begin.
    let interval = |distance: &ScalarValue| matches!(distance.data_type(), DataType::Interval(_));
    let ends_first = match (&frame.start_bound, &frame.end_bound) {
        (Preceding(start), Preceding(end)) => !start.is_null() && !interval(start) && start < end,
        (Following(start), Following(end)) => !end.is_null() && !interval(end) && start > end,
        _ => false,
    };
    if !ends_first {
        return frame;
    }
    // Farther than there are rows.
    let beyond = || Following(ScalarValue::UInt64(Some(u64::MAX / 2)));
    WindowFrame::new_bounds(WindowFrameUnits::Rows, beyond(), beyond())
}

fn check_frame_order(start: &WindowFrameBound, end: &WindowFrameBound) -> Result<()> {
    use WindowFrameBound::{CurrentRow, Following, Preceding};
    let wrong = match (start, end) {
        (CurrentRow, Preceding(_)) => "frame starting from current row cannot have preceding rows",
        (Following(_), Preceding(_)) => "frame starting from following row cannot have preceding rows",
        (Following(_), CurrentRow) => "frame starting from following row cannot end with current row",
        _ => return Ok(()),
    };
    Err(Error::invalid(SqlState::WINDOWING_ERROR, wrong))
}
