//! CREATE VIEW.

use std::sync::Arc;

use heliosdb_contracts::{ResultColumn, TreeLockMode};
use heliosdb_types::{ColumnId, Error, Oid, Result, SqlState, SqlType};
use sqlparser::ast::{self, Expr, GroupByExpr, Ident, ObjectNamePart, SelectItem, SetExpr, TableFactor};

use super::{LOOKS_MAX, changed_too_often, duplicate_relation};
use crate::bind;
use crate::catalog::{CatalogSnapshot, Column, Identity, Relation, RelationAccess, RelationKind, ViewInfo, ViewName};
use crate::session::{PreparedStatement, Session};

impl Session {
    pub(super) async fn create_view(&mut self, create: &ast::CreateView, prepared: &PreparedStatement) -> Result<()> {
        self.require_read_write("CREATE VIEW")?;
        refuse_unsupported(create)?;
        if matches!(&*create.query.body, SetExpr::Select(select) if select.into.is_some()) {
            let message = "views must not contain SELECT INTO";
            return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        let (schema_name, name) = bind::object_name(&create.name)?;
        let temporary = create.temporary || self.reads_temporary(create, prepared)?;
        if temporary && !create.temporary && schema_name.is_none() {
            let message = format!("view \"{name}\" will be a temporary view");
            self.notice_text(SqlState::SUCCESSFUL_COMPLETION, message);
        }
        let schema = self.target_schema(temporary, schema_name.as_deref(), &name).await?;
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let catalog = self.catalog()?;
            let relation = self.new_view(create, schema.oid, &name, prepared)?;
            let RelationKind::View(view) = &relation.kind else { return Err(Error::internal("a view is a view")) };
            // Whoever drops a table takes AccessExclusive: until we commit, what the view reads stays.
            let mut unchanged = true;
            for read in view.depends_on.iter().filter_map(|oid| catalog.relations.get(oid)) {
                if read.lock_tree(self.database.id).is_some() {
                    unchanged &= self.lock_unchanged(read, TreeLockMode::AccessShare, &running).await?;
                }
            }
            if let Some(old) = catalog.relation_in(schema.oid, &name).filter(|_| create.or_replace) {
                unchanged &= self.lock_unchanged(old, TreeLockMode::AccessExclusive, &running).await?;
            }
            if unchanged {
                return self.store_view(&catalog, create.or_replace, relation).await;
            }
        }
        Err(changed_too_often("a table"))
    }

