//! SELECT ... FOR UPDATE and its kin.
//!
//! Locks are taken on the rows that WHERE and ORDER BY leave, in order, and no more of them than LIMIT wants; then the list is
//! computed, for a row that had to be waited for may have changed. So the plan is: FROM with each locked table's row
//! reference and whole row, WHERE, ORDER BY, then one LockRows node that locks, evaluates WHERE again where a row is newer,
//! counts for OFFSET and LIMIT, and computes the list.

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::logical_expr::{Expr, Extension, JoinType, LogicalPlan};
use heliosdb_contracts::{LockPolicy, ROW_REF_COLUMN, RowLockMode};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, LockType, NonBlock};
use sqlparser::tokenizer::Span;

use super::binder::{Binder, BoundQuery, OutputColumn};
use super::limit::Limits;
use super::names::fold_identifier;
use super::order::{OrderKey, sort};
use super::plan;
use super::recheck::recheck;
use super::scope::Clause;
use super::select::{Clauses, Distinct, PendingValue};
use super::tokens::LOCK_MODES;
use crate::catalog::{Relation, RelationKind};
use crate::exec::{LockRowsNode, LockTarget};
use crate::func::Typed;

/// One FOR clause.
#[derive(Clone, Debug)]
pub(super) struct LockWish {
    mode: RowLockMode,
    policy: LockPolicy,
    /// Table names after OF; empty: all.
    of: Vec<(String, Span)>,
}

/// A table of FROM whose rows will be locked.
#[derive(Clone, Debug)]
pub(super) struct LockedTable {
    relation: Arc<Relation>,
    qualifier: TableReference,
    mode: RowLockMode,
    policy: LockPolicy,
}

impl LockWish {
    pub fn not_allowed(&self, with: &str) -> Error {
        not_allowed(std::slice::from_ref(self), with)
    }

    fn wants(&self, name: &str) -> bool {
        self.of.is_empty() || self.of.iter().any(|(of, _)| of == name)
    }
}

/// As the command is called in messages.
pub(super) fn command_name(mode: RowLockMode) -> &'static str {
    match mode {
        RowLockMode::KeyShare => "FOR KEY SHARE",
        RowLockMode::Share => "FOR SHARE",
        RowLockMode::NoKeyUpdate => "FOR NO KEY UPDATE",
        RowLockMode::Update => "FOR UPDATE",
    }
}

pub(super) fn lock_wishes(locks: &[ast::LockClause]) -> Result<Vec<LockWish>> {
    let wish = |clause: &ast::LockClause| {
        let ast::LockClause { lock_type, of, nonblock } = clause;
        let mut mode = match lock_type {
            LockType::Share => RowLockMode::Share,
            LockType::Update => RowLockMode::Update,
        };
        let mut names = Vec::new();
        for part in of.iter().flat_map(|of| &of.0) {
            let ast::ObjectNamePart::Identifier(ident) = part else {
                return Err(Error::unsupported("a function after FOR UPDATE OF"));
            };
            match LOCK_MODES.iter().find(|(marker, _)| *marker == ident.value) {
                Some((_, marked)) => mode = *marked,
                None => names.push((fold_identifier(ident), ident.span)),
            }
        }
        let policy = match nonblock {
            None => LockPolicy::Wait,
            Some(NonBlock::Nowait) => LockPolicy::NoWait,
            Some(NonBlock::SkipLocked) => LockPolicy::SkipLocked,
        };
        Ok(LockWish { mode, policy, of: names })
    };
    locks.iter().map(wish).collect()
}

/// The names after OF of a FOR clause; none: all tables.
pub(crate) fn locked_names(clause: &ast::LockClause) -> Vec<String> {
    let names = clause.of.iter().flat_map(|of| &of.0).filter_map(|part| match part {
        ast::ObjectNamePart::Identifier(ident) if LOCK_MODES.iter().all(|(marker, _)| *marker != ident.value) => {
            Some(fold_identifier(ident))
        }
        _ => None,
    });
    names.collect()
}

fn not_allowed(wishes: &[LockWish], with: &str) -> Error {
    let command = wishes.first().map_or("FOR UPDATE", |wish| command_name(wish.mode));
    Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, format!("{command} is not allowed with {with}"))
}

