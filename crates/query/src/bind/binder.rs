//! The binder's state: one per statement.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::logical_expr::LogicalPlan;
use heliosdb_contracts::{ResultColumn, RowLockMode};
use heliosdb_types::{Error, Oid, Result, SqlState, SqlType};
use sqlparser::ast;
use sqlparser::tokenizer::Span;

use super::cte::Cte;
use super::locking::{LockWish, LockedTable};
use super::names::fold_identifier;
use super::params::Params;
use super::position::Positions;
use super::scope::{Clause, Level, Origin, Scope, ScopeColumn, ScopeRelation, column_value};
use super::tokens::Overriding;
use super::{BindContext, BoundStatement};
use crate::catalog::{FIRST_USER_OID, Privileges, Relation, ViewName};
use crate::func::{self, CastKind, FuncContext, NameLookup, Typed};

pub(super) struct Binder<'a> {
    pub context: &'a BindContext<'a>,
    /// Of the client's text; empty while a view's definition is bound.
    pub positions: Positions,
    /// The search path in force: the session's, or a view's own.
    pub search_path: Vec<String>,
    /// The text is part of a definition, written under another search path.
    pub stored: bool,
    pub params: Params,
    /// Enclosing query levels, innermost last.
    pub levels: Vec<Level>,
    /// Visible WITH queries, innermost last.
    pub ctes: Vec<Cte>,
    /// The query bound next is the statement itself: only its WITH may modify data.
    pub at_top: bool,
    /// Data-modifying WITH queries so far.
    pub parts: Vec<crate::exec::WritePart>,
    /// Views being expanded, to refuse endless recursion.
    pub expanding: Vec<Oid>,
    pub relations: BTreeSet<Oid>,
    /// (relation, attribute) of every column named, other than by views inside.
    pub used: BTreeSet<(Oid, i16)>,
    /// While a view's query is bound: what its names stand for.
    pub view_names: Arc<[ViewName]>,
    /// Privileges needed so far.
    pub required: crate::access::RequiredSet,
    /// The owner of the view being expanded: its privileges count.
    pub as_role: Option<Oid>,
    /// The first level (index into `levels`) of the statement part in force: a view's query sees no level outside it.
    pub level_floor: usize,
    /// Nesting of the expression being bound.
    pub depth: usize,
    /// What the INSERT says about values for identity columns.
    pub overriding: Option<Overriding>,
    /// Computed columns named so far.
    pub computed: usize,
    /// FOR clauses of the query being bound, until its SELECT takes them over.
    pub lock_wishes: Vec<LockWish>,
    /// Tables of the FROM clause being bound that they lock.
    pub locked: Vec<LockedTable>,
    /// All tables whose rows the statement locks.
    pub row_locks: BTreeMap<Oid, RowLockMode>,
    pub reads_files: bool,
    qualifiers: HashMap<String, usize>,
}

/// A query's plan with what its columns are in SQL.
#[derive(Clone, Debug)]
pub(super) struct BoundQuery {
    pub plan: LogicalPlan,
    pub columns: Vec<OutputColumn>,
}

#[derive(Clone, Debug)]
pub(super) struct OutputColumn {
    /// The SQL name; may repeat.
    pub name: String,
    /// A column of the plan, by its unique internal name.
    pub value: Typed,
    pub origin: Option<Origin>,
}

/// Names as a text that is part of a definition means them.
struct StoredNames<'n>(&'n dyn NameLookup);

impl NameLookup for StoredNames<'_> {
    fn relation_oid(&self, name: &str) -> Result<Oid> {
        self.0.relation_oid(name)
    }
    fn relation_name(&self, oid: Oid) -> Option<String> {
        self.0.relation_name(oid)
    }
    fn schema_oid(&self, name: &str) -> Result<Oid> {
        self.0.schema_oid(name)
    }
    fn schema_name(&self, oid: Oid) -> Option<String> {
        self.0.schema_name(oid)
    }
    fn role_oid(&self, name: &str) -> Result<Oid> {
        self.0.role_oid(name)
    }
    fn role_name(&self, oid: Oid) -> Option<String> {
        self.0.role_name(oid)
    }
    fn type_named(&self, schema: Option<&str>, name: &str) -> Option<SqlType> {
        self.0.type_stored(schema, name)
    }
    fn user_type(&self, oid: Oid) -> Option<SqlType> {
        self.0.user_type(oid)
    }
    fn call(&self, name: &str, args: &[Typed]) -> Option<Result<Typed>> {
        self.0.call(name, args)
    }
}

