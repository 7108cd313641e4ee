//! RENAME of relations and columns, OWNER TO.

use std::sync::Arc;

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, Expr};

use super::Change;
use crate::bind;
use crate::catalog::{Relation, RelationKind};
use crate::ddl::create_table::refuse_system_name;
use crate::ddl::duplicate_relation;
use crate::ddl::index::expressions_of;
use crate::pg_catalog::quote_identifier;
use crate::session::Session;

impl Session {
    pub(super) fn rename_column(&mut self, change: &mut Change, old: &ast::Ident, new: &ast::Ident) -> Result<()> {
        let (old, new) = (bind::fold_identifier(old), bind::fold_identifier(new));
        refuse_system_name(&new)?;
        if change.new.column(&old).is_none() {
            let message = format!("column \"{old}\" does not exist");
            return Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message));
        }
        if change.new.column(&new).is_some() {
            let message = format!("column \"{new}\" of relation \"{}\" already exists", change.new.name);
            return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
        }
        let catalog = self.catalog()?;
        let table = change.new.oid;
        self.refuse_if_views_read(&catalog, |relation| relation.oid == table, "RENAME COLUMN")?;
        change.column_mut(&old)?.name = new.clone();
        for check in &mut change.table_mut()?.checks {
            check.expression = renamed_in(&check.expression, &old, &new)?;
        }
        for expression in change.table_mut()?.indexes.iter_mut().flat_map(expressions_of) {
            *expression = renamed_in(expression, &old, &new)?;
        }
        Ok(())
    }

    pub(super) async fn rename_relation(&mut self, relation: &Arc<Relation>, new_name: &ast::ObjectName) -> Result<()> {
        let (schema, new_name) = bind::object_name(new_name)?;
        if schema.is_some() {
            return Err(Error::syntax("syntax error at or near \".\""));
        }
        let catalog = self.catalog()?;
        let oid = relation.oid;
        self.refuse_if_views_read(&catalog, |read| read.oid == oid, "RENAME TO")?;
        if matches!(relation.kind, RelationKind::Sequence(_)) {
            return Err(Error::unsupported("ALTER SEQUENCE ... RENAME"));
        }
        let renamed = Relation { name: new_name.clone(), ..(**relation).clone() };
        let mut writer = self.catalog_writer()?;
        if !writer.rename_relation(&relation.name, &renamed).await? {
            return Err(duplicate_relation(&new_name));
        }
        self.catalog_written(&writer);
        Ok(())
    }

    pub(super) async fn change_owner(&mut self, relation: &Relation, owner: &ast::Owner) -> Result<()> {
        let owner = match owner {
            ast::Owner::Ident(name) => self.role_oid(&bind::fold_identifier(name))?,
            ast::Owner::CurrentRole | ast::Owner::CurrentUser | ast::Owner::SessionUser => self.user.oid,
        };
        if owner != self.user.oid {
            self.require_superuser("permission denied to change owner")?;
        }
        let catalog = self.catalog()?;
        let mut writer = self.catalog_writer()?;
        writer.update_relation(&Relation { owner, ..relation.clone() }).await?;
        for sequence in crate::ddl::owned_sequences(&catalog, relation.oid) {
            writer.update_relation(&Relation { owner, ..(*sequence).clone() }).await?;
        }
        self.catalog_written(&writer);
        Ok(())
    }
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