    /// Whether a view reads something temporary, which makes it temporary.
    fn reads_temporary(&mut self, create: &ast::CreateView, prepared: &PreparedStatement) -> Result<bool> {
        if !self.has_temp {
            return Ok(false);
        }
        let binding = self.binding()?;
        let bound = bind::bind_query(&create.query, &prepared.text, &binding.context(&[]))?;
        for relation in bound.relations.iter().filter_map(|oid| binding.catalog.relations.get(oid)) {
            if self.is_temp(relation.schema)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn store_view(&mut self, catalog: &CatalogSnapshot, or_replace: bool, mut view: Relation) -> Result<()> {
        let mut writer = self.catalog_writer()?;
        match catalog.relation_in(view.schema, &view.name) {
            Some(old) if or_replace => {
                self.require_owner(old)?;
                if !matches!(old.kind, RelationKind::View(_)) {
                    let message = format!("\"{}\" is not a view", old.name);
                    return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
                }
                check_replacement(&old.columns, &view.columns)?;
                if reads(catalog, &view, old.oid) {
                    let message = format!("infinite recursion detected in rules for relation \"{}\"", view.name);
                    return Err(Error::invalid(SqlState::INVALID_OBJECT_DEFINITION, message));
                }
                (view.oid, view.owner, view.access) = (old.oid, old.owner, old.access.clone());
                writer.update_relation(&view).await?;
            }
            Some(_) => return Err(duplicate_relation(&view.name)),
            None => {
                view.oid = writer.new_oid()?;
                if !writer.create_relation(&view).await? {
                    return Err(duplicate_relation(&view.name));
                }
            }
        }
        self.catalog_written(&writer);
        Ok(())
    }

    /// The view as it would be now; without an OID.
    fn new_view(
        &mut self,
        create: &ast::CreateView,
        schema: Oid,
        name: &str,
        prepared: &PreparedStatement,
    ) -> Result<Relation> {
        let binding = self.binding()?;
        let context = binding.context(&[]);
        let bound = bind::bind_query(&create.query, &prepared.text, &context)?;
        bound.refuse_parts("views must not contain data-modifying statements in WITH")?;
        if !bound.parameters.is_empty() {
            return Err(crate::session::no_parameter(&prepared.text));
        }
        // `*` stands for the columns of now.
        let mut query = (*create.query).clone();
        expand_wildcards(&mut query, &|query: &ast::Query| {
            let text = query.to_string();
            let bound = bind::bind_query(&*bind::parse_query(&text)?, &text, &context)?;
            Ok(bound.columns.unwrap_or_default().into_iter().map(|column| column.name).collect())
        })?;
        let columns = view_columns(bound.columns.as_deref().unwrap_or(&[]), &create.columns)?;
        Ok(Relation {
            oid: Oid(0),
            schema,
            name: name.to_owned(),
            owner: self.user.oid,
            columns,
            kind: RelationKind::View(ViewInfo {
                query: query.to_string(),
                search_path: binding.facts.search_path.clone(),
                depends_on: read_directly(
                    &create.query,
                    &bound.relations,
                    &binding.catalog,
                    &binding.facts.search_path,
                ),
                names: names_read(&create.query, &bound.relations, &binding.catalog, &binding.facts.search_path),
                uses: bound.used.clone(),
            }),
            access: RelationAccess::default(),
        })
    }
}

/// Whether a view reads a relation, directly or through other views.
fn reads(catalog: &CatalogSnapshot, view: &Relation, target: Oid) -> bool {
    let RelationKind::View(info) = &view.kind else { return false };
    info.depends_on
        .iter()
        .any(|oid| *oid == target || catalog.relations.get(oid).is_some_and(|inner| reads(catalog, inner, target)))
}

/// Of all relations a query reads, those it names itself (the others come with the views it names).
fn read_directly(query: &ast::Query, all: &[Oid], catalog: &CatalogSnapshot, search_path: &[String]) -> Vec<Oid> {
    let mut named = Vec::new();
    let _: std::ops::ControlFlow<()> = ast::visit_relations(query, |name| {
        if let Ok((schema, name)) = bind::object_name(name)
            && let Some(relation) = catalog.resolve(schema.as_deref(), &name, search_path)
            && all.contains(&relation.oid)
            && !named.contains(&relation.oid)
        {
            named.push(relation.oid);
        }
        std::ops::ControlFlow::Continue(())
    });
    named
}

/// What the names in a view's text stand for.
fn names_read(query: &ast::Query, all: &[Oid], catalog: &CatalogSnapshot, search_path: &[String]) -> Vec<ViewName> {
    let mut names: Vec<ViewName> = Vec::new();
    let _: std::ops::ControlFlow<()> = ast::visit_relations(query, |name| {
        if let Ok((schema, name)) = bind::object_name(name)
            && let Some(relation) = catalog.resolve(schema.as_deref(), &name, search_path)
            && all.contains(&relation.oid)
            && !names.iter().any(|known| known.schema == schema && known.name == name)
        {
            let columns = relation.columns.iter().map(|column| (column.attribute, column.name.clone())).collect();
            names.push(ViewName { schema, name, relation: relation.oid, columns });
        }
        std::ops::ControlFlow::Continue(())
    });
    names
}

fn view_columns(columns: &[ResultColumn], names: &[ast::ViewColumnDef]) -> Result<Vec<Column>> {
    if names.len() > columns.len() {
        return Err(Error::syntax("CREATE VIEW specifies more column names than columns"));
    }
    let mut out: Vec<Column> = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let name = names.get(at).map_or_else(|| column.name.clone(), |named| bind::fold_identifier(&named.name));
        if out.iter().any(|before| before.name == name) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
        }
        // A bare string literal becomes text, as in PostgreSQL.
        let sql_type = if column.sql_type == SqlType::Unknown { SqlType::Text } else { column.sql_type.clone() };
        let attribute = i16::try_from(at + 1)
            .map_err(|_| Error::invalid(SqlState::TOO_MANY_COLUMNS, "views can have at most 1600 columns"))?;
        out.push(Column {
            attribute,
            id: ColumnId(attribute as u32),
            name,
            sql_type,
            not_null: false,
            default: None,
            identity: Identity::No,
            generated: false,
        });
    }
    Ok(out)
}