impl<'a> Binder<'a> {
    /// For a text that is part of a definition: a default, a check, an index's expression.
    pub fn of_stored(context: &'a BindContext<'a>, text: &str) -> Binder<'a> {
        Binder { stored: true, ..Binder::new(context, text, Vec::new()) }
    }

    /// The type somebody wrote.
    pub fn type_written(&self, data_type: &ast::DataType) -> Result<SqlType> {
        let names = &*self.context.func.names;
        match self.stored {
            true => crate::func::type_from_ast(data_type, &StoredNames(names)),
            false => crate::func::type_from_ast(data_type, names),
        }
    }

    pub fn new(context: &'a BindContext<'a>, text: &str, parameters: Vec<Option<SqlType>>) -> Binder<'a> {
        Binder {
            context,
            positions: Positions::of(text),
            search_path: context.search_path.clone(),
            stored: false,
            params: Params::new(parameters),
            levels: Vec::new(),
            ctes: Vec::new(),
            at_top: false,
            parts: Vec::new(),
            expanding: Vec::new(),
            relations: BTreeSet::new(),
            used: BTreeSet::new(),
            view_names: Arc::default(),
            required: crate::access::RequiredSet::default(),
            as_role: None,
            level_floor: 0,
            depth: 0,
            overriding: None,
            computed: 0,
            lock_wishes: Vec::new(),
            locked: Vec::new(),
            row_locks: BTreeMap::new(),
            reads_files: false,
            qualifiers: HashMap::new(),
        }
    }

    /// Notes that a column is used.
    pub fn use_column(&mut self, column: &ScopeColumn) {
        if self.expanding.is_empty()
            && let Some(origin) = column.origin
        {
            self.used.insert((origin.relation, origin.attribute));
        }
        self.note_read(column.origin);
    }

    pub fn func(&self) -> &'a FuncContext {
        &self.context.func
    }

    pub fn into_parameter_types(self) -> Vec<Option<SqlType>> {
        self.params.into_types()
    }

    pub fn at<T>(&self, span: Span, result: Result<T>) -> Result<T> {
        match result {
            // Lengths are checked when values are assigned, where PostgreSQL knows no position any more.
            Err(error) if error.state() == SqlState::STRING_DATA_RIGHT_TRUNCATION => Err(error),
            other => self.positions.at(span, other),
        }
    }

    pub fn error_at(&self, span: Span, state: SqlState, message: impl Into<String>) -> Error {
        self.positions.mark(Error::invalid(state, message), span)
    }

    /// A qualifier no other relation of the statement has.
    pub fn unique_qualifier(&mut self, name: &str) -> TableReference {
        let mut name = name.to_owned();
        loop {
            let count = self.qualifiers.entry(name.clone()).or_insert(0);
            *count += 1;
            if *count == 1 {
                return TableReference::bare(name);
            }
            name = format!("{name}_{}", *count - 1);
        }
    }

    /// Whether what is bound now may use columns of an enclosing query. DataFusion then carries columns of its FROM through
    /// its output by name alone, so no two may share one.
    pub fn is_inner(&self) -> bool {
        self.levels.len() > self.level_floor
    }

    /// Internal names for output columns.
    pub fn output_names(&mut self, items: &[super::plan::Item], inner: bool) -> Vec<String> {
        if !inner {
            return super::plan::unique_names(items.iter().map(|item| item.name.as_str()));
        }
        let name = |item: &super::plan::Item| {
            self.computed += 1;
            format!("{}:{}", item.name, self.computed)
        };
        items.iter().map(name).collect()
    }

    pub fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("expressions are bound inside a level")
    }

    /// Binds something with a level of its own on the stack.
    pub fn in_level<T>(
        &mut self,
        scope: Scope,
        clause: Clause,
        bind: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.levels.push(Level::new(scope, clause));
        let result = bind(self);
        self.levels.pop();
        result
    }

    /// Notes that a relation is used so.
    pub fn require(&mut self, relation: &Relation, privileges: Privileges) -> &mut crate::access::Required {
        let entry = self.required.entry(relation.oid, self.as_role);
        entry.privileges = entry.privileges | privileges;
        entry
    }

    /// Notes that a column is read.
    pub fn note_read(&mut self, origin: Option<Origin>) {
        if let Some(origin) = origin {
            let entry = self.required.entry(origin.relation, self.as_role);
            entry.privileges = entry.privileges | Privileges::SELECT;
            entry.selected.insert(origin.attribute);
        }
    }

    /// A boolean expression: WHERE, HAVING, ON, CHECK, FILTER.
    pub fn bind_condition(&mut self, expr: &ast::Expr, clause: &str) -> Result<Typed> {
        use sqlparser::ast::Spanned;
        let value = self.bind_expr(expr)?;
        let result = self.to_boolean(value, clause);
        self.at(expr.span(), result)
    }

    pub fn to_boolean(&self, value: Typed, clause: &str) -> Result<Typed> {
        match value.sql_type {
            SqlType::Bool => Ok(value),
            SqlType::Unknown => func::cast(value, &SqlType::Bool, CastKind::Implicit, self.func()),
            other => Err(Error::invalid(
                SqlState::DATATYPE_MISMATCH,
                format!("argument of {clause} must be type boolean, not type {}", other.name()),
            )),
        }
    }

    /// Casts an output column whose literal's type was left open (`SELECT 'x'` under INSERT or UNION).
    pub fn coerce(&self, mut value: Typed, to: &SqlType, kind: CastKind) -> Result<Typed> {
        let open = value.sql_type == SqlType::Unknown && !is_open(&value);
        if open {
            value.sql_type = SqlType::Text;
        }
        func::cast(value, to, if open { CastKind::Explicit } else { kind }, self.func())
    }

    /// Types a value nobody asked anything of: unknown literals are text.
    pub fn settle(&self, value: Typed) -> Result<Typed> {
        match value.sql_type {
            SqlType::Unknown => func::cast(value, &SqlType::Text, CastKind::Implicit, self.func()),
            _ => Ok(value),
        }
    }

    /// The statement a bound query is.
    pub fn statement(&self, query: BoundQuery, tag: &'static str) -> BoundStatement {
        let columns = query.columns.iter().map(|column| self.shown(column.result_column())).collect();
        BoundStatement {
            plan: query.plan,
            columns: Some(columns),
            parameters: Vec::new(),
            tag,
            relations: self.relations.iter().copied().collect(),
            used: self.used.iter().copied().collect(),
            required: self.required.list(),
            target: None,
            parts: self.parts.clone(),
            row_locks: self.row_locks.iter().map(|(oid, mode)| (*oid, *mode)).collect(),
            reads_files: self.reads_files,
        }
    }

    /// A result column; one of the catalog's that is a vector is shown as it.
    fn shown(&self, mut column: ResultColumn) -> ResultColumn {
        if column.table_oid < FIRST_USER_OID
            && matches!(column.sql_type, SqlType::Array(_))
            && let Some(relation) = self.context.catalog.relations.get(&column.table_oid)
            && let Some(shown) = relation.columns.iter().find(|known| known.attribute == column.attribute)
        {
            column.sql_type = shown.sql_type.clone();
        }
        column
    }

    /// A DEFAULT: no columns, no subqueries, no aggregates; cast to the column's type.
    pub fn bind_default(mut self, expr: &ast::Expr, to: &SqlType, column: &str) -> Result<Typed> {
        let value = self.in_level(Scope::default(), Clause::Default, |binder| binder.bind_expr(expr))?;
        let from = value.sql_type.clone();
        func::cast(value, to, CastKind::Assignment, self.func()).map_err(|error| match error.state() {
            SqlState::DATATYPE_MISMATCH | SqlState::CANNOT_COERCE => Error::invalid(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "column \"{column}\" is of type {} but default expression is of type {}",
                    to.name(),
                    from.name()
                ),
            )
            .with_hint("You will need to rewrite or cast the expression."),
            _ => self.positions.blame(error, [expr]),
        })
    }

    pub fn bind_check(mut self, expr: &ast::Expr, relation: &Arc<Relation>) -> Result<datafusion::logical_expr::Expr> {
        let scope = Scope::of(unqualified_relation(relation));
        let value = self.in_level(scope, Clause::Check, |binder| binder.bind_condition(expr, "CHECK"))?;
        Ok(value.expr)
    }
}

