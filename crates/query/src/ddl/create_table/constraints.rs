//! The constraints of a table as written: PRIMARY KEY and CHECK, their names as PostgreSQL picks them.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, Expr, TableConstraint};

use crate::bind;
use crate::catalog::{CatalogWriter, CheckConstraint};
use crate::ddl::candidate_names;
use crate::ddl::columns::{WrittenColumn, several_primary_keys};
use crate::ddl::foreign_key::{WrittenForeignKey, read_foreign_key};
use crate::ddl::index::{WrittenIndex, WrittenPart, check_characteristics, read_deferrable, read_unique};

/// A primary key as written: its name, if any, and its columns.
pub(in crate::ddl) type WrittenKey = (Option<String>, Vec<String>);

/// A check as written: its name, the column it stands beside, its condition.
pub(in crate::ddl) type NamedCheck = (Option<String>, Option<String>, Expr);

/// The constraints of a table, those beside columns first.
pub(super) struct WrittenConstraints {
    pub key: Option<WrittenKey>,
    pub checks: Vec<NamedCheck>,
    pub uniques: Vec<WrittenIndex>,
    pub foreign_keys: Vec<WrittenForeignKey>,
}

pub(super) fn read_constraints(
    columns: &[WrittenColumn],
    constraints: &[TableConstraint],
    table: &str,
) -> Result<WrittenConstraints> {
    let mut key: Option<WrittenKey> = None;
    let mut checks = Vec::new();
    let mut uniques: Vec<WrittenIndex> = Vec::new();
    let mut foreign_keys = Vec::new();
    for column in columns {
        if let Some(name) = &column.primary_key {
            if key.is_some() {
                return Err(several_primary_keys(table));
            }
            key = Some((name.clone(), vec![column.name.clone()]));
        }
        uniques.extend(column.uniques.iter().cloned());
        foreign_keys.extend(column.foreign_keys.iter().cloned());
        let beside = column.checks.iter().cloned();
        checks.extend(beside.map(|(name, expr)| (name, Some(column.name.clone()), expr)));
    }
    for constraint in constraints {
        match read_constraint(constraint)? {
            Constraint::Key(_) if key.is_some() => return Err(several_primary_keys(table)),
            Constraint::Key(written) => key = Some(written),
            Constraint::Check(check) => checks.push(*check),
            Constraint::Unique(unique) => uniques.push(*unique),
            Constraint::Foreign(foreign) => foreign_keys.push(*foreign),
            Constraint::UsingIndex { .. } => {
                let message = "ALTER TABLE / ADD CONSTRAINT USING INDEX is not supported in CREATE TABLE";
                return Err(Error::unsupported(message));
            }
        }
    }
    if uniques.iter().filter(|unique| unique.primary).count() + usize::from(key.is_some()) > 1 {
        return Err(several_primary_keys(table));
    }
    without_redundant(&mut uniques, key.as_mut());
    Ok(WrittenConstraints { key, checks, uniques, foreign_keys })
}

/// Of several constraints over the same columns one index is made, as PostgreSQL does; the primary key comes first.
fn without_redundant(uniques: &mut Vec<WrittenIndex>, key: Option<&mut WrittenKey>) {
    let columns = |index: &WrittenIndex| {
        let name = |part: &WrittenPart| match &part.expr {
            Expr::Identifier(name) => bind::fold_identifier(name),
            other => other.to_string(),
        };
        index.keys.iter().map(name).collect::<Vec<_>>()
    };
    if let Some((name, key_columns)) = key {
        uniques.retain_mut(|unique| {
            let same = columns(unique) == *key_columns && !unique.nulls_not_distinct && unique.deferrable.is_none();
            if same && name.is_none() {
                *name = unique.name.take();
            }
            !same
        });
    }
    let mut kept: Vec<WrittenIndex> = Vec::with_capacity(uniques.len());
    for unique in uniques.drain(..) {
        let same = |other: &&mut WrittenIndex| {
            columns(other) == columns(&unique)
                && other.nulls_not_distinct == unique.nulls_not_distinct
                && other.deferrable == unique.deferrable
                && !other.primary
                && !unique.primary
        };
        match kept.iter_mut().find(same) {
            Some(other) => other.name = other.name.take().or(unique.name),
            None => kept.push(unique),
        }
    }
    *uniques = kept;
}

/// A table constraint we implement.
pub(in crate::ddl) enum Constraint {
    Unique(Box<WrittenIndex>),
    Foreign(Box<WrittenForeignKey>),
    /// UNIQUE or PRIMARY KEY (`primary`) from an index that exists.
    UsingIndex {
        name: Option<String>,
        index: String,
        primary: bool,
    },
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
            characteristics,
        }) if index_options.is_empty() => {
            let columns = columns.iter().map(|column| match &column.column.expr {
                Expr::Identifier(ident) if column.operator_class.is_none() && column.column.options.asc.is_none() => {
                    Ok(ident.clone())
                }
                _ => Err(Error::unsupported("an expression in a PRIMARY KEY")),
            });
            let (name, columns) = (name.as_ref().map(bind::fold_identifier), columns.collect::<Result<Vec<_>>>()?);
            Ok(match read_deferrable(characteristics.as_ref())? {
                Some(deferrable) => Constraint::Unique(Box::new(WrittenIndex::late_key(name, columns, deferrable))),
                None => Constraint::Key((name, columns.iter().map(bind::fold_identifier).collect())),
            })
        }
        TableConstraint::PrimaryKey(_) => Err(Error::unsupported("PRIMARY KEY with options")),
        TableConstraint::Check(ast::CheckConstraint { name, expr, enforced }) => {
            if *enforced == Some(false) {
                return Err(Error::unsupported("a constraint that is NOT ENFORCED"));
            }
            let name = name.as_ref().map(bind::fold_identifier);
            Ok(Constraint::Check(Box::new((name, None, (**expr).clone()))))
        }
        TableConstraint::Unique(unique) => Ok(Constraint::Unique(Box::new(read_unique(unique)?))),
        TableConstraint::UniqueUsingIndex(using) => using_index(using, false),
        TableConstraint::PrimaryKeyUsingIndex(using) => using_index(using, true),
        TableConstraint::ForeignKey(foreign) => Ok(Constraint::Foreign(Box::new(read_foreign_key(foreign, None)?))),
        TableConstraint::Index(_) | TableConstraint::FulltextOrSpatial(_) => {
            Err(Error::unsupported("an index inside CREATE TABLE"))
        }
    }
}

fn using_index(using: &ast::ConstraintUsingIndex, primary: bool) -> Result<Constraint> {
    let ast::ConstraintUsingIndex { name, index_name, characteristics } = using;
    check_characteristics(characteristics.as_ref(), if primary { "PRIMARY KEY" } else { "UNIQUE" })?;
    let name = name.as_ref().map(bind::fold_identifier);
    Ok(Constraint::UsingIndex { name, index: bind::fold_identifier(index_name), primary })
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