/// CREATE OR REPLACE VIEW may only add columns at the end.
fn check_replacement(old: &[Column], new: &[Column]) -> Result<()> {
    let invalid = |message: String| Err(Error::invalid(SqlState::INVALID_TABLE_DEFINITION, message));
    if new.len() < old.len() {
        return invalid("cannot drop columns from view".to_owned());
    }
    for (old, new) in old.iter().zip(new) {
        if old.name != new.name {
            return invalid(format!("cannot change name of view column \"{}\" to \"{}\"", old.name, new.name));
        }
        if old.sql_type != new.sql_type {
            return invalid(format!(
                "cannot change data type of view column \"{}\" from {} to {}",
                old.name,
                old.sql_type.name(),
                new.sql_type.name()
            ));
        }
    }
    Ok(())
}

fn refuse_unsupported(create: &ast::CreateView) -> Result<()> {
    let ast::CreateView {
        or_alter,
        or_replace: _,
        materialized,
        secure,
        name: _,
        name_before_not_exists,
        columns,
        query: _,
        options,
        cluster_by,
        comment,
        with_no_schema_binding,
        if_not_exists,
        temporary: _,
        copy_grants,
        to,
        params,
    } = create;
    if *materialized {
        return Err(Error::unsupported("CREATE MATERIALIZED VIEW"));
    }
    let foreign = *or_alter
        || *secure
        || *name_before_not_exists
        || !cluster_by.is_empty()
        || comment.is_some()
        || *with_no_schema_binding
        || *if_not_exists
        || *copy_grants
        || to.is_some()
        || params.is_some()
        || !matches!(options, ast::CreateTableOptions::None)
        || columns.iter().any(|column| column.data_type.is_some() || column.options.is_some());
    if foreign {
        return Err(Error::unsupported("this form of CREATE VIEW"));
    }
    Ok(())
}

/// Gives the output names of a query.
type Describe<'a> = dyn Fn(&ast::Query) -> Result<Vec<String>> + 'a;

/// Writes the columns of now in place of `*` and `t.*` in the select lists that make the view's columns.
fn expand_wildcards(query: &mut ast::Query, describe: &Describe<'_>) -> Result<()> {
    let with = query.with.clone();
    expand_body(&mut query.body, with.as_ref(), describe)
}

fn expand_body(body: &mut SetExpr, with: Option<&ast::With>, describe: &Describe<'_>) -> Result<()> {
    match body {
        SetExpr::Select(select) => expand_select(select, with, describe),
        SetExpr::SetOperation { left, right, .. } => {
            expand_body(left, with, describe)?;
            expand_body(right, with, describe)
        }
        SetExpr::Query(query) => {
            let inner = query.with.clone();
            expand_body(&mut query.body, inner.as_ref().or(with), describe)
        }
        _ => Ok(()),
    }
}

fn expand_select(select: &mut ast::Select, with: Option<&ast::With>, describe: &Describe<'_>) -> Result<()> {
    let wild = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    if !select.projection.iter().any(wild) {
        return Ok(());
    }
    let mut out = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::Wildcard(_) => {
                // What cannot be written out stays: the view knows which columns there are.
                let Ok(qualifiers) = qualifiers(&select.from) else {
                    out.push(item.clone());
                    continue;
                };
                for qualifier in qualifiers {
                    expand_one(select, with, &qualifier, describe, &mut out)?;
                }
            }
            SelectItem::QualifiedWildcard(kind, _) => match kind {
                ast::SelectItemQualifiedWildcardKind::ObjectName(name) => {
                    let parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
                    expand_one(select, with, &parts, describe, &mut out)?;
                }
                ast::SelectItemQualifiedWildcardKind::Expr(_) => {
                    return Err(Error::unsupported("expression.* in a view"));
                }
            },
            other => out.push(other.clone()),
        }
    }
    select.projection = out;
    Ok(())
}

