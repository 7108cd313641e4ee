//! pg_constraint, and a constraint's text.

use std::sync::Arc;

use heliosdb_types::{Datum, Oid, Result};

use super::indexes::{Index, indexes_of};
use super::relations::sorted;
use super::table::{Rows, Source, array_text, oid, text};
use super::{Facts, quote_identifier};
use crate::catalog::{CatalogSnapshot, CheckConstraint, ForeignKey, ReferentialAction, Relation};

/// A constraint of a table.
pub(super) enum Constraint<'a> {
    Check(&'a CheckConstraint),
    Key(Index<'a>),
    Foreign(&'a ForeignKey),
}

impl Constraint<'_> {
    pub fn oid(&self) -> Oid {
        match self {
            Constraint::Check(check) => check.oid,
            Constraint::Key(index) => index.constraint.unwrap_or(Oid(0)),
            Constraint::Foreign(key) => key.oid,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Constraint::Check(check) => &check.name,
            Constraint::Key(index) => index.name,
            Constraint::Foreign(key) => &key.name,
        }
    }

    pub fn letter(&self) -> &'static str {
        match self {
            Constraint::Check(_) => "c",
            Constraint::Key(index) if index.primary => "p",
            Constraint::Key(_) => "u",
            Constraint::Foreign(_) => "f",
        }
    }

    /// Its columns, in order; a check's are those it names.
    pub fn attributes(&self, table: &Relation) -> Vec<i16> {
        match self {
            Constraint::Check(check) => {
                let named = |column: &&crate::catalog::Column| names_column(&check.expression, &column.name);
                table.columns.iter().filter(named).map(|column| column.attribute).collect()
            }
            Constraint::Key(index) => {
                let names = index.key_names();
                let attribute = |name: &&str| table.column(name).map(|(_, column)| column.attribute);
                names.iter().filter_map(attribute).collect()
            }
            Constraint::Foreign(key) => key.attributes.clone(),
        }
    }
}

fn names_column(expression: &str, name: &str) -> bool {
    let Ok(expr) = crate::bind::parse_expression(expression) else { return false };
    let mut found = false;
    let _: std::ops::ControlFlow<()> = sqlparser::ast::visit_expressions(&expr, |expr| {
        if let sqlparser::ast::Expr::Identifier(ident) = expr {
            found |= crate::bind::fold_identifier(ident) == name;
        }
        std::ops::ControlFlow::Continue(())
    });
    found
}

/// Constraints of a table, in the order of their names as psql sorts them elsewhere.
pub(super) fn constraints_of(relation: &Arc<Relation>) -> Vec<Constraint<'_>> {
    let Some(table) = relation.table() else { return Vec::new() };
    let keys = indexes_of(relation).into_iter().filter(|index| index.constraint.is_some()).map(Constraint::Key);
    let checks = table.checks.iter().map(Constraint::Check);
    keys.chain(checks).chain(table.foreign_keys.iter().map(Constraint::Foreign)).collect()
}

pub(super) fn constraint_named(catalog: &CatalogSnapshot, oid: Oid) -> Option<(&Arc<Relation>, Constraint<'_>)> {
    catalog.relations.values().find_map(|relation| {
        constraints_of(relation).into_iter().find(|constraint| constraint.oid() == oid).map(|found| (relation, found))
    })
}

fn action_letter(action: ReferentialAction) -> &'static str {
    match action {
        ReferentialAction::NoAction => "a",
        ReferentialAction::Restrict => "r",
        ReferentialAction::Cascade => "c",
        ReferentialAction::SetNull => "n",
        ReferentialAction::SetDefault => "d",
    }
}

pub(super) fn action_name(action: ReferentialAction) -> &'static str {
    match action {
        ReferentialAction::NoAction => "NO ACTION",
        ReferentialAction::Restrict => "RESTRICT",
        ReferentialAction::Cascade => "CASCADE",
        ReferentialAction::SetNull => "SET NULL",
        ReferentialAction::SetDefault => "SET DEFAULT",
    }
}

fn numbers(attributes: &[i16]) -> Datum {
    text(array_text(attributes.iter().map(ToString::to_string)))
}