impl Binder<'_> {
    /// GENERATED ALWAYS AS: like a check over the row, but its value is the column's, and it must not depend on anything
    /// but the row.
    pub fn bind_generation(
        mut self,
        expr: &ast::Expr,
        column: &crate::catalog::Column,
        relation: &Arc<Relation>,
    ) -> Result<datafusion::logical_expr::Expr> {
        let invalid = |message: String| Error::invalid(SqlState::INVALID_OBJECT_DEFINITION, message);
        let scope = Scope::of(unqualified_relation(relation));
        let value = self.in_level(scope, Clause::Generated, |binder| binder.bind_expr(expr))?;
        let from = value.sql_type.clone();
        for used in value.expr.column_refs() {
            if relation.columns.iter().any(|other| other.generated && other.name == used.name) {
                let message = format!("cannot use generated column \"{}\" in column generation expression", used.name);
                let error =
                    invalid(message).with_detail("A generated column cannot reference another generated column.");
                return Err(self.positions.mark(error, name_span(expr, &used.name)));
            }
        }
        if !is_immutable(&value.expr) {
            return Err(invalid("generation expression is not immutable".to_owned()));
        }
        let assigned =
            self.coerce(value, &column.sql_type, CastKind::Assignment).map_err(|error| match error.state() {
                SqlState::DATATYPE_MISMATCH | SqlState::CANNOT_COERCE => {
                    let message = format!(
                        "column \"{}\" is of type {} but default expression is of type {}",
                        column.name,
                        column.sql_type.name(),
                        from.name()
                    );
                    Error::invalid(SqlState::DATATYPE_MISMATCH, message)
                        .with_hint("You will need to rewrite or cast the expression.")
                }
                _ => error,
            })?;
        Ok(assigned.expr)
    }
}