impl Binder<'_> {
    /// Whether and how a FROM item of this name is to be locked: the strongest mode, and the least patience.
    pub fn lock_of(&self, name: &str) -> Option<(RowLockMode, LockPolicy)> {
        let rank = |policy: LockPolicy| match policy {
            LockPolicy::Wait => 0,
            LockPolicy::SkipLocked => 1,
            LockPolicy::NoWait => 2,
        };
        let wishes = self.lock_wishes.iter().filter(|wish| wish.wants(name));
        wishes
            .map(|wish| (wish.mode, wish.policy))
            .reduce(|a, b| (a.0.max(b.0), if rank(a.1) >= rank(b.1) { a.1 } else { b.1 }))
    }

    /// Notes that a table of FROM, just bound under `qualifier`, is locked.
    pub fn note_locked(
        &mut self,
        relation: &Arc<Relation>,
        qualifier: TableReference,
        lock: (RowLockMode, LockPolicy),
    ) {
        self.row_locks.entry(relation.oid).and_modify(|mode| *mode = lock.0.max(*mode)).or_insert(lock.0);
        let (mode, policy) = lock;
        self.locked.push(LockedTable { relation: Arc::clone(relation), qualifier, mode, policy });
    }

    /// FOR UPDATE reaches into subqueries and views; what it would have to lock there is refused.
    pub fn refuse_locked(&self, name: &str, what: &str) -> Result<()> {
        match self.lock_of(name) {
            None => Ok(()),
            Some((mode, _)) => Err(Error::unsupported(format!("{} of {what}", command_name(mode)))),
        }
    }

    /// What FOR UPDATE cannot go with; called when FROM is bound.
    pub fn check_lock_clauses(&self, select: &ast::Select, input: &LogicalPlan) -> Result<()> {
        let wishes = &self.lock_wishes;
        if wishes.is_empty() {
            return Ok(());
        }
        if matches!(select.distinct, Some(ast::Distinct::Distinct | ast::Distinct::On(_))) {
            return Err(not_allowed(wishes, "DISTINCT clause"));
        }
        if !matches!(&select.group_by, ast::GroupByExpr::Expressions(exprs, _) if exprs.is_empty()) {
            return Err(not_allowed(wishes, "GROUP BY clause"));
        }
        if select.having.is_some() {
            return Err(not_allowed(wishes, "HAVING clause"));
        }
        let nullable = nullable_tables(input);
        for locked in &self.locked {
            if nullable.contains(&locked.qualifier) {
                let command = command_name(locked.mode);
                let message = format!("{command} cannot be applied to the nullable side of an outer join");
                return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
        }
        Ok(())
    }

    /// Every name after OF must be a table of FROM.
    pub fn check_lock_names(&mut self) -> Result<()> {
        for wish in &self.lock_wishes {
            for (name, span) in &wish.of {
                let Some(item) = self
                    .levels
                    .last()
                    .and_then(|level| level.scope.relations.iter().find(|relation| relation.name == *name))
                else {
                    let command = command_name(wish.mode);
                    let message = format!("relation \"{name}\" in {command} clause not found in FROM clause");
                    return Err(self.error_at(*span, SqlState::UNDEFINED_TABLE, message));
                };
                if item.table.as_ref().is_none_or(|table| !matches!(table.kind, RelationKind::Table(_))) {
                    let what = if item.table.is_some() { "this relation" } else { "a function, WITH query or VALUES" };
                    let message = format!("{} cannot be applied to {what}", command_name(wish.mode));
                    return Err(self.error_at(*span, SqlState::FEATURE_NOT_SUPPORTED, message));
                }
            }
        }
        Ok(())
    }

    /// The rest of a SELECT whose FROM has locked tables: `input` is FROM.
    pub fn bind_locking_body(
        &mut self,
        input: LogicalPlan,
        selection: Option<&ast::Expr>,
        locked: Vec<LockedTable>,
        limits: Limits,
        inner: bool,
        bind_clauses: impl FnOnce(&mut Self) -> Result<Clauses>,
    ) -> Result<BoundQuery> {
        let wishes = std::mem::take(&mut self.lock_wishes);
        self.level().clause = Clause::RowWhere;
        let parts = match selection {
            Some(condition) => self.bind_row_filter(condition)?,
            None => Vec::new(),
        };
        let mut computed = Vec::new();
        let (mut repeated, mut tests) = (Vec::new(), Vec::new());
        for part in parts {
            match part.test {
                None => repeated.push(self.lift_subqueries(part.expr, &mut computed)?),
                Some(_) => tests.push(part),
            }
        }
        let conditions = inner_conditions(&input);
        let from = Arc::clone(input.schema());
        let tested = computed.clone();
        let mut below = plan::extend(input, computed)?;
        let joined = tests.iter().map(|test| test.expr.clone());
        if let Some(condition) = repeated.iter().cloned().chain(joined).reduce(Expr::and) {
            let condition = if inner { super::subquery::localise(condition)? } else { condition };
            below = plan::filter(below, condition)?;
        }
        let Clauses { items, grouping: _, having: _, distinct, keys, rows } = bind_clauses(self)?;
        if !rows.is_empty() {
            return Err(not_allowed(&wishes, "set-returning functions in the target list"));
        }
        if !matches!(distinct, Distinct::No) {
            return Err(Error::internal("DISTINCT with FOR UPDATE was refused before"));
        }
        refuse_calls(&wishes, items.iter().map(|item| &item.value.expr))?;
        let mut computed = Vec::new();
        let mut lifted = Vec::with_capacity(items.len());
        for mut item in items {
            item.value.expr = self.lift_subqueries(item.value.expr, &mut computed)?;
            lifted.push(item);
        }
        let mut order = Vec::with_capacity(keys.len());
        for key in keys {
            let mut value: Typed = match key.value {
                PendingValue::Item(at) => lifted.get(at).map(|item| item.value.clone()),
                PendingValue::Other(value) => Some(value),
            }
            .ok_or_else(|| Error::internal("a sort key that is not in the list"))?;
            value.expr = self.lift_subqueries(value.expr, &mut computed)?;
            order.push(OrderKey::new(value, &key.options));
        }
        let listed = computed.clone();
        let below = sort(plan::extend(below, computed)?, &order)?;
        let names = self.output_names(&lifted, inner);
        let projected = plan::project_as(below.clone(), &lifted, names)?;
        let LogicalPlan::Projection(projection) = &projected.plan else {
            return Err(Error::internal("a projection is one"));
        };
        let (skip, fetch) = limits.into_parts();
        let repeated: Vec<Expr> = repeated.into_iter().chain(conditions).collect();
        let recheck = match inner {
            // Conditions may be about the query around it, which is not there when rows are looked at again.
            true => None,
            false => recheck(&from, &tested, &repeated, &tests, &listed, below.schema())?,
        };
        let node = LockRowsNode {
            targets: locked.into_iter().map(|table| target(&below, table)).collect::<Result<_>>()?,
            predicate: repeated.into_iter().reduce(Expr::and),
            recheck,
            output: projection.expr.clone(),
            skip,
            fetch,
            schema: Arc::clone(&projection.schema),
            input: Arc::new(below),
        };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        let columns: Vec<OutputColumn> = projected.columns;
        Ok(BoundQuery { plan, columns })
    }
}

