//! RENAME COLUMN, and expressions that name columns.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, Expr};

use crate::bind;
use crate::catalog::{Relation, RelationKind};
use crate::ddl::create_table::refuse_system_name;
use crate::ddl::index::expressions_of;
use crate::pg_catalog::quote_identifier;

/// The relation with a column called otherwise, in its constraints, generated columns and indexes too.
pub(in crate::ddl) fn renamed_column(relation: &Relation, old: &ast::Ident, new: &ast::Ident) -> Result<Relation> {
    let (old, new) = (bind::fold_identifier(old), bind::fold_identifier(new));
    let mut renamed = relation.clone();
    let Some(at) = renamed.columns.iter().position(|column| column.name == old) else {
        let message = format!("column \"{old}\" does not exist");
        return Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message));
    };
    refuse_system_name(&new)?;
    if renamed.columns.iter().any(|column| column.name == new) {
        let message = format!("column \"{new}\" of relation \"{}\" already exists", relation.name);
        return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
    }
    if let Some(column) = renamed.columns.get_mut(at) {
        column.name.clone_from(&new);
    }
    for column in renamed.columns.iter_mut().filter(|column| column.generated) {
        if let Some(expression) = &mut column.default {
            *expression = renamed_in(expression, &old, &new)?;
        }
    }
    if let RelationKind::Table(table) = &mut renamed.kind {
        for check in &mut table.checks {
            check.expression = renamed_in(&check.expression, &old, &new)?;
        }
        for expression in table.indexes.iter_mut().flat_map(expressions_of) {
            *expression = renamed_in(expression, &old, &new)?;
        }
    }
    Ok(renamed)
}

pub(super) fn names_column(expression: &str, name: &str) -> bool {
    let Ok(expr) = bind::parse_expression(expression) else { return false };
    let mut found = false;
    let _: std::ops::ControlFlow<()> = ast::visit_expressions(&expr, |expr| {
        found |= match expr {
            Expr::Identifier(ident) => bind::fold_identifier(ident) == name,
            Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|ident| bind::fold_identifier(ident) == name),
            _ => false,
        };
        std::ops::ControlFlow::Continue(())
    });
    found
}

/// The expression with a column called something else.
pub(super) fn renamed_in(expression: &str, old: &str, new: &str) -> Result<String> {
    let mut expr = bind::parse_expression(expression)?;
    let _: std::ops::ControlFlow<()> = ast::visit_expressions_mut(&mut expr, |expr| {
        let ident = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last_mut(),
            _ => None,
        };
        if let Some(ident) = ident
            && bind::fold_identifier(ident) == old
        {
            *ident = ast::Ident::with_quote('"', new);
            if quote_identifier(new) == new {
                ident.quote_style = None;
            }
        }
        std::ops::ControlFlow::Continue(())
    });
    Ok(expr.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_column_is_renamed_in_checks() {
        assert_eq!(renamed_in("a > 0 AND t.a < \"B\"", "a", "x").unwrap(), "x > 0 AND t.x < \"B\"");
        assert_eq!(renamed_in("a > 0", "a", "Weird").unwrap(), "\"Weird\" > 0");
        assert!(names_column("abs(a) > b", "a"));
        assert!(!names_column("abs(a) > b", "abs"));
    }
}