/// Whether an expression gives the same value for the same row at all times.
fn is_immutable(expr: &datafusion::logical_expr::Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    use datafusion::logical_expr::{Expr, Volatility};
    let depends = |expr: &Expr| match expr {
        Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
        Expr::Placeholder(_) => true,
        _ => false,
    };
    !expr.exists(|expr| Ok(depends(expr))).unwrap_or(true)
}

/// Whether an unknown-typed value is still a literal or an open parameter, which a cast can decide.
pub(super) fn is_open(value: &Typed) -> bool {
    use datafusion::logical_expr::Expr;
    matches!(value.expr, Expr::Literal(..) | Expr::Placeholder(_))
}

/// A table whose columns are qualified by nothing: the row a CHECK sees.
pub(super) fn unqualified_relation(relation: &Arc<Relation>) -> ScopeRelation {
    let column = |column: &crate::catalog::Column| ScopeColumn {
        name: column.name.clone(),
        value: column_value(None, &column.name, column.sql_type.clone()),
        origin: None,
    };
    ScopeRelation {
        name: relation.name.clone(),
        schema: None,
        columns: relation.columns.iter().map(column).collect(),
        table: Some(Arc::clone(relation)),
        row: Default::default(),
    }
}

impl OutputColumn {
    pub fn result_column(&self) -> ResultColumn {
        ResultColumn {
            name: self.name.clone(),
            sql_type: match &self.value.sql_type {
                SqlType::Unknown => SqlType::Text,
                other => other.clone(),
            },
            table_oid: self.origin.map_or(Oid(0), |origin| origin.relation),
            attribute: self.origin.map_or(0, |origin| origin.attribute),
        }
    }
}

/// A column alias list applied to output names: `AS t (a, b)`; fewer names than columns are fine, more are 42P10.
pub(super) fn alias_columns(
    relation: &str,
    mut names: Vec<String>,
    aliases: &[ast::TableAliasColumnDef],
) -> Result<Vec<String>> {
    if aliases.len() > names.len() {
        let message = format!(
            "table \"{relation}\" has {} columns available but {} columns specified",
            names.len(),
            aliases.len()
        );
        return Err(Error::invalid(SqlState::INVALID_COLUMN_REFERENCE, message));
    }
    for (name, alias) in names.iter_mut().zip(aliases) {
        let ast::TableAliasColumnDef { name: given, data_type } = alias;
        if data_type.is_some() {
            return Err(Error::unsupported("a column definition list in FROM"));
        }
        *name = fold_identifier(given);
    }
    Ok(names)
}

/// Where an expression names a column first.
fn name_span(expr: &ast::Expr, name: &str) -> Span {
    let mut found = Span::empty();
    let _: std::ops::ControlFlow<()> = ast::visit_expressions(expr, |expr| {
        let ident = match expr {
            ast::Expr::Identifier(ident) => Some(ident),
            ast::Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        match ident.filter(|ident| fold_identifier(ident) == name) {
            Some(ident) => {
                found = ident.span;
                std::ops::ControlFlow::Break(())
            }
            None => std::ops::ControlFlow::Continue(()),
        }
    });
    found
}