/// Where a locked table's row reference and columns are in the plan.
fn target(input: &LogicalPlan, locked: LockedTable) -> Result<LockTarget> {
    let LockedTable { relation, qualifier, mode, policy } = locked;
    let own = |at: &usize| input.schema().qualified_field(*at).0 == Some(&qualifier);
    let mut columns: Vec<usize> = (0..input.schema().fields().len()).filter(own).collect();
    let row_ref = columns.pop().filter(|at| input.schema().field(*at).name().starts_with(ROW_REF_COLUMN));
    match row_ref {
        Some(row_ref) if columns.len() == relation.columns.len() => {
            Ok(LockTarget { table: relation, row_ref, old_row: columns, mode, policy })
        }
        _ => Err(Error::internal(format!("\"{}\" is not whole below its lock", relation.name))),
    }
}

fn refuse_calls<'e>(wishes: &[LockWish], exprs: impl Iterator<Item = &'e Expr>) -> Result<()> {
    use datafusion::common::tree_node::TreeNode;
    for expr in exprs {
        let holds = |test: fn(&Expr) -> bool| expr.exists(|e| Ok(test(e))).unwrap_or(true);
        if holds(|e| matches!(e, Expr::AggregateFunction(_))) {
            return Err(not_allowed(wishes, "aggregate functions"));
        }
        if holds(|e| matches!(e, Expr::WindowFunction(_))) {
            return Err(not_allowed(wishes, "window functions"));
        }
    }
    Ok(())
}

/// Conditions of inner joins, which a newer row must still meet.
fn inner_conditions(from: &LogicalPlan) -> Vec<Expr> {
    match from {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
            let own = on.chain(join.filter.clone());
            own.chain(inner_conditions(&join.left)).chain(inner_conditions(&join.right)).collect()
        }
        LogicalPlan::Filter(filter) => {
            let mut conditions = inner_conditions(&filter.input);
            conditions.push(filter.predicate.clone());
            conditions
        }
        _ => Vec::new(),
    }
}

/// Qualifiers of the tables an outer join may fill up with NULLs.
fn nullable_tables(from: &LogicalPlan) -> Vec<TableReference> {
    let LogicalPlan::Join(join) = from else {
        return from.inputs().into_iter().flat_map(nullable_tables).collect();
    };
    let (left, right) = match join.join_type {
        JoinType::Left => (false, true),
        JoinType::Right => (true, false),
        JoinType::Full => (true, true),
        _ => (false, false),
    };
    let mut tables = Vec::new();
    for (side, nullable) in [(&join.left, left), (&join.right, right)] {
        if nullable {
            tables.extend(side.schema().iter().filter_map(|(qualifier, _)| qualifier.cloned()));
        } else {
            tables.extend(nullable_tables(side));
        }
    }
    tables
}