fn expand_one(
    select: &ast::Select,
    with: Option<&ast::With>,
    qualifier: &[Ident],
    describe: &Describe<'_>,
    out: &mut Vec<SelectItem>,
) -> Result<()> {
    let mut probe = select.clone();
    let name = ast::ObjectName(qualifier.iter().cloned().map(ObjectNamePart::Identifier).collect());
    let kind = ast::SelectItemQualifiedWildcardKind::ObjectName(name);
    probe.projection = vec![SelectItem::QualifiedWildcard(kind, ast::WildcardAdditionalOptions::default())];
    (probe.distinct, probe.selection, probe.having) = (None, None, None);
    probe.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    let query = ast::Query {
        with: with.cloned(),
        body: Box::new(SetExpr::Select(Box::new(probe))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    };
    for column in describe(&query)? {
        let mut parts = qualifier.to_vec();
        parts.push(Ident::with_quote('"', column));
        out.push(SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)));
    }
    Ok(())
}

/// How each relation of FROM is called. Merged columns (USING, NATURAL) cannot be written as one relation's.
fn qualifiers(from: &[ast::TableWithJoins]) -> Result<Vec<Vec<Ident>>> {
    let mut out = Vec::new();
    for item in from {
        out.push(qualifier(&item.relation)?);
        for join in &item.joins {
            let merged = match &join.join_operator {
                ast::JoinOperator::Join(constraint)
                | ast::JoinOperator::Inner(constraint)
                | ast::JoinOperator::Left(constraint)
                | ast::JoinOperator::LeftOuter(constraint)
                | ast::JoinOperator::Right(constraint)
                | ast::JoinOperator::RightOuter(constraint)
                | ast::JoinOperator::FullOuter(constraint) => {
                    matches!(constraint, ast::JoinConstraint::Using(_) | ast::JoinConstraint::Natural)
                }
                _ => false,
            };
            if merged {
                return Err(Error::unsupported("SELECT * over JOIN ... USING or NATURAL JOIN in a view"));
            }
            out.push(qualifier(&join.relation)?);
        }
    }
    Ok(out)
}

fn qualifier(factor: &TableFactor) -> Result<Vec<Ident>> {
    let alias = match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::TableFunction { alias, .. } => alias,
        _ => return Err(Error::unsupported("SELECT * over this kind of FROM item in a view")),
    };
    if let Some(alias) = alias {
        return Ok(vec![alias.name.clone()]);
    }
    match factor {
        TableFactor::Table { name, .. } => {
            let last = name.0.last().and_then(|part| part.as_ident().cloned());
            Ok(last.into_iter().collect())
        }
        _ => Err(Error::unsupported("SELECT * over an unnamed FROM item in a view")),
    }
}

/// Views over a table, by OID.
pub(super) fn views_over(catalog: &CatalogSnapshot, table: Oid) -> Vec<Arc<Relation>> {
    let over = catalog
        .relations
        .values()
        .filter(|view| matches!(&view.kind, RelationKind::View(info) if info.depends_on.contains(&table)));
    let mut over: Vec<Arc<Relation>> = over.cloned().collect();
    over.sort_by_key(|view| view.oid);
    over
}

/// Views that use a column of a relation.
pub(super) fn views_using(catalog: &CatalogSnapshot, relation: Oid, attribute: i16) -> Vec<Arc<Relation>> {
    let mut views = views_over(catalog, relation);
    views.retain(|view| matches!(&view.kind, RelationKind::View(info) if info.uses.contains(&(relation, attribute))));
    views
}
