//! What names mean at one query level.

use std::sync::Arc;

use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::Expr;
use heliosdb_types::{Error, Oid, Result, SqlState, SqlType};
use sqlparser::tokenizer::Span;

use super::params::arrow_of;
use crate::catalog::Relation;
use crate::func::Typed;

/// The table column an output column shows unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub relation: Oid,
    pub attribute: i16,
}

#[derive(Clone, Debug)]
pub(super) struct ScopeColumn {
    /// The SQL name; several columns of a derived table may share it.
    pub name: String,
    pub value: Typed,
    pub origin: Option<Origin>,
}

/// One FROM item that can qualify a column.
#[derive(Clone, Debug)]
pub(super) struct ScopeRelation {
    /// The alias, or the table's name.
    pub name: String,
    /// Set when there is no alias: the table can also be named with its schema.
    pub schema: Option<String>,
    pub columns: Vec<ScopeColumn>,
    pub table: Option<Arc<Relation>>,
    pub row: RowShape,
}

/// What a relation's name means as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RowShape {
    /// A row of its columns.
    #[default]
    Columns,
    /// The same, or NULL where an outer join found none.
    Nullable,
    /// Its only column: a function that gives single values.
    Scalar,
}

/// The FROM clause of one query level.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub relations: Vec<ScopeRelation>,
    /// What an unqualified name can mean and what `*` gives, in order: the relations' columns, those of USING merged.
    pub visible: Vec<ScopeColumn>,
}

/// The result of looking a name up at one level.
pub(super) type Found<'a> = Result<Option<&'a ScopeColumn>>;

impl Scope {
    pub fn of(relation: ScopeRelation) -> Scope {
        Scope { visible: relation.columns.clone(), relations: vec![relation] }
    }

    /// FROM a, b: `other`'s columns after these. 42712 when a name is there twice.
    pub fn extend(&mut self, other: Scope) -> Result<()> {
        self.check_names(&other)?;
        self.relations.extend(other.relations);
        self.visible.extend(other.visible);
        Ok(())
    }

    pub fn check_names(&self, other: &Scope) -> Result<()> {
        let clash = |new: &&ScopeRelation| {
            self.relations.iter().any(|old| {
                // Two tables of one name from different schemas can be told apart by the schema.
                old.name == new.name && (old.schema.is_none() || new.schema.is_none() || old.schema == new.schema)
            })
        };
        match other.relations.iter().find(clash) {
            Some(twice) => Err(Error::invalid(
                SqlState::DUPLICATE_ALIAS,
                format!("table name \"{}\" specified more than once", twice.name),
            )),
            None => Ok(()),
        }
    }

    /// The rows of these relations may be filled with NULLs by an outer join.
    pub fn may_be_missing(&mut self) {
        let rows = self.relations.iter_mut().filter(|relation| relation.row == RowShape::Columns);
        rows.for_each(|relation| relation.row = RowShape::Nullable);
    }

    pub fn unqualified(&self, name: &str) -> Found<'_> {
        only(self.visible.iter().filter(|column| column.name == name), || format!("\"{name}\""))
    }

    pub fn relation(&self, schema: Option<&str>, name: &str) -> Result<Option<&ScopeRelation>> {
        let mut matches = self.relations.iter().filter(|relation| {
            relation.name == name && schema.is_none_or(|schema| relation.schema.as_deref() == Some(schema))
        });
        let first = matches.next();
        if first.is_some() && matches.next().is_some() {
            let message = format!("table reference \"{name}\" is ambiguous");
            return Err(Error::invalid(SqlState::AMBIGUOUS_COLUMN, message));
        }
        Ok(first)
    }

    /// The relation a column expression belongs to.
    pub fn owner(&self, column: &Column) -> Option<(&ScopeRelation, &ScopeColumn)> {
        self.relations.iter().find_map(|relation| {
            let found = relation.columns.iter().find(|c| matches!(&c.value.expr, Expr::Column(c) if c == column))?;
            Some((relation, found))
        })
    }
}

impl ScopeRelation {
    pub fn column(&self, name: &str) -> Found<'_> {
        let matches = self.columns.iter().filter(|column| column.name == name);
        only(matches, || format!("\"{name}\""))
    }
}

