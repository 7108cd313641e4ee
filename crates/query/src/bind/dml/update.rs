//! UPDATE.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, AssignmentTarget, Spanned, TableFactor};

use super::BoundWrite;
use super::input_column;
use super::target::is_default;
use crate::bind::binder::Binder;
use crate::bind::expr::chain_operands;
use crate::bind::from::{cross_join, refuse};
use crate::bind::names::{fold_identifier, object_name, object_name_span};
use crate::bind::plan;
use crate::bind::recheck::{RowCondition, recheck, subquery_test};
use crate::bind::scope::{Clause, Scope};
use crate::catalog::{Identity, Privileges, Relation};
use crate::exec::{MergeClause, Recheck, RowWriteNode, RowWriteOp};
use crate::func::Typed;

/// The rows to change: target, row reference and old image first, then FROM or USING.
pub(super) struct Matched {
    pub relation: Arc<Relation>,
    pub plan: LogicalPlan,
    pub scope: Scope,
    pub target_name: String,
    /// WHERE without the parts that joins took over.
    pub predicate: Option<Expr>,
    pub recheck: Option<Recheck>,
}

/// One `column = value` of SET.
struct Assigned<'q> {
    at: usize,
    value: &'q ast::Expr,
    /// Subscripts and value, where only a part of the column is assigned.
    value_of_part: Option<(Vec<ast::Subscript>, ast::Expr)>,
}

