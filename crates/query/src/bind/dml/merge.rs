//! MERGE: the source joined with the target, and what each row of that does.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, Spanned};

use super::BoundWrite;
use super::insert::check_count;
use super::target::is_default;
use super::update::{Matched, target_table};
use crate::bind::binder::Binder;
use crate::bind::from::refuse;
use crate::bind::names::{fold_identifier, object_name_span};
use crate::bind::plan::{self, from_datafusion};
use crate::bind::scope::Clause;
use crate::bind::tokens::{MergeInsert, is_nothing, merge_insert};
use crate::catalog::{Privileges, Relation, RelationKind};
use crate::exec::{MergeAction, MergeClause, RowWriteOp};

impl Binder<'_> {
    pub fn bind_merge(&mut self, merge: &ast::Merge) -> Result<BoundWrite> {
        let ast::Merge { merge_token: _, optimizer_hints, into: _, table, source, on, clauses, output } = merge;
        refuse(!optimizer_hints.is_empty(), "optimizer hints")?;
        refuse(output.is_some(), "RETURNING of MERGE")?;
        if clauses.is_empty() {
            return Err(Error::syntax("syntax error at end of input"));
        }
        let (name, alias) = target_table(table)?;
        let relation = self.resolve_relation(name)?;
        if let RelationKind::View(_) | RelationKind::Sequence(_) = relation.kind {
            let kind = if matches!(relation.kind, RelationKind::View(_)) { "views" } else { "sequences" };
            let message = format!("cannot execute MERGE on relation \"{}\"", relation.name);
            let error = self.error_at(object_name_span(name), SqlState::FEATURE_NOT_SUPPORTED, message);
            return Err(error.without_position().with_detail(format!("This operation is not supported for {kind}.")));
        }
        let relation = self.writable_relation(name, "MERGE into").map(|_| relation)?;
        let target = self.bind_target(&relation, alias)?;
        let target_name = alias.map_or_else(|| relation.name.clone(), |alias| fold_identifier(&alias.name));
        let source = self.bind_table_factor(source)?;
        if source.scope.relations.iter().any(|other| other.name == target_name) {
            let message = format!("name \"{target_name}\" specified more than once");
            return Err(Error::invalid(SqlState::DUPLICATE_ALIAS, message)
                .with_detail("The name is used both as MERGE target table and data source."));
        }
        let alone = source.scope.clone();
        let mut both = target.scope;
        both.extend(source.scope)?;

        let on = self.in_level(both.clone(), Clause::RowWhere, |binder| binder.bind_condition(on, "JOIN/ON"))?.expr;
        let mut computed = Vec::new();
        let on = self.lift_subqueries(on, &mut computed)?;
        for (subquery, _) in &computed {
            let Expr::ScalarSubquery(subquery) = subquery else { continue };
            // Computed before the join, where there is no target yet.
            let outer = subquery.outer_ref_columns.iter();
            let of_source = |expr: &Expr| match expr {
                Expr::OuterReferenceColumn(_, column) => source.plan.schema().has_column(column),
                _ => false,
            };
            refuse(!outer.into_iter().all(of_source), "a subquery in MERGE's ON that looks at the target")?;
        }
        let source_plan = plan::extend(source.plan, computed)?;
        let inserts = clauses.iter().any(|clause| clause.clause_kind != ast::MergeClauseKind::Matched);
        let kind = if inserts { JoinType::Left } else { JoinType::Inner };
        let joined = plan::builder(source_plan).join_on(target.plan, kind, [on.clone()]);
        let mut plan = joined.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;

        let mut bound = Vec::with_capacity(clauses.len());
        let mut computed = Vec::new();
        for clause in clauses {
            let matched = clause.clause_kind == ast::MergeClauseKind::Matched;
            let last = bound.iter().rev().find(|before: &&MergeClause| before.matched == matched);
            if last.is_some_and(|before| before.condition.is_none()) {
                let message = "unreachable WHEN clause specified after unconditional WHEN clause";
                return Err(Error::syntax(message));
            }
            // A row that was not matched has no target to speak of.
            let scope = if matched { both.clone() } else { alone.clone() };
            let clause = self.in_level(scope, Clause::RowWhere, |binder| {
                binder.bind_merge_clause(&relation, clause, &mut computed)
            })?;
            bound.push(clause);
        }
        plan = plan::extend(plan, computed)?;
        let matched = Matched { relation, plan, scope: both, target_name, predicate: Some(on), recheck: None };
        self.finish_changes(matched, RowWriteOp::Merge, Vec::new(), bound, None, "MERGE")
    }

    fn bind_merge_clause(
        &mut self,
        relation: &Arc<Relation>,
        clause: &ast::MergeClause,
        computed: &mut Vec<(Expr, String)>,
    ) -> Result<MergeClause> {
        let ast::MergeClause { when_token: _, clause_kind, predicate, action } = clause;
        let matched = match clause_kind {
            ast::MergeClauseKind::Matched => true,
            ast::MergeClauseKind::NotMatched => false,
            ast::MergeClauseKind::NotMatchedByTarget | ast::MergeClauseKind::NotMatchedBySource => {
                return Err(Error::unsupported("WHEN NOT MATCHED BY"));
            }
        };
        let condition = match predicate {
            Some(condition) => Some(self.bind_condition(condition, "WHEN")?.expr),
            None => None,
        };
        let condition = condition.map(|condition| self.lift_subqueries(condition, computed)).transpose()?;
        self.level().clause = Clause::Set;
        let action = match action {
            ast::MergeAction::Delete { delete_token: _ } => {
                self.require(relation, Privileges::DELETE);
                MergeAction::Delete
            }
            ast::MergeAction::Update(update) => {
                let ast::MergeUpdateExpr { update_token: _, assignments, update_predicate, delete_predicate } = update;
                refuse(update_predicate.is_some() || delete_predicate.is_some(), "WHERE in MERGE")?;
                match is_nothing(assignments) {
                    true => MergeAction::Nothing,
                    false => MergeAction::Update(self.bind_assignments(relation, assignments)?),
                }
            }
            ast::MergeAction::Insert(insert) => match merge_insert(insert) {
                None => return Err(Error::unsupported("this form of INSERT in MERGE")),
                Some(MergeInsert::Nothing) => MergeAction::Nothing,
                Some(MergeInsert::Defaults) => {
                    self.require(relation, Privileges::INSERT);
                    MergeAction::Insert(self.bind_merge_row(relation, &[], &[])?)
                }
                Some(MergeInsert::Values { columns, values, overriding }) => {
                    self.overriding = overriding;
                    let targets = self.insert_targets(relation, columns)?;
                    let attributes = targets.iter().filter_map(|at| relation.columns.get(*at));
                    let inserted: Vec<i16> = attributes.map(|column| column.attribute).collect();
                    self.require(relation, Privileges::INSERT).inserted.extend(inserted);
                    let missing = columns.get(values.len()).map(object_name_span);
                    let span = values.get(targets.len()).map(Spanned::span).or(missing);
                    let counted = check_count(targets.len(), values.len(), !columns.is_empty());
                    match span {
                        Some(span) => self.at(span, counted)?,
                        None => counted?,
                    }
                    MergeAction::Insert(self.bind_merge_row(relation, &targets, values)?)
                }
            },
        };
        let action = match action {
            MergeAction::Update(row) => MergeAction::Update(self.lift_row(row, computed)?),
            MergeAction::Insert(row) => MergeAction::Insert(self.lift_row(row, computed)?),
            other => other,
        };
        Ok(MergeClause { matched, condition, action })
    }

    fn lift_row(&mut self, row: Vec<Expr>, computed: &mut Vec<(Expr, String)>) -> Result<Vec<Expr>> {
        row.into_iter().map(|expr| self.lift_subqueries(expr, computed)).collect()
    }

    /// A new row over the source: given values assigned, the others by default.
    fn bind_merge_row(
        &mut self,
        relation: &Arc<Relation>,
        targets: &[usize],
        values: &[ast::Expr],
    ) -> Result<Vec<Expr>> {
        let mut row = Vec::with_capacity(relation.columns.len());
        for (at, column) in relation.columns.iter().enumerate() {
            let given = targets.iter().zip(values).find(|(target, _)| **target == at).map(|(_, value)| value);
            let given = given.filter(|value| !is_default(value) && !self.ignores_value(relation, at));
            let value = match given {
                None => self.column_default(relation, column)?,
                Some(value) => {
                    self.check_identity(relation, at, value.span())?;
                    let bound = self.bind_expr(value)?;
                    let assigned = self.assign(bound, column);
                    self.at(value.span(), assigned)?
                }
            };
            row.push(value.expr);
        }
        Ok(row)
    }
}
