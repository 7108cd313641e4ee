//! INSERT.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, SetExpr, Spanned, TableObject};
use sqlparser::tokenizer::Span;

use super::BoundWrite;
use super::target::is_default;
use crate::bind::binder::Binder;
use crate::bind::from::refuse;
use crate::bind::names::{fold_identifier, object_name, object_name_span};
use crate::bind::plan::{self, internal_name, one_row};
use crate::bind::scope::{Clause, Scope, column_value};
use crate::bind::tokens::{Overriding, insert_head};
use crate::catalog::{Identity, Privileges, Relation};
use crate::exec::{RowWriteNode, RowWriteOp};
use crate::func::Typed;

/// Where the rows come from, and what each target column takes from them.
struct Source {
    plan: LogicalPlan,
    /// One for each target column given a value, as a column of `plan`.
    values: Vec<(usize, Typed)>,
}

impl Binder<'_> {
    pub fn bind_insert(&mut self, insert: &ast::Insert) -> Result<BoundWrite> {
        let ast::Insert {
            insert_token: _,
            optimizer_hints,
            or,
            ignore,
            into: _,
            table,
            table_alias: _,
            columns: _,
            overwrite,
            source,
            assignments,
            partitioned: _,
            after_columns,
            has_table_keyword,
            on,
            returning,
            output,
            replace_into,
            priority,
            insert_alias,
            settings,
            format_clause,
            multi_table_insert_type,
            multi_table_into_clauses,
            multi_table_when_clauses,
            multi_table_else_clause,
        } = insert;
        refuse(!optimizer_hints.is_empty(), "optimizer hints")?;
        refuse(or.is_some() || *ignore || *replace_into || priority.is_some(), "INSERT OR/IGNORE/REPLACE")?;
        refuse(*overwrite || !after_columns.is_empty(), "INSERT OVERWRITE")?;
        refuse(*has_table_keyword, "INSERT INTO TABLE")?;
        refuse(output.is_some(), "OUTPUT")?;
        refuse(!assignments.is_empty() || insert_alias.is_some(), "INSERT ... SET")?;
        refuse(settings.is_some() || format_clause.is_some(), "SETTINGS and FORMAT of INSERT")?;
        let multi = multi_table_insert_type.is_some() || multi_table_else_clause.is_some();
        refuse(
            multi || !multi_table_into_clauses.is_empty() || !multi_table_when_clauses.is_empty(),
            "INSERT into several tables",
        )?;
        let Some((overriding, table_alias, columns)) = insert_head(insert) else {
            return Err(Error::unsupported("INSERT ... PARTITION"));
        };
        self.overriding = overriding;
        let TableObject::TableName(name) = table else {
            return Err(Error::unsupported("INSERT into a function or query"));
        };
        let relation = self.writable_relation(name, "INSERT into")?;
        let targets = self.insert_targets(&relation, columns)?;
        let inserted: Vec<i16> =
            targets.iter().filter_map(|at| relation.columns.get(*at)).map(|column| column.attribute).collect();
        self.require(&relation, Privileges::INSERT).inserted.extend(inserted);
        let explicit = !columns.is_empty();
        let source = match source {
            Some(query) => self.insert_source(&relation, &targets, explicit, query)?,
            None => Source { plan: one_row(), values: Vec::new() },
        };
        let new_row = self.insert_row(&relation, &source)?;
        let name = table_alias.map_or_else(|| relation.name.clone(), |a| fold_identifier(&a.alias));
        let conflict = on.as_ref().map(|on| self.bind_conflict(&relation, &name, on)).transpose()?;
        let node = RowWriteNode {
            recheck: None,
            op: RowWriteOp::Insert,
            table: Arc::clone(&relation),
            schema: Arc::clone(source.plan.schema()),
            input: Arc::new(source.plan),
            row_ref: None,
            old_row: Vec::new(),
            predicate: None,
            new_row,
            checks: self.bind_checks(&relation)?,
            indexes: self.bind_indexes(&relation)?,
            foreign: self.bind_foreign(&relation)?,
            conflict,
            generated: self.bind_generated(&relation)?,
            merge: Vec::new(),
            returning: false,
        };
        self.finish_write(node, returning.as_deref(), name, Scope::default(), "INSERT")
    }

    /// Positions of the columns that get values, in the order given; all columns when none are named.
    pub(super) fn insert_targets(&self, relation: &Relation, columns: &[ast::ObjectName]) -> Result<Vec<usize>> {
        if columns.is_empty() {
            return Ok((0..relation.columns.len()).collect());
        }
        let mut targets = Vec::with_capacity(columns.len());
        for column in columns {
            let span = object_name_span(column);
            let (_, name) = object_name(column)?;
            let at = self.target_column(relation, &name, span)?;
            if targets.contains(&at) {
                let message = format!("column \"{name}\" specified more than once");
                return Err(self.error_at(span, SqlState::DUPLICATE_COLUMN, message));
            }
            targets.push(at);
        }
        Ok(targets)
    }

    fn insert_source(
        &mut self,
        relation: &Relation,
        targets: &[usize],
        explicit: bool,
        query: &ast::Query,
    ) -> Result<Source> {
        let plain = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
        if let (SetExpr::Values(values), true, None) = (query.body.as_ref(), plain, &query.fetch) {
            return self.insert_values(relation, targets, explicit, values);
        }
        let mut bound = self.bind_query(query, true)?;
        check_count(targets.len(), bound.columns.len(), explicit).map_err(|e| self.positions.mark(e, query.span()))?;
        for (number, at) in targets.iter().enumerate() {
            if let Some(target) = relation.columns.get(*at) {
                self.decide_column(&mut bound, number, &target.sql_type)?;
            }
        }
        let qualifier = self.unique_qualifier("source");
        let plan = plan::alias(bound.plan, qualifier.clone())?;
        let mut values = Vec::with_capacity(bound.columns.len());
        for (at, column) in targets.iter().zip(bound.columns) {
            if self.ignores_value(relation, *at) {
                continue;
            }
            self.check_identity(relation, *at, Span::empty())?;
            let mut value = column_value(Some(&qualifier), internal_name(&column.value), column.value.sql_type.clone());
            value.arrow = column.value.arrow;
            values.push((*at, value));
        }
        Ok(Source { plan, values })
    }

    /// VALUES rows, each value cast to its column's type where it stands, so that literals and parameters take that type.
    fn insert_values(
        &mut self,
        relation: &Relation,
        targets: &[usize],
        explicit: bool,
        values: &ast::Values,
    ) -> Result<Source> {
        let ast::Values { explicit_row, value_keyword, rows } = values;
        refuse(*explicit_row || *value_keyword, "ROW(...) in VALUES")?;
        let width = rows.first().map_or(0, |row| row.content.len());
        let mut columns: Vec<Vec<Typed>> = vec![Vec::with_capacity(rows.len()); width];
        for row in rows {
            if row.content.len() != width {
                return Err(Error::syntax("VALUES lists must all be the same length"));
            }
            let extra = row.content.get(targets.len()).or(row.content.last());
            let span = extra.map_or(Span::empty(), Spanned::span);
            check_count(targets.len(), width, explicit).map_err(|error| self.positions.mark(error, span))?;
            for ((expr, at), column) in row.content.iter().zip(targets).zip(&mut columns) {
                column.push(self.insert_value(relation, *at, expr)?);
            }
        }
        let bound = self.values_plan(columns)?;
        let qualifier = self.unique_qualifier("source");
        let plan = plan::alias(bound.plan, qualifier.clone())?;
        let value = |(at, column): (&usize, &crate::bind::binder::OutputColumn)| {
            let sql_type = column.value.sql_type.clone();
            let mut value = column_value(Some(&qualifier), internal_name(&column.value), sql_type);
            value.arrow = column.value.arrow.clone();
            (*at, value)
        };
        let values = targets.iter().zip(&bound.columns).map(value).collect();
        Ok(Source { plan, values })
    }

    fn insert_value(&mut self, relation: &Relation, at: usize, expr: &ast::Expr) -> Result<Typed> {
        let column = relation.columns.get(at).ok_or_else(|| Error::internal("a target column that is not there"))?;
        if is_default(expr) || self.ignores_value(relation, at) {
            return self.column_default(relation, column);
        }
        self.check_identity(relation, at, expr.span())?;
        let value = self.in_level(Scope::default(), Clause::Values, |binder| binder.bind_expr(expr))?;
        let assigned = self.assign(value, column);
        self.at(expr.span(), assigned)
    }

    /// OVERRIDING USER VALUE: identity columns take the next value, whatever is given.
    pub(super) fn ignores_value(&self, relation: &Relation, at: usize) -> bool {
        self.overriding == Some(Overriding::User)
            && relation.columns.get(at).is_some_and(|column| column.identity != Identity::No)
    }

    /// 428C9 for a value given to a GENERATED ALWAYS column.
    pub(super) fn check_identity(&self, relation: &Relation, at: usize, span: Span) -> Result<()> {
        match relation.columns.get(at) {
            Some(column) if column.identity == Identity::Always && self.overriding != Some(Overriding::System) => {
                let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
                let detail = format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", column.name);
                Err(self
                    .error_at(span, SqlState::GENERATED_ALWAYS, message)
                    .with_detail(detail)
                    .with_hint("Use OVERRIDING SYSTEM VALUE to override.")
                    .without_position())
            }
            Some(column) if column.generated => {
                let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
                let detail = format!("Column \"{}\" is a generated column.", column.name);
                Err(Error::invalid(SqlState::GENERATED_ALWAYS, message).with_detail(detail))
            }
            _ => Ok(()),
        }
    }

    /// The new row over the source's columns: given values assigned, the others by default.
    fn insert_row(&mut self, relation: &Relation, source: &Source) -> Result<Vec<Expr>> {
        let mut row = Vec::with_capacity(relation.columns.len());
        for (at, column) in relation.columns.iter().enumerate() {
            let given = source.values.iter().find(|(target, _)| *target == at);
            let value = match given {
                Some((_, value)) => self.assign(value.clone(), column)?,
                None => self.column_default(relation, column)?,
            };
            row.push(value.expr);
        }
        Ok(row)
    }
}

pub(super) fn check_count(targets: usize, values: usize, explicit: bool) -> Result<()> {
    if values > targets {
        return Err(Error::syntax("INSERT has more expressions than target columns"));
    }
    if explicit && values < targets {
        return Err(Error::syntax("INSERT has more target columns than expressions"));
    }
    Ok(())
}
