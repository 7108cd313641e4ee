//! The constraints of a table as written: PRIMARY KEY and CHECK, their names as PostgreSQL picks them.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, Expr, TableConstraint};

use crate::bind;
use crate::catalog::{CatalogWriter, CheckConstraint};
use crate::ddl::candidate_names;
use crate::ddl::columns::{WrittenColumn, several_primary_keys};

/// A primary key as written: its name, if any, and its columns.
pub(in crate::ddl) type WrittenKey = (Option<String>, Vec<String>);

/// A check as written: its name, the column it stands beside, its condition.
pub(in crate::ddl) type NamedCheck = (Option<String>, Option<String>, Expr);

pub(super) fn read_constraints(
    columns: &[WrittenColumn],
    constraints: &[TableConstraint],
    table: &str,
) -> Result<(Option<WrittenKey>, Vec<NamedCheck>)> {
    let mut key: Option<WrittenKey> = None;
    let mut checks = Vec::new();
    for column in columns {
        if let Some(name) = &column.primary_key {
            if key.is_some() {
                return Err(several_primary_keys(table));
            }
            key = Some((name.clone(), vec![column.name.clone()]));
        }
        let beside = column.checks.iter().cloned();
        checks.extend(beside.map(|(name, expr)| (name, Some(column.name.clone()), expr)));
    }
    for constraint in constraints {
        match read_constraint(constraint)? {
            Constraint::Key(_) if key.is_some() => return Err(several_primary_keys(table)),
            Constraint::Key(written) => key = Some(written),
            Constraint::Check(check) => checks.push(*check),
        }
    }
    Ok((key, checks))
}

/// A table constraint we implement.
pub(in crate::ddl) enum Constraint {
    Key(WrittenKey),
    Check(Box<NamedCheck>),
}

pub(in crate::ddl) fn read_constraint(constraint: &TableConstraint) -> Result<Constraint> {
    match constraint {
        TableConstraint::PrimaryKey(ast::PrimaryKeyConstraint {
            name,
            index_name: None,
            index_type: None,
            columns,
            index_options,
            characteristics: None,
        }) if index_options.is_empty() => {
            let columns = columns.iter().map(|column| match &column.column.expr {
                Expr::Identifier(ident) if column.operator_class.is_none() && column.column.options.asc.is_none() => {
                    Ok(bind::fold_identifier(ident))
                }
                _ => Err(Error::unsupported("an expression in a PRIMARY KEY")),
            });
            Ok(Constraint::Key((name.as_ref().map(bind::fold_identifier), columns.collect::<Result<_>>()?)))
        }
        TableConstraint::PrimaryKey(_) => Err(Error::unsupported("PRIMARY KEY with options")),
        TableConstraint::Check(ast::CheckConstraint { name, expr, enforced }) => {
            if *enforced == Some(false) {
                return Err(Error::unsupported("a constraint that is NOT ENFORCED"));
            }
            let name = name.as_ref().map(bind::fold_identifier);
            Ok(Constraint::Check(Box::new((name, None, (**expr).clone()))))
        }
        TableConstraint::Unique(_) | TableConstraint::UniqueUsingIndex(_) => {
            Err(Error::unsupported("a UNIQUE constraint"))
        }
        TableConstraint::ForeignKey(_) => Err(Error::unsupported("a FOREIGN KEY constraint")),
        TableConstraint::PrimaryKeyUsingIndex(_) => Err(Error::unsupported("PRIMARY KEY USING INDEX")),
        TableConstraint::Index(_) | TableConstraint::FulltextOrSpatial(_) => {
            Err(Error::unsupported("an index inside CREATE TABLE"))
        }
    }
}

/// Gives every check an OID and a name, as PostgreSQL picks them: after its column if it is about one only.
pub(in crate::ddl) fn name_checks(
    writer: &CatalogWriter,
    table: &str,
    checks: Vec<NamedCheck>,
) -> Result<Vec<CheckConstraint>> {
    let mut out: Vec<CheckConstraint> = Vec::with_capacity(checks.len());
    for (name, column, expr) in checks {
        let taken = |name: &String| out.iter().any(|check| check.name == *name);
        let name = match name {
            Some(name) if taken(&name) => {
                let message = format!("check constraint \"{name}\" already exists");
                return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
            }
            Some(name) => name,
            None => {
                let about = column.or_else(|| only_column(&expr));
                candidate_names(table, about.as_deref(), "check").find(|name| !taken(name)).unwrap_or_default()
            }
        };
        out.push(CheckConstraint { oid: writer.new_oid()?, name, expression: expr.to_string(), validated: true });
    }
    Ok(out)
}

/// The one column an expression names, if it names exactly one.
fn only_column(expr: &Expr) -> Option<String> {
    let mut names = std::collections::BTreeSet::new();
    // The visitor cannot fail here; its result only says whether it was stopped.
    let _: std::ops::ControlFlow<()> = ast::visit_expressions(expr, |expr| {
        match expr {
            Expr::Identifier(ident) => {
                names.insert(bind::fold_identifier(ident));
            }
            Expr::CompoundIdentifier(parts) => names.extend(parts.last().map(bind::fold_identifier)),
            _ => {}
        }
        std::ops::ControlFlow::Continue(())
    });
    if names.len() == 1 { names.pop_first() } else { None }
}