pub(super) fn pg_constraint(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for relation in sorted(&source.facts.catalog) {
        for constraint in constraints_of(relation) {
            let blank = || text(" ");
            let mut values = vec![
                ("oid", oid(constraint.oid())),
                ("conname", text(constraint.name())),
                ("connamespace", oid(relation.schema)),
                ("contype", text(constraint.letter())),
                ("convalidated", Datum::Bool(true)),
                ("conrelid", oid(relation.oid)),
                ("conislocal", Datum::Bool(true)),
                ("connoinherit", Datum::Bool(!matches!(constraint, Constraint::Check(_)))),
                ("conkey", numbers(&constraint.attributes(relation))),
                ("confupdtype", blank()),
                ("confdeltype", blank()),
                ("confmatchtype", blank()),
            ];
            match &constraint {
                Constraint::Check(check) => {
                    values.push(("conbin", text(&check.expression)));
                    values.push(("convalidated", Datum::Bool(check.validated)));
                }
                Constraint::Key(index) => values.extend([
                    ("conindid", oid(index.oid)),
                    ("condeferrable", Datum::Bool(index.deferrable.is_some())),
                    ("condeferred", Datum::Bool(index.deferrable.is_some_and(|kind| kind.initially_deferred))),
                ]),
                Constraint::Foreign(key) => {
                    let set: &[i16] = &key.delete_attributes;
                    values.extend([
                        ("confrelid", oid(key.parent)),
                        ("conindid", oid(key.parent_index)),
                        ("confkey", numbers(&key.parent_attributes)),
                        ("confupdtype", text(action_letter(key.on_update))),
                        ("confdeltype", text(action_letter(key.on_delete))),
                        ("confmatchtype", text(if key.match_full { "f" } else { "s" })),
                        ("condeferrable", Datum::Bool(key.deferrable)),
                        ("condeferred", Datum::Bool(key.initially_deferred)),
                        ("convalidated", Datum::Bool(key.validated)),
                        ("confdelsetcols", if set.is_empty() { Datum::Null } else { numbers(set) }),
                    ]);
                }
            }
            rows.add(&values)?;
        }
    }
    Ok(())
}

fn names(relation: &Relation, attributes: &[i16]) -> String {
    let column = |attribute: &i16| relation.columns.iter().find(|column| column.attribute == *attribute);
    let names = attributes.iter().filter_map(column).map(|column| quote_identifier(&column.name));
    names.collect::<Vec<_>>().join(", ")
}

/// `pg_get_constraintdef`.
pub(super) fn definition(facts: &Facts, constraint: Oid, pretty: bool) -> Option<String> {
    let (relation, constraint) = constraint_named(&facts.catalog, constraint)?;
    Some(match constraint {
        Constraint::Check(check) => {
            let shown = super::functions::unbracketed(&check.expression);
            let valid = if check.validated { "" } else { " NOT VALID" };
            if pretty { format!("CHECK ({shown}){valid}") } else { format!("CHECK (({shown})){valid}") }
        }
        Constraint::Key(index) => {
            let columns: Vec<String> = index.key_names().into_iter().map(quote_identifier).collect();
            let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE" };
            let nulls = if index.nulls_not_distinct { " NULLS NOT DISTINCT" } else { "" };
            let mut text = format!("{kind}{nulls} ({})", columns.join(", "));
            if !index.include.is_empty() {
                text.push_str(&format!(" INCLUDE ({})", index.include_text()));
            }
            if let Some(kind) = index.deferrable {
                text.push_str(if kind.initially_deferred { " DEFERRABLE INITIALLY DEFERRED" } else { " DEFERRABLE" });
            }
            text
        }
        Constraint::Foreign(key) => {
            let parent = facts.catalog.relations.get(&key.parent)?;
            let mut text = format!(
                "FOREIGN KEY ({}) REFERENCES {}({})",
                names(relation, &key.attributes),
                facts.shown_name(key.parent)?,
                names(parent, &key.parent_attributes)
            );
            if key.match_full {
                text.push_str(" MATCH FULL");
            }
            if key.on_update != ReferentialAction::NoAction {
                text.push_str(&format!(" ON UPDATE {}", action_name(key.on_update)));
            }
            if key.on_delete != ReferentialAction::NoAction {
                text.push_str(&format!(" ON DELETE {}", action_name(key.on_delete)));
                if !key.delete_attributes.is_empty() {
                    text.push_str(&format!(" ({})", names(relation, &key.delete_attributes)));
                }
            }
            if key.deferrable {
                text.push_str(" DEFERRABLE");
            }
            if key.initially_deferred {
                text.push_str(" INITIALLY DEFERRED");
            }
            if !key.validated {
                text.push_str(" NOT VALID");
            }
            text
        }
    })
}