fn only<'a>(mut matches: impl Iterator<Item = &'a ScopeColumn>, name: impl Fn() -> String) -> Found<'a> {
    let first = matches.next();
    if first.is_some() && matches.next().is_some() {
        let message = format!("column reference {} is ambiguous", name());
        return Err(Error::invalid(SqlState::AMBIGUOUS_COLUMN, message));
    }
    Ok(first)
}

/// A column of a plan as a typed expression.
pub(super) fn column_value(qualifier: Option<&TableReference>, name: &str, sql_type: SqlType) -> Typed {
    let arrow = arrow_of(&sql_type);
    Typed { expr: Expr::Column(Column::new(qualifier.cloned(), name)), sql_type, arrow }
}

/// The clause being bound: what it allows, and its name in errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    Select,
    Where,
    JoinOn,
    GroupBy,
    Having,
    OrderBy,
    Limit,
    Offset,
    Values,
    FromFunction,
    Filter,
    Set,
    /// WHERE of UPDATE and DELETE: evaluated again on the newest row, so its subqueries become columns.
    RowWhere,
    Returning,
    Default,
    Check,
    /// A key of CREATE INDEX.
    Index,
    /// WHERE of CREATE INDEX.
    IndexWhere,
    Generated,
}

impl Clause {
    pub fn name(self) -> &'static str {
        match self {
            Clause::Select => "SELECT",
            Clause::Where | Clause::RowWhere => "WHERE",
            Clause::JoinOn => "JOIN conditions",
            Clause::GroupBy => "GROUP BY",
            Clause::Having => "HAVING",
            Clause::OrderBy => "ORDER BY",
            Clause::Limit => "LIMIT",
            Clause::Offset => "OFFSET",
            Clause::Values => "VALUES",
            Clause::FromFunction => "functions in FROM",
            Clause::Filter => "FILTER",
            Clause::Set => "UPDATE",
            Clause::Returning => "RETURNING",
            Clause::Default => "DEFAULT expressions",
            Clause::Index => "index expressions",
            Clause::IndexWhere => "index predicates",
            Clause::Check => "check constraints",
            Clause::Generated => "column generation expressions",
        }
    }

    /// What no subquery may stand in.
    pub fn refuses_subqueries(self) -> Option<&'static str> {
        match self {
            Clause::Default => Some("DEFAULT expression"),
            Clause::Check => Some("check constraint"),
            Clause::Generated => Some("column generation expression"),
            _ => None,
        }
    }

    pub fn allows_aggregates(self) -> bool {
        matches!(self, Clause::Select | Clause::Having | Clause::OrderBy)
    }

    pub fn allows_windows(self) -> bool {
        matches!(self, Clause::Select | Clause::OrderBy)
    }

    /// EXISTS and IN (subquery) become joins only below a Filter; elsewhere they are written as scalar subqueries.
    pub fn is_filter(self) -> bool {
        matches!(self, Clause::Where | Clause::Having | Clause::JoinOn)
    }
}

/// One query level while its clauses are bound. The innermost is last on the binder's stack.
#[derive(Debug)]
pub(super) struct Level {
    pub scope: Scope,
    pub clause: Clause,
    /// Inside an aggregate's arguments.
    pub in_aggregate: bool,
    /// Inside a window function's arguments or definition.
    pub in_window: bool,
    /// Columns of this level named outside aggregates, with where: to point at ungrouped ones.
    pub references: Vec<(Column, Span)>,
    /// Named windows of the WINDOW clause.
    pub windows: Vec<(String, sqlparser::ast::WindowSpec)>,
    /// Calls that give rows in this level's expressions; see `bind::rows`.
    pub rows: Vec<crate::func::RowsCall>,
    /// Subqueries of this level's expressions.
    pub subqueries: Vec<super::known_subqueries::Known>,
}

impl Level {
    pub fn new(scope: Scope, clause: Clause) -> Level {
        Level {
            scope,
            clause,
            in_aggregate: false,
            in_window: false,
            references: Vec::new(),
            windows: Vec::new(),
            rows: Vec::new(),
            subqueries: Vec::new(),
        }
    }
}
