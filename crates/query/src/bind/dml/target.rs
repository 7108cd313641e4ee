//! What INSERT and UPDATE have in common: assignment to a column, defaults, identity rules.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast;
use sqlparser::tokenizer::Span;

use crate::bind::binder::Binder;
use crate::bind::names::fold_identifier;
use crate::bind::params::arrow_of;
use crate::bind::parse::parse_expression;
use crate::bind::plan::from_datafusion;
use crate::bind::scope::{Clause, Scope};
use crate::catalog::{Column, Identity, Relation, RelationKind};
use crate::func::{self, CastKind, Typed};

impl Binder<'_> {
    /// The value as the column stores it; 42804 when there is no assignment cast.
    pub fn assign(&self, value: Typed, column: &Column) -> Result<Typed> {
        let from = value.sql_type.clone();
        self.coerce(value, &column.sql_type, CastKind::Assignment).map_err(|error| match error.state() {
            SqlState::DATATYPE_MISMATCH | SqlState::CANNOT_COERCE => {
                let message = format!(
                    "column \"{}\" is of type {} but expression is of type {}",
                    column.name,
                    column.sql_type.name(),
                    from.name()
                );
                Error::invalid(SqlState::DATATYPE_MISMATCH, message)
                    .with_hint("You will need to rewrite or cast the expression.")
            }
            _ => error,
        })
    }

    /// The column's default, cast to its type; NULL without one.
    pub fn column_default(&mut self, relation: &Relation, column: &Column) -> Result<Typed> {
        if let Some(sql) = column.default.as_ref().filter(|_| !column.generated) {
            let expr = parse_expression(sql)?;
            let positions = std::mem::take(&mut self.positions);
            let stored = std::mem::replace(&mut self.stored, true);
            let value = self.in_level(Scope::default(), Clause::Default, |binder| binder.bind_expr(&expr));
            (self.positions, self.stored) = (positions, stored);
            return self.assign(value?, column);
        }
        if column.identity != Identity::No && !column.generated {
            let value = self.identity_value(relation, column)?;
            return self.assign(value, column);
        }
        let arrow = arrow_of(&column.sql_type);
        let null = ScalarValue::try_from(&arrow).map_err(from_datafusion)?;
        Ok(Typed { expr: Expr::Literal(null, None), sql_type: column.sql_type.clone(), arrow })
    }

    /// nextval of the sequence the identity column owns.
    fn identity_value(&self, relation: &Relation, column: &Column) -> Result<Typed> {
        let owned = |candidate: &&std::sync::Arc<Relation>| match &candidate.kind {
            RelationKind::Sequence(sequence) => sequence.owned_by == Some((relation.oid, column.attribute)),
            _ => false,
        };
        let sequence = self.context.catalog.relations.values().find(owned);
        let sequence = sequence.ok_or_else(|| Error::internal(format!("no sequence for column {}", column.name)))?;
        let oid = func::literal(&ast::Value::Number(sequence.oid.0.to_string(), false))?;
        let class = SqlType::Reg(heliosdb_types::RegKind::Class);
        let oid = func::cast(oid, &class, CastKind::Explicit, self.func())?;
        func::call("nextval", vec![oid], self.func())
    }

    /// A column of the target by name; 42703 `column "x" of relation "t" does not exist`.
    pub fn target_column(&self, relation: &Relation, name: &str, span: Span) -> Result<usize> {
        relation.column(name).map(|(at, _)| at).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", relation.name);
            self.error_at(span, SqlState::UNDEFINED_COLUMN, message)
        })
    }

    /// Replaces scalar subqueries by columns to be computed below, so that the expression can be evaluated again on a newer row
    /// with the same subquery values.
    pub fn lift_subqueries(&mut self, expr: Expr, computed: &mut Vec<(Expr, String)>) -> Result<Expr> {
        let lifted = expr.transform_down(|node| {
            Ok(match node {
                Expr::ScalarSubquery(_) => {
                    let name = match computed.iter().find(|(known, _)| *known == node) {
                        Some((_, name)) => name.clone(),
                        None => {
                            let name = format!("__subquery_{}", self.computed);
                            self.computed += 1;
                            computed.push((node, name.clone()));
                            name
                        }
                    };
                    let column = datafusion::common::Column::new_unqualified(name);
                    Transformed::new(Expr::Column(column), true, TreeNodeRecursion::Jump)
                }
                other => Transformed::no(other),
            })
        });
        Ok(lifted.map_err(from_datafusion)?.data)
    }
}

/// The keyword DEFAULT, which the parser gives as an identifier.
pub(super) fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(ident) if ident.quote_style.is_none() && fold_identifier(ident) == "default")
}
