//! Operator precedence where the parser's differs from PostgreSQL's: a pass over the tree right after parsing.
//!
//! Parentheses are `Expr::Nested`, so an operator found directly under another was written without them.

use std::ops::ControlFlow;

use sqlparser::ast::{self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, UnaryOperator, VisitMut, VisitorMut};

/// Rearranges `-a ^ b` to `(-a) ^ b` and `a IS DISTINCT FROM b AND c` to `(a IS DISTINCT FROM b) AND c`.
pub(super) fn as_postgres<T: VisitMut>(mut parsed: T) -> T {
    let _ = parsed.visit(&mut Precedence);
    parsed
}

struct Precedence;

impl VisitorMut for Precedence {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr: inner } if is_power(inner) => {
                let Expr::UnaryOp { op, expr: inner } = take(expr) else { return ControlFlow::Continue(()) };
                *expr = at_leftmost(*inner, is_power, |operand| Expr::UnaryOp { op, expr: Box::new(operand) });
            }
            Expr::IsDistinctFrom(_, right) if is_logical(right) => {
                let Expr::IsDistinctFrom(left, right) = take(expr) else { return ControlFlow::Continue(()) };
                *expr = at_leftmost(*right, is_logical, |operand| Expr::IsDistinctFrom(left, Box::new(operand)));
            }
            Expr::IsNotDistinctFrom(_, right) if is_logical(right) => {
                let Expr::IsNotDistinctFrom(left, right) = take(expr) else { return ControlFlow::Continue(()) };
                *expr = at_leftmost(*right, is_logical, |operand| Expr::IsNotDistinctFrom(left, Box::new(operand)));
            }
            Expr::Function(call) => rows_as_arguments(call),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The column that `t.*` names as an argument; nobody can write it.
pub(super) const WHOLE_ROW: &str = "\u{1}row";

/// `f(t.*)`: the row of t, whatever columns are called t.
fn rows_as_arguments(call: &mut ast::Function) {
    let ast::FunctionArguments::List(list) = &mut call.args else { return };
    for arg in &mut list.args {
        if let FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) = arg
            && let [ast::ObjectNamePart::Identifier(table)] = name.0.as_slice()
        {
            let mut row = ast::Ident::new(WHOLE_ROW);
            row.span = table.span;
            let name = vec![table.clone(), row];
            *arg = FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::CompoundIdentifier(name)));
        }
    }
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Tuple(Vec::new()))
}

fn is_power(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::PGExp, .. })
}

fn is_logical(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

/// Wraps the leftmost operand of a chain of operators.
fn at_leftmost(mut expr: Expr, chained: fn(&Expr) -> bool, wrap: impl FnOnce(Expr) -> Expr) -> Expr {
    let mut operand = &mut expr;
    while chained(operand) {
        let Expr::BinaryOp { left, .. } = operand else { break };
        operand = left;
    }
    let innermost = take(operand);
    *operand = wrap(innermost);
    expr
}