impl Binder<'_> {
    pub fn bind_update(&mut self, update: &ast::Update) -> Result<BoundWrite> {
        let ast::Update {
            update_token: _,
            optimizer_hints,
            table,
            assignments,
            from,
            selection,
            returning,
            output,
            or,
            order_by,
            limit,
        } = update;
        refuse(!optimizer_hints.is_empty(), "optimizer hints")?;
        refuse(output.is_some(), "OUTPUT")?;
        refuse(or.is_some(), "UPDATE OR")?;
        refuse(!order_by.is_empty() || limit.is_some(), "ORDER BY and LIMIT of UPDATE")?;
        let from = match from {
            None => &[][..],
            Some(ast::UpdateTableFromKind::AfterSet(from)) => from.as_slice(),
            Some(ast::UpdateTableFromKind::BeforeSet(_)) => return Err(Error::unsupported("FROM before SET")),
        };
        let ast::TableWithJoins { relation, joins } = table;
        refuse(!joins.is_empty(), "UPDATE of a join")?;
        let (matched, new_row) =
            self.bind_matched(relation, from, selection.as_ref(), "UPDATE", |binder, target| {
                binder.bind_assignments(target, assignments)
            })?;
        self.finish_changes(matched, RowWriteOp::Update, new_row, Vec::new(), returning.as_deref(), "UPDATE")
    }

    /// Binds target, FROM and WHERE; `set` gives the new row over them (empty for DELETE).
    pub(super) fn bind_matched(
        &mut self,
        target: &TableFactor,
        from: &[ast::TableWithJoins],
        selection: Option<&ast::Expr>,
        doing: &str,
        set: impl FnOnce(&mut Self, &Arc<Relation>) -> Result<Vec<Expr>>,
    ) -> Result<(Matched, Vec<Expr>)> {
        let (name, alias) = target_table(target)?;
        let relation = self.writable_relation(name, doing)?;
        let mut item = self.bind_target(&relation, alias)?;
        let target_name = alias.map_or_else(|| relation.name.clone(), |alias| fold_identifier(&alias.name));
        if !from.is_empty() {
            let others = self.bind_from(from)?;
            item = cross_join(item, others)?;
        }
        let scope = item.scope.clone();
        let from = Arc::clone(item.plan.schema());
        let (plan, predicate, new_row, recheck) = self.in_level(item.scope, Clause::RowWhere, |binder| {
            let mut computed = Vec::new();
            let parts = match selection {
                Some(condition) => binder.bind_row_filter(condition)?,
                None => Vec::new(),
            };
            let mut tests = Vec::new();
            let mut repeated = Vec::new();
            for part in parts {
                if part.test.is_some() {
                    tests.push(part);
                    continue;
                }
                repeated.push(binder.lift_subqueries(part.expr, &mut computed)?);
            }
            let predicate = repeated.iter().cloned().reduce(Expr::and);
            let mut plan = plan::extend(item.plan, computed.clone())?;
            let joined = tests.iter().map(|test| test.expr.clone());
            if let Some(condition) = predicate.iter().cloned().chain(joined).reduce(Expr::and) {
                plan = plan::filter(plan, condition)?;
            }
            binder.level().clause = Clause::Set;
            let new_row = set(binder, &relation)?;
            let mut set = Vec::new();
            let lifted = new_row.into_iter().map(|expr| binder.lift_subqueries(expr, &mut set));
            let new_row = lifted.collect::<Result<Vec<_>>>()?;
            let plan = plan::extend(plan, set.clone())?;
            let recheck = recheck(&from, &computed, &repeated, &tests, &set, plan.schema())?;
            Ok((plan, predicate, new_row, recheck))
        })?;
        Ok((Matched { relation, plan, scope, target_name, predicate, recheck }, new_row))
    }

    pub(super) fn finish_changes(
        &mut self,
        matched: Matched,
        op: RowWriteOp,
        new_row: Vec<Expr>,
        merge: Vec<MergeClause>,
        returning: Option<&[ast::SelectItem]>,
        tag: &'static str,
    ) -> Result<BoundWrite> {
        let Matched { relation, plan, scope, target_name, predicate, recheck } = matched;
        let schema = Arc::clone(plan.schema());
        let mut relations = scope.relations.into_iter();
        let target = relations.next().ok_or_else(|| Error::internal("a write without a target"))?;
        let position = |column: &crate::bind::scope::ScopeColumn| {
            let column = input_column(&column.value)?;
            schema.maybe_index_of_column(column)
        };
        let old_row = target.columns.iter().map(position).collect::<Option<Vec<_>>>();
        let old_row = old_row.ok_or_else(|| Error::internal("a target column is missing from the input"))?;
        let row_ref = schema.fields().iter().position(|field| field.name() == heliosdb_contracts::ROW_REF_COLUMN);
        let mut others = Scope::default();
        for relation in relations {
            others.extend(Scope::of(relation))?;
        }
        let node = RowWriteNode {
            op,
            table: Arc::clone(&relation),
            schema,
            input: Arc::new(plan),
            row_ref,
            old_row,
            predicate,
            recheck,
            new_row,
            indexes: self.bind_indexes(&relation)?,
            foreign: self.bind_foreign(&relation)?,
            conflict: None,
            checks: if op == RowWriteOp::Delete { Vec::new() } else { self.bind_checks(&relation)? },
            generated: if op == RowWriteOp::Delete { Vec::new() } else { self.bind_generated(&relation)? },
            merge,
            returning: false,
        };
        self.finish_write(node, returning, target_name, others, tag)
    }

    /// WHERE as its AND parts. IN and EXISTS at the top become joins.
    pub fn bind_row_filter(&mut self, condition: &ast::Expr) -> Result<Vec<RowCondition>> {
        match condition {
            ast::Expr::Nested(inner) => self.bind_row_filter(inner),
            ast::Expr::BinaryOp { left, op: op @ ast::BinaryOperator::And, right } => {
                let mut parts = Vec::new();
                for part in chain_operands(left, op, right) {
                    parts.extend(self.bind_row_filter(part)?);
                }
                Ok(parts)
            }
            other if subquery_test(other).is_some() => {
                self.level().clause = Clause::Where;
                let part = self.bind_filter(other, "WHERE");
                self.level().clause = Clause::RowWhere;
                Ok(vec![RowCondition { expr: part?, test: subquery_test(other) }])
            }
            other => Ok(vec![RowCondition { expr: self.bind_condition(other, "WHERE")?.expr, test: None }]),
        }
    }

    /// SET: an expression for each of the table's columns.
    pub(super) fn bind_assignments(
        &mut self,
        relation: &Arc<Relation>,
        assignments: &[ast::Assignment],
    ) -> Result<Vec<Expr>> {
        let mut assigned: Vec<Assigned<'_>> = Vec::new();
        for ast::Assignment { target, value } in assignments {
            match target {
                AssignmentTarget::ColumnName(name) => self.add_assignment(relation, name, value, &mut assigned)?,
                AssignmentTarget::Tuple(names) => {
                    let ast::Expr::Tuple(values) = value else {
                        return Err(Error::unsupported("UPDATE ... SET (columns) = a subquery"));
                    };
                    if names.len() != values.len() {
                        return Err(Error::syntax("number of columns does not match number of values"));
                    }
                    for (name, value) in names.iter().zip(values) {
                        self.add_assignment(relation, name, value, &mut assigned)?;
                    }
                }
            }
        }
        let updated: Vec<i16> = assigned.iter().filter_map(|a| Some(relation.columns.get(a.at)?.attribute)).collect();
        self.require(relation, Privileges::UPDATE).updated.extend(updated);
        let old: Vec<_> = match self.level().scope.relations.first() {
            Some(target) => target.columns.iter().map(|column| column.value.expr.clone()).collect(),
            None => Vec::new(),
        };
        let mut row = Vec::with_capacity(relation.columns.len());
        for ((at, column), old) in relation.columns.iter().enumerate().zip(old) {
            let Some(assignment) = assigned.iter().find(|assigned| assigned.at == at) else {
                row.push(old);
                continue;
            };
            if assignment.value_of_part.is_some() {
                let mut value = Typed::new(old, column.sql_type.clone());
                for part in assigned.iter().filter(|assigned| assigned.at == at) {
                    let Some((subscripts, new)) = &part.value_of_part else { continue };
                    let span = part.value.span();
                    Self::check_updatable(column)?;
                    let changed = self.bind_subscript_assignment(column, value, subscripts, new);
                    value = self.at(span, changed)?;
                }
                row.push(value.expr);
                continue;
            }
            let value = if is_default(assignment.value) {
                self.column_default(relation, column)?
            } else {
                Self::check_updatable(column)?;
                let value = self.bind_expr(assignment.value)?;
                let value = self.assign(value, column);
                self.at(assignment.value.span(), value)?
            };
            row.push(value.expr);
        }
        Ok(row)
    }

    fn add_assignment<'q>(
        &mut self,
        relation: &Relation,
        name: &ast::ObjectName,
        value: &'q ast::Expr,
        assigned: &mut Vec<Assigned<'q>>,
    ) -> Result<()> {
        let (table, column) = object_name(name)?;
        let span = object_name_span(name);
        if let Some(table) = table {
            // PostgreSQL reads `t.a` here as a field of column t.
            return self
                .target_column(relation, &table, span)
                .and(Err(Error::unsupported("a field of a column in SET")));
        }
        let at = self.target_column(relation, &column, span)?;
        let value_of_part = super::super::subscripts::assignment(value);
        let clash = |other: &Assigned<'_>| other.at == at && (other.value_of_part.is_none() || value_of_part.is_none());
        if assigned.iter().any(clash) {
            let message = format!("multiple assignments to same column \"{column}\"");
            return Err(self.error_at(span, SqlState::SYNTAX_ERROR, message));
        }
        assigned.push(Assigned { at, value, value_of_part });
        Ok(())
    }

    fn check_updatable(column: &crate::catalog::Column) -> Result<()> {
        if column.generated {
            let message = format!("column \"{}\" can only be updated to DEFAULT", column.name);
            let detail = format!("Column \"{}\" is a generated column.", column.name);
            return Err(Error::invalid(SqlState::GENERATED_ALWAYS, message).with_detail(detail));
        }
        if column.identity != Identity::Always {
            return Ok(());
        }
        let message = format!("column \"{}\" can only be updated to DEFAULT", column.name);
        let detail = format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", column.name);
        Err(Error::invalid(SqlState::GENERATED_ALWAYS, message).with_detail(detail))
    }
}

/// The table named as a statement's target.
pub(super) fn target_table(target: &TableFactor) -> Result<(&ast::ObjectName, Option<&ast::TableAlias>)> {
    match target {
        TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            refuse(args.is_some() || *with_ordinality, "a function as the target")?;
            refuse(!with_hints.is_empty() || !index_hints.is_empty(), "hints")?;
            refuse(version.is_some() || json_path.is_some() || sample.is_some(), "this form of a target table")?;
            refuse(!partitions.is_empty(), "PARTITION of a target table")?;
            Ok((name, alias.as_ref()))
        }
        _ => Err(Error::unsupported("a target that is not a table")),
    }
}
