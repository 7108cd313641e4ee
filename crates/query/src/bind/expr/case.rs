//! CASE, COALESCE, NULLIF, GREATEST, LEAST.

use datafusion::logical_expr::{Case, Expr as PlanExpr};
use heliosdb_types::{Error, Result};
use sqlparser::ast::{self, BinaryOperator, Expr, Spanned};

use crate::bind::binder::Binder;
use crate::func::{self, Typed};

impl Binder<'_> {
    pub fn bind_case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[ast::CaseWhen],
        else_result: Option<&Expr>,
    ) -> Result<Typed> {
        // Of no type it is text, whatever it is compared with.
        let operand = operand.map(|expr| self.bind_expr(expr).and_then(|value| self.settle(value))).transpose()?;
        let mut tests = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for ast::CaseWhen { condition, result } in conditions {
            let test = match &operand {
                Some(operand) => {
                    let value = self.bind_expr(condition)?;
                    let equal = func::binary(&BinaryOperator::Eq, operand.clone(), value, self.func());
                    equal.map_err(|error| self.at_when(error, condition))?
                }
                None => self.bind_condition(condition, "CASE/WHEN")?,
            };
            tests.push(test.expr);
            results.push(self.bind_expr(result)?);
        }
        // ELSE comes first for the common type, as in PostgreSQL.
        if let Some(otherwise) = else_result {
            results.insert(0, self.bind_expr(otherwise)?);
        }
        let mut results = func::unify(results, "CASE", self.func()).map_err(|error| {
            self.positions.blame(error, conditions.iter().map(|when| &when.result).chain(else_result))
        })?;
        let otherwise = else_result.is_some().then(|| results.remove(0));
        let shape = results.first().cloned().ok_or_else(|| Error::syntax("CASE without WHEN"))?;
        let when = tests.into_iter().zip(results).map(|(test, value)| (Box::new(test), Box::new(value.expr)));
        let case =
            Case { expr: None, when_then_expr: when.collect(), else_expr: otherwise.map(|value| Box::new(value.expr)) };
        Ok(Typed { expr: PlanExpr::Case(case), ..shape })
    }

    /// Points at the WHEN before a value, as PostgreSQL does; its own place is not known, so with one space between them.
    fn at_when(&self, error: Error, value: &Expr) -> Error {
        match self.positions.position(value.span().start) {
            Some(position) if error.position().is_none() => error.with_position(position.saturating_sub(5).max(1)),
            _ => error,
        }
    }

    /// The functions that are syntax in PostgreSQL: their arguments unify instead of matching a signature.
    pub fn bind_conditional(&mut self, name: &str, args: Vec<Typed>) -> Result<Option<Typed>> {
        let upper = name.to_ascii_uppercase();
        Ok(Some(match name {
            "coalesce" | "greatest" | "least" => {
                if args.is_empty() {
                    return Err(Error::syntax(format!("{upper} needs arguments")));
                }
                func::call(name, args, self.func())?
            }
            "nullif" => {
                let [value, other] =
                    <[Typed; 2]>::try_from(args).map_err(|_| Error::syntax("NULLIF needs two arguments"))?;
                func::call(name, vec![value, other], self.func())?
            }
            _ => return Ok(None),
        }))
    }
}
