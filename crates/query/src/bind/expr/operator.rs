//! Operators and predicates.

use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Expr as PlanExpr, Operator};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, BinaryOperator, Expr, Spanned, UnaryOperator};

use crate::bind::binder::Binder;
use crate::bind::from::refuse;
use crate::bind::subquery::{Quantifier, boolean};
use crate::func::{self, CastKind, Typed};

/// Operators in a row that are nested calls; more become one flat call, see [`func::Chain`].
const NESTED_OPERATORS_MAX: usize = 100;

impl Binder<'_> {
    pub fn bind_binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed> {
        match op {
            BinaryOperator::And | BinaryOperator::Or => self.bind_logical_chain(left, op, right),
            BinaryOperator::StringConcat => self.bind_concat_chain(left, op, right),
            BinaryOperator::PGCustomBinaryOperator(parts) => {
                let op = named_operator(parts)?;
                self.bind_binary(left, &op, right)
            }
            BinaryOperator::PGLikeMatch => self.bind_like(left, right, (false, false), None),
            BinaryOperator::PGNotLikeMatch => self.bind_like(left, right, (true, false), None),
            BinaryOperator::PGILikeMatch => self.bind_like(left, right, (false, true), None),
            BinaryOperator::PGNotILikeMatch => self.bind_like(left, right, (true, true), None),
            _ => match (left, right) {
                (Expr::Tuple(left), Expr::Tuple(right)) if *op == BinaryOperator::Overlaps => {
                    let parts =
                        left.iter().chain(right).map(|part| self.bind_expr(part)).collect::<Result<Vec<_>>>()?;
                    let word = left.last().and_then(|last| {
                        // Behind the last part's brackets, the row's own and a blank.
                        self.positions.position(last.span().end).map(|end| end + closing_brackets(last) + 2)
                    });
                    func::call("overlaps", parts, self.func()).map_err(|error| match (error.state(), word) {
                        (SqlState::UNDEFINED_FUNCTION | SqlState::AMBIGUOUS_FUNCTION, Some(word)) => {
                            error.with_position(word)
                        }
                        _ => error,
                    })
                }
                (Expr::Tuple(left), Expr::Tuple(right)) => self.bind_row_comparison(left, op, right),
                _ if is_long(left) => self.bind_long_chain(left, op, right),
                _ => {
                    let left_value = self.bind_expr(left)?;
                    let right_value = self.bind_expr(right)?;
                    let result = func::binary(op, left_value, right_value, self.func());
                    result.map_err(|error| self.mark_operator(self.positions.blame(error, [left, right]), left, right))
                }
            },
        }
    }

    /// `a + b - c ...`, from the left, without a level of nesting for each operator.
    fn bind_long_chain(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed> {
        let mut operators = vec![(left, op, right)];
        let mut first = left;
        while let Some((left, op, right)) = plain_operator(first) {
            operators.push((left, op, right));
            first = left;
        }
        let mut chain = func::Chain::new(self.bind_expr(first)?);
        for (left, op, right) in operators.into_iter().rev() {
            let value = self.bind_expr(right)?;
            let pushed = chain.push(op, value, self.func());
            pushed.map_err(|error| self.mark_operator(self.positions.blame(error, [left, right]), left, right))?;
        }
        Ok(chain.finish())
    }

    /// A whole chain of ANDs or ORs at once: the parser nests it as deep as it is long.
    fn bind_logical_chain(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed> {
        let clause = if *op == BinaryOperator::And { "AND" } else { "OR" };
        let mut parts = Vec::new();
        for part in chain_operands(left, op, right) {
            parts.push(self.bind_condition(part, clause)?.expr);
        }
        Ok(boolean(balanced(parts, if *op == BinaryOperator::And { PlanExpr::and } else { PlanExpr::or })?))
    }

    /// `a || b || ...`: of texts in any grouping, so balanced; of anything else from the left.
    fn bind_concat_chain(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed> {
        let operands = chain_operands(left, op, right);
        let mut values = Vec::with_capacity(operands.len());
        for operand in &operands {
            values.push(self.bind_expr(operand)?);
        }
        let texts = values.iter().all(|value| {
            matches!(value.sql_type, SqlType::Text | SqlType::Varchar(_) | SqlType::Name | SqlType::Unknown)
        });
        if !texts && values.len() > NESTED_OPERATORS_MAX {
            let mut rest = values.into_iter();
            let mut chain = func::Chain::new(rest.next().ok_or_else(|| Error::internal("|| of nothing"))?);
            for value in rest {
                let pushed = chain.push(op, value, self.func());
                pushed.map_err(|error| self.positions.blame(error, operands.iter().copied()))?;
            }
            return Ok(chain.finish());
        }
        let concat = |left: Typed, right: Typed| {
            let error = func::binary(op, left, right, self.func());
            error.map_err(|error| self.positions.blame(error, operands.iter().copied())).map_err(|error| match operands
                .as_slice()
            {
                [left, right] => self.mark_operator(error, left, right),
                _ => error,
            })
        };
        if !texts || values.len() == 2 {
            let mut rest = values.into_iter();
            let first = rest.next().ok_or_else(|| Error::internal("|| of nothing"))?;
            return rest.try_fold(first, concat);
        }
        while values.len() > 1 {
            let mut halved = Vec::with_capacity(values.len().div_ceil(2));
            let mut rest = values.into_iter();
            while let Some(first) = rest.next() {
                halved.push(match rest.next() {
                    Some(second) => concat(first, second)?,
                    None => first,
                });
            }
            values = halved;
        }
        values.pop().ok_or_else(|| Error::internal("|| of nothing"))
    }

    /// PostgreSQL points at the operator itself; the parser keeps no span of it, so the left operand's end is the nearest.
    pub fn mark_operator(&self, error: Error, left: &Expr, right: &Expr) -> Error {
        let end = left.span().end;
        let between = self
            .positions
            .position(end)
            .map(|end| end + closing_brackets(left))
            .zip(self.positions.position(right.span().start));
        match (error.position(), error.state(), between) {
            (
                None,
                SqlState::UNDEFINED_FUNCTION | SqlState::AMBIGUOUS_FUNCTION | SqlState::WRONG_OBJECT_TYPE,
                Some((end, start)),
            ) if start > end => {
                // One blank on each side is how nearly everyone writes it.
                error.with_position(end + 1)
            }
            _ => error,
        }
    }

    /// `(a, b) = (c, d)` and `<>`; ordering comparisons of rows are written out lexicographically.
    fn bind_row_comparison(&mut self, left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Typed> {
        if left.len() != right.len() {
            return Err(Error::syntax("unequal number of entries in row expressions"));
        }
        let mut pairs = Vec::with_capacity(left.len());
        for (l, r) in left.iter().zip(right) {
            pairs.push((self.bind_expr(l)?, self.bind_expr(r)?));
        }
        self.compare_rows(&pairs, op)
    }

    pub fn compare_rows(&self, pairs: &[(Typed, Typed)], op: &BinaryOperator) -> Result<Typed> {
        let compare = |op: &BinaryOperator, (l, r): &(Typed, Typed)| {
            func::binary(op, l.clone(), r.clone(), self.func()).map(|value| value.expr)
        };
        let empty = || Error::syntax("a row of no columns");
        let strict = match op {
            BinaryOperator::Eq | BinaryOperator::NotEq => {
                let mut parts = Vec::with_capacity(pairs.len());
                for pair in pairs {
                    parts.push(compare(op, pair)?);
                }
                let all = *op == BinaryOperator::Eq;
                let joined = parts.into_iter().reduce(|a, b| if all { a.and(b) } else { a.or(b) });
                return joined.map(boolean).ok_or_else(empty);
            }
            BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
            BinaryOperator::Gt | BinaryOperator::GtEq => BinaryOperator::Gt,
            other => return Err(Error::unsupported(format!("the operator {other} of rows"))),
        };
        // (a, b) < (c, d) is a < c OR (a = c AND b < d).
        let (last, leading) = pairs.split_last().ok_or_else(empty)?;
        let mut result = compare(op, last)?;
        for pair in leading.iter().rev() {
            let equal = compare(&BinaryOperator::Eq, pair)?;
            result = compare(&strict, pair)?.or(equal.and(result));
        }
        Ok(boolean(result))
    }

    pub fn bind_unary(&mut self, op: UnaryOperator, expr: &Expr) -> Result<Typed> {
        if op == UnaryOperator::Not {
            let value = self.bind_condition(expr, "NOT")?;
            return Ok(boolean(PlanExpr::Not(Box::new(value.expr))));
        }
        if op == UnaryOperator::Minus
            && let Expr::Value(ast::ValueWithSpan { value: ast::Value::Number(digits, long), span: _ }) = expr
        {
            // -9223372036854775808 is a bigint although its digits alone are not.
            return func::literal(&ast::Value::Number(format!("-{digits}"), *long));
        }
        let value = self.bind_expr(expr)?;
        func::unary(op, value, self.func())
    }

    pub fn bind_predicate(&mut self, expr: &Expr) -> Result<Typed> {
        match expr {
            Expr::InList { expr, list, negated } => self.bind_in_list(expr, list, *negated),
            Expr::Between { expr, negated, low, high } => {
                let operands = [expr.as_ref(), low.as_ref(), high.as_ref()];
                let value = self.bind_expr(expr)?;
                let low = self.bind_expr(low)?;
                let high = self.bind_expr(high)?;
                let compare = |op, other| {
                    let compared = func::binary(&op, value.clone(), other, self.func());
                    compared.map(|v| v.expr).map_err(|error| self.positions.blame(error, operands))
                };
                Ok(boolean(if *negated {
                    compare(BinaryOperator::Lt, low)?.or(compare(BinaryOperator::Gt, high)?)
                } else {
                    compare(BinaryOperator::GtEq, low)?.and(compare(BinaryOperator::LtEq, high)?)
                }))
            }
            Expr::Like { negated, any, expr, pattern, escape_char } => {
                if *any {
                    refuse(escape_char.is_some(), "LIKE ANY with ESCAPE")?;
                    let op = if *negated { BinaryOperator::PGNotLikeMatch } else { BinaryOperator::PGLikeMatch };
                    return self.bind_any_all(Quantifier::Any, expr, &op, pattern);
                }
                if let Some(all) = of_all(pattern) {
                    refuse(escape_char.is_some(), "LIKE ALL with ESCAPE")?;
                    let op = if *negated { BinaryOperator::PGNotLikeMatch } else { BinaryOperator::PGLikeMatch };
                    return self.bind_any_all(Quantifier::All, expr, &op, &all);
                }
                self.bind_like(expr, pattern, (*negated, false), escape_char.as_ref())
            }
            Expr::ILike { negated, any, expr, pattern, escape_char } => {
                if *any {
                    refuse(escape_char.is_some(), "ILIKE ANY with ESCAPE")?;
                    let op = if *negated { BinaryOperator::PGNotILikeMatch } else { BinaryOperator::PGILikeMatch };
                    return self.bind_any_all(Quantifier::Any, expr, &op, pattern);
                }
                if let Some(all) = of_all(pattern) {
                    refuse(escape_char.is_some(), "ILIKE ALL with ESCAPE")?;
                    let op = if *negated { BinaryOperator::PGNotILikeMatch } else { BinaryOperator::PGILikeMatch };
                    return self.bind_any_all(Quantifier::All, expr, &op, &all);
                }
                self.bind_like(expr, pattern, (*negated, true), escape_char.as_ref())
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                let escape = escape_char.as_ref().map(escape).transpose()?;
                let value = self.bind_expr(expr)?;
                let pattern = self.bind_expr(pattern)?;
                func::similar_to(*negated, value, pattern, escape, self.func())
            }
            Expr::IsDistinctFrom(left, right) => self.bind_distinct(left, right, false),
            Expr::IsNotDistinctFrom(left, right) => self.bind_distinct(left, right, true),
            Expr::IsTrue(inner) => self.bind_truth(inner, "IS TRUE", PlanExpr::IsTrue),
            Expr::IsNotTrue(inner) => self.bind_truth(inner, "IS NOT TRUE", PlanExpr::IsNotTrue),
            Expr::IsFalse(inner) => self.bind_truth(inner, "IS FALSE", PlanExpr::IsFalse),
            Expr::IsNotFalse(inner) => self.bind_truth(inner, "IS NOT FALSE", PlanExpr::IsNotFalse),
            Expr::IsUnknown(inner) => self.bind_truth(inner, "IS UNKNOWN", PlanExpr::IsUnknown),
            Expr::IsNotUnknown(inner) => self.bind_truth(inner, "IS NOT UNKNOWN", PlanExpr::IsNotUnknown),
            Expr::IsNull(inner) => {
                let value = self.bind_expr(inner)?;
                if matches!(value.sql_type, SqlType::Record(_)) {
                    return func::row_is_null(value, false);
                }
                Ok(boolean(PlanExpr::IsNull(Box::new(self.tested(value)?))))
            }
            Expr::IsNotNull(inner) => {
                let value = self.bind_expr(inner)?;
                if matches!(value.sql_type, SqlType::Record(_)) {
                    return func::row_is_null(value, true);
                }
                Ok(boolean(PlanExpr::IsNotNull(Box::new(self.tested(value)?))))
            }
            other => Err(Error::internal(format!("{other} is not a predicate"))),
        }
    }

    /// What IS NULL looks at: it gives a parameter no type.
    fn tested(&mut self, value: Typed) -> Result<PlanExpr> {
        match &value.expr {
            PlanExpr::Placeholder(_) if value.is_unknown() => Ok(value.expr),
            _ => Ok(self.settle(value)?.expr),
        }
    }

    fn bind_distinct(&mut self, left: &Expr, right: &Expr, negated: bool) -> Result<Typed> {
        let left = self.bind_expr(left)?;
        let right = self.bind_expr(right)?;
        func::is_distinct(negated, left, right, self.func())
    }

    fn bind_truth(&mut self, expr: &Expr, clause: &str, test: fn(Box<PlanExpr>) -> PlanExpr) -> Result<Typed> {
        let value = self.bind_condition(expr, clause)?;
        Ok(boolean(test(Box::new(value.expr))))
    }

    fn bind_like(
        &mut self,
        expr: &Expr,
        pattern: &Expr,
        (negated, insensitive): (bool, bool),
        escape_char: Option<&ast::ValueWithSpan>,
    ) -> Result<Typed> {
        let escape = escape_char.map(escape).transpose()?;
        let value = self.bind_expr(expr)?;
        let pattern = self.bind_expr(pattern)?;
        func::like(negated, insensitive, value, pattern, escape, self.func())
    }

    /// IN (list): equality with each element. Comparisons of one column with literals stay an IN list, which storage can test.
    fn bind_in_list(&mut self, expr: &Expr, list: &[Expr], negated: bool) -> Result<Typed> {
        let tuple = match expr {
            Expr::Tuple(parts) => Some(parts),
            _ => None,
        };
        if let Some(parts) = tuple {
            return self.bind_row_in_list(parts, list, negated);
        }
        let mut value = self.bind_expr(expr)?;
        let elements = list.iter().map(|element| self.bind_expr(element)).collect::<Result<Vec<_>>>()?;
        if value.is_unknown() {
            // What has no type yet takes the elements' common one, and then gives it to those that have none.
            let known: Vec<&Typed> = elements.iter().filter(|element| !element.is_unknown()).collect();
            if !known.is_empty()
                && let Ok(common) = func::common_type(&known, "IN")
            {
                let cast = func::cast(value, &common, func::CastKind::Implicit, self.func());
                value = cast.map_err(|error| self.positions.blame(error, [expr]))?;
            }
        }
        let mut parts = Vec::with_capacity(list.len());
        for (element, element_value) in list.iter().zip(elements) {
            let equal = func::binary(&BinaryOperator::Eq, value.clone(), element_value, self.func());
            parts.push(equal.map_err(|error| self.positions.blame(error, [element, expr]))?.expr);
        }
        if let Some((tested, literals)) = as_literal_list(&parts) {
            return Ok(boolean(PlanExpr::InList(InList { expr: Box::new(tested), list: literals, negated })));
        }
        let any = balanced(parts, PlanExpr::or)?;
        Ok(boolean(if negated { PlanExpr::Not(Box::new(any)) } else { any }))
    }

    fn bind_row_in_list(&mut self, left: &[Expr], list: &[Expr], negated: bool) -> Result<Typed> {
        let mut any: Option<PlanExpr> = None;
        for element in list {
            let Expr::Tuple(right) = element else {
                return Err(Error::invalid(SqlState::DATATYPE_MISMATCH, "a row is compared with a single value"));
            };
            let equal = self.bind_row_comparison(left, &BinaryOperator::Eq, right)?.expr;
            any = Some(match any {
                None => equal,
                Some(before) => before.or(equal),
            });
        }
        let any = any.ok_or_else(|| Error::syntax("IN of an empty list"))?;
        Ok(boolean(if negated { PlanExpr::Not(Box::new(any)) } else { any }))
    }

    /// A value cast to text, for syntax that takes a string.
    pub fn bind_text(&mut self, expr: &Expr) -> Result<Typed> {
        let value = self.bind_expr(expr)?;
        match value.sql_type {
            SqlType::Unknown => func::cast(value, &SqlType::Text, CastKind::Implicit, self.func()),
            _ => Ok(value),
        }
    }
}

/// Brackets at an expression's end that its span leaves out.
pub(super) fn closing_brackets(expr: &Expr) -> u32 {
    match expr {
        Expr::Array(array) => 1 + array.elem.last().map_or(0, closing_brackets),
        // Of `x::type` the span has x alone.
        Expr::Cast { kind: ast::CastKind::DoubleColon, expr, data_type, .. } => {
            closing_brackets(expr) + 2 + data_type.to_string().chars().count() as u32
        }
        _ => 0,
    }
}

/// An operator with two operands that is looked at by itself, unlike AND, `||` and LIKE.
fn plain_operator(expr: &Expr) -> Option<(&Expr, &BinaryOperator, &Expr)> {
    let Expr::BinaryOp { left, op, right } = expr else { return None };
    let own = matches!(
        op,
        BinaryOperator::And
            | BinaryOperator::Or
            | BinaryOperator::StringConcat
            | BinaryOperator::PGCustomBinaryOperator(_)
            | BinaryOperator::PGLikeMatch
            | BinaryOperator::PGNotLikeMatch
            | BinaryOperator::PGILikeMatch
            | BinaryOperator::PGNotILikeMatch
    );
    let rows = matches!((left.as_ref(), right.as_ref()), (Expr::Tuple(_), Expr::Tuple(_)));
    (!own && !rows).then_some((left, op, right))
}

fn is_long(left: &Expr) -> bool {
    let mut rest = Some(left);
    for _ in 0..NESTED_OPERATORS_MAX {
        rest = rest.and_then(plain_operator).map(|(left, _, _)| left);
    }
    rest.is_some()
}

/// The operands of `a op b op c ...`, left to right.
pub(in crate::bind) fn chain_operands<'q>(left: &'q Expr, op: &BinaryOperator, right: &'q Expr) -> Vec<&'q Expr> {
    let mut operands = vec![right];
    let mut rest = left;
    while let Expr::BinaryOp { left, op: inner, right } = rest {
        if inner != op {
            break;
        }
        operands.push(right);
        rest = left;
    }
    operands.push(rest);
    operands.reverse();
    operands
}

/// Conditions combined into a tree of logarithmic depth.
pub(in crate::bind) fn balanced(
    mut parts: Vec<PlanExpr>,
    combine: fn(PlanExpr, PlanExpr) -> PlanExpr,
) -> Result<PlanExpr> {
    while parts.len() > 1 {
        let mut halved = Vec::with_capacity(parts.len().div_ceil(2));
        let mut rest = parts.into_iter();
        while let Some(first) = rest.next() {
            halved.push(match rest.next() {
                Some(second) => combine(first, second),
                None => first,
            });
        }
        parts = halved;
    }
    parts.pop().ok_or_else(|| Error::internal("a condition of no parts"))
}

/// `x = 1`, `x = 2`, ... with the same bare `x` as (x, [1, 2, ...]).
fn as_literal_list(parts: &[PlanExpr]) -> Option<(PlanExpr, Vec<PlanExpr>)> {
    if parts.len() < 2 {
        return None;
    }
    let mut tested: Option<&PlanExpr> = None;
    let mut literals = Vec::with_capacity(parts.len());
    for part in parts {
        let PlanExpr::BinaryExpr(comparison) = part else { return None };
        if comparison.op != Operator::Eq || !matches!(*comparison.right, PlanExpr::Literal(..)) {
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

/// `OPERATOR(pg_catalog.~)`: the operator by its own name.
fn named_operator(parts: &[String]) -> Result<BinaryOperator> {
    let (name, schema) = parts.split_last().ok_or_else(|| Error::syntax("OPERATOR() without a name"))?;
    if !schema.iter().all(|schema| schema == "pg_catalog") {
        let message = format!("operator does not exist: {}", parts.join("."));
        return Err(Error::invalid(SqlState::UNDEFINED_FUNCTION, message));
    }
    Ok(match name.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        other => return Err(Error::unsupported(format!("OPERATOR({other})"))),
    })
}

/// ESCAPE 'c': one character, or none for no escape.
fn escape(value: &ast::ValueWithSpan) -> Result<Option<char>> {
    let wrong = || {
        Error::invalid(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .with_hint("Escape string must be empty or one character.")
    };
    let ast::Value::SingleQuotedString(text) = &value.value else { return Err(wrong()) };
    let mut chars = text.chars();
    let first = chars.next();
    if chars.next().is_some() { Err(wrong()) } else { Ok(first) }
}

/// What is in `ALL (...)` after LIKE, which the parser takes for a call.
fn of_all(pattern: &Expr) -> Option<Expr> {
    let Expr::Function(call) = pattern else { return None };
    let [ast::ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return None };
    if name.quote_style.is_some() || !name.value.eq_ignore_ascii_case("all") {
        return None;
    }
    match &call.args {
        ast::FunctionArguments::Subquery(query) => Some(Expr::Subquery(query.clone())),
        ast::FunctionArguments::List(list) => match list.args.as_slice() {
            [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr))] => Some(expr.clone()),
            _ => None,
        },
        ast::FunctionArguments::None => None,
    }
}
