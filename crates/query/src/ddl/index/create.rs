//! Making indexes: names, columns, the tree, and the entries of rows that are there.

use std::sync::Arc;

use heliosdb_contracts::TreeLockMode;
use heliosdb_runtime::failpoint;
use heliosdb_types::{CommitTs, Error, Oid, Result, SchemaVersion, SqlState, SqlType, TreeRef};
use sqlparser::ast::{self, Expr};

use super::written::{WrittenIndex, WrittenPart, check_method, read_part};
use crate::bind;
use crate::catalog::{CatalogWriter, IndexColumn, IndexInfo, IndexKey, IndexState, Relation, RelationKind};
use crate::ddl::{LOOKS_MAX, candidate_names, changed_too_often, duplicate_relation, kind_name};
use crate::exec::{build_index, entry_tree};
use crate::index_builds::{IndexBuild, ShownBuild};
use crate::session::Session;

/// PostgreSQL's INDEX_MAX_KEYS.
const KEY_COLUMNS_MAX: usize = 32;

impl Session {
    pub(in crate::ddl) async fn create_index(&mut self, create: &ast::CreateIndex) -> Result<()> {
        let ast::CreateIndex {
            name,
            table_name,
            using,
            columns,
            unique,
            concurrently,
            if_not_exists,
            include,
            nulls_distinct,
            with,
            predicate,
            index_options,
            alter_options,
        } = create;
        self.require_read_write("CREATE INDEX")?;
        if !index_options.is_empty() || !alter_options.is_empty() {
            return Err(Error::unsupported("a CREATE INDEX clause of another database"));
        }
        if let Some(option) = with.first() {
            return Err(Error::unsupported(format!("storage parameter {option}")));
        }
        check_method(using.as_ref())?;
        if *concurrently {
            self.require_no_block("CREATE INDEX CONCURRENTLY")?;
        }
        let written = WrittenIndex {
            deferrable: None,
            primary: false,
            name: name.as_ref().map(|name| bind::object_name(name).map(|(_, name)| name)).transpose()?,
            unique: *unique,
            nulls_not_distinct: *nulls_distinct == Some(false),
            keys: columns.iter().map(read_part).collect::<Result<_>>()?,
            include: include.iter().map(bind::fold_identifier).collect(),
            predicate: predicate.clone(),
            constraint: false,
        };
        let mode = match concurrently {
            true => TreeLockMode::ShareUpdateExclusive,
            false => TreeLockMode::ShareRowExclusive,
        };
        let relation = self.lock_for_index(table_name, mode).await?;
        if let Some(name) = &written.name
            && self.catalog()?.names.contains_key(&(relation.schema, name.clone()))
        {
            if !if_not_exists {
                return Err(duplicate_relation(name));
            }
            self.notice_text(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists, skipping"));
            return Ok(());
        }
        let mut writer = self.catalog_writer()?;
        let mut index = self.new_index(&writer, &relation, &written, &[])?;
        if *concurrently {
            index.state = IndexState::Incomplete;
        }
        if !writer.take_relation_name(relation.schema, &index.name, index.oid).await? {
            return Err(duplicate_relation(&index.name));
        }
        let changed = renumbered(&relation, |indexes| indexes.push(index.clone()))?;
        writer.define_relation_tree(&changed).await?;
        self.catalog_written(&writer);
        if *concurrently {
            self.define_entries(&changed, &index)?;
            return self.create_online(changed.oid, index.oid).await;
        }
        let shown = self.show_build(&changed, &index, "CREATE INDEX");
        self.fill_index(&Arc::new(changed), &index, &shown).await
    }

    /// Shows a build until what it returns is dropped.
    pub(in crate::ddl) fn show_build(
        &self,
        relation: &Relation,
        index: &IndexInfo,
        command: &'static str,
    ) -> ShownBuild {
        let build = IndexBuild {
            database: (self.database.oid, self.database.name.clone()),
            table: relation.oid,
            index: index.oid,
            command,
            phase: "initializing",
            lockers: None,
            rows: Arc::default(),
        };
        ShownBuild::new(&self.engine.index_builds, self.pid, build)
    }

    /// Makes an index' tree.
    pub(super) fn define_entries(&mut self, relation: &Relation, index: &IndexInfo) -> Result<()> {
        let table = relation.table().ok_or_else(|| Error::internal("an index of no table"))?;
        let mut writer = self.catalog_writer()?;
        let tree = Arc::new(entry_tree(table.index_tree(index)));
        writer.shard.define_tree(writer.txn, writer.command, tree)?;
        writer.next_command();
        self.catalog_written(&writer);
        Ok(())
    }

    /// Makes an index' tree and puts the table's rows into it.
    pub(in crate::ddl) async fn fill_index(
        &mut self,
        relation: &Arc<Relation>,
        index: &IndexInfo,
        shown: &ShownBuild,
    ) -> Result<()> {
        self.define_entries(relation, index)?;
        shown.phase("building index");
        let binding = self.binding()?;
        let bound = bind::bind_index(index, relation, &binding.context(&[])).map_err(Error::without_position)?;
        let running = self.start_cancellable();
        let scope = self.newest_scope(&running)?;
        self.next_command();
        let engine = Arc::clone(&self.engine);
        build_index(&engine.executor, relation, &bound, scope, Arc::clone(&shown.rows)).await?;
        failpoint("index.filled")
    }

    /// A table, locked so that an index of it can be made.
    pub(super) async fn lock_for_index(&mut self, name: &ast::ObjectName, mode: TreeLockMode) -> Result<Arc<Relation>> {
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let relation = self.relation_to_change(name)?;
            if relation.table().is_none() {
                let message = format!("cannot create index on relation \"{}\"", relation.name);
                let detail = format!("This operation is not supported for {}s.", kind_name(&relation.kind));
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message).with_detail(detail));
            }
            if self.lock_unchanged(&relation, mode, &running).await? {
                return Ok(relation);
            }
        }
        Err(changed_too_often("the table"))
    }

    /// An index as the catalog keeps it, with a tree id of its own. `taken` are names this statement has used up.
    pub(in crate::ddl) fn new_index(
        &mut self,
        writer: &CatalogWriter,
        relation: &Relation,
        written: &WrittenIndex,
        taken: &[String],
    ) -> Result<IndexInfo> {
        if written.keys.len() + written.include.len() > KEY_COLUMNS_MAX {
            let message = format!("cannot use more than {KEY_COLUMNS_MAX} columns in an index");
            return Err(Error::invalid(SqlState::TOO_MANY_COLUMNS, message));
        }
        let mut keys = Vec::with_capacity(written.keys.len());
        let mut names = Vec::new();
        for part in &written.keys {
            let (column, name) = index_column(relation, part, written.constraint)?;
            if written.constraint && keys.iter().any(|key: &IndexKey| key.column == column) {
                let kind = if written.primary { "primary key" } else { "unique" };
                let message = format!("column \"{name}\" appears twice in {kind} constraint");
                return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
            }
            add_name(&mut names, name);
            keys.push(IndexKey { column, descending: part.descending, nulls_first: part.nulls_first });
        }
        let mut include = Vec::with_capacity(written.include.len());
        for name in &written.include {
            let column = relation.column(name).ok_or_else(|| no_such_column(name))?.1;
            include.push(column.attribute);
            add_name(&mut names, name.clone());
        }
        let catalog = self.catalog()?;
        let free = |name: &String| {
            !catalog.names.contains_key(&(relation.schema, name.clone()))
                && *name != relation.name
                && !taken.contains(name)
        };
        let suffix = if written.constraint { "key" } else { "idx" };
        let name = match &written.name {
            Some(name) => name.clone(),
            None if written.primary => candidate_names(&relation.name, None, "pkey").find(free).unwrap_or_default(),
            None => candidate_names(&relation.name, Some(&names.join("_")), suffix).find(free).unwrap_or_default(),
        };
        let mut index = IndexInfo {
            oid: writer.new_oid()?,
            name,
            tree: writer.shard.allocate_tree_id()?,
            unique: written.unique && written.deferrable.is_none(),
            nulls_not_distinct: written.nulls_not_distinct,
            keys,
            include,
            predicate: written.predicate.as_ref().map(Expr::to_string),
            constraint: written.constraint.then(|| writer.new_oid()).transpose()?,
            deferrable: written.deferrable,
            primary: written.primary,
            state: IndexState::Valid,
            readable_from: CommitTs(0),
        };
        self.settle_types(relation, &mut index)?;
        Ok(index)
    }

    /// Binds the index, so that a wrong one is refused now, and notes its expressions' types.
    pub(in crate::ddl) fn settle_types(&mut self, relation: &Relation, index: &mut IndexInfo) -> Result<()> {
        let binding = self.binding()?;
        let relation = Arc::new(relation.clone());
        let bound = bind::bind_index(index, &relation, &binding.context(&[])).map_err(Error::without_position)?;
        for (key, (_, sql_type, _, _)) in index.keys.iter_mut().zip(&bound.keys) {
            let found = if *sql_type == SqlType::Unknown { SqlType::Text } else { sql_type.clone() };
            crate::catalog::refuse_as_key(&found)?;
            if matches!(found.name().as_str(), "json" | "jsonpath") {
                let message =
                    format!("data type {} has no default operator class for access method \"btree\"", found.name());
                return Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message).with_hint(
                    "You must specify an operator class for the index or define a default operator class for the data type.",
                ));
            }
            if let IndexColumn::Expression { sql_type, .. } = &mut key.column {
                *sql_type = found;
            }
        }
        Ok(())
    }
}

/// The SQL of an index' expressions: its keys' and its predicate.
pub(in crate::ddl) fn expressions_of(index: &mut IndexInfo) -> impl Iterator<Item = &mut String> {
    let keys = index.keys.iter_mut().filter_map(|key| match &mut key.column {
        IndexColumn::Expression { sql, .. } => Some(sql),
        IndexColumn::Attribute(_) => None,
    });
    keys.chain(index.predicate.as_mut())
}

/// The table with other indexes and its tree's next version.
pub(in crate::ddl) fn renumbered(relation: &Relation, change: impl FnOnce(&mut Vec<IndexInfo>)) -> Result<Relation> {
    let mut changed = relation.clone();
    let RelationKind::Table(table) = &mut changed.kind else { return Err(Error::internal("an index of no table")) };
    change(&mut table.indexes);
    let mut tree = (*table.tree).clone();
    tree.version = SchemaVersion(tree.version.0 + 1);
    table.tree = Arc::new(tree);
    Ok(changed)
}

fn no_such_column(name: &str) -> Error {
    Error::invalid(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"))
}

/// What a key is over, and what it adds to the index' name.
fn index_column(relation: &Relation, part: &WrittenPart, constraint: bool) -> Result<(IndexColumn, String)> {
    match &part.expr {
        Expr::Identifier(name) => {
            let name = bind::fold_identifier(name);
            let Some((_, column)) = relation.column(&name) else {
                if constraint {
                    let message = format!("column \"{name}\" named in key does not exist");
                    return Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message));
                }
                return Err(no_such_column(&name));
            };
            Ok((IndexColumn::Attribute(column.attribute), name))
        }
        expr => {
            let column = IndexColumn::Expression { sql: expr.to_string(), sql_type: SqlType::Unknown };
            Ok((column, expression_name(expr)))
        }
    }
}

/// A call gives its function's name, a cast what it casts, anything else "expr".
fn expression_name(expr: &Expr) -> String {
    match expr {
        Expr::Function(function) => {
            function.name.0.last().map_or_else(|| "expr".to_owned(), |name| name.to_string().to_ascii_lowercase())
        }
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => match inner.as_ref() {
            Expr::Identifier(name) => bind::fold_identifier(name),
            inner => expression_name(inner),
        },
        Expr::Substring { .. } => "substring".to_owned(),
        Expr::Extract { .. } => "extract".to_owned(),
        Expr::Trim { .. } => "btrim".to_owned(),
        Expr::Ceil { .. } => "ceil".to_owned(),
        Expr::Floor { .. } => "floor".to_owned(),
        Expr::Position { .. } => "position".to_owned(),
        Expr::Case { .. } => "case".to_owned(),
        _ => "expr".to_owned(),
    }
}

/// PostgreSQL numbers names that come again within an index.
fn add_name(names: &mut Vec<String>, name: String) {
    let candidates = std::iter::once(name.clone()).chain((1..).map(|number| format!("{name}{number}")));
    let unused = candidates.into_iter().find(|candidate| !names.contains(candidate));
    names.extend(unused);
}

impl CatalogWriter {
    /// Writes a table's definition and its tree's version.
    pub async fn define_relation_tree(&mut self, relation: &Relation) -> Result<()> {
        let table = relation.table().ok_or_else(|| Error::internal("only tables have trees"))?;
        self.shard.define_tree(self.txn, self.command, Arc::clone(&table.tree))?;
        self.next_command();
        self.update_relation(relation).await
    }

    /// Drops an index' tree and name.
    pub async fn drop_index(&mut self, schema: Oid, tree: TreeRef, name: &str) -> Result<()> {
        self.release_relation_name(schema, name).await?;
        self.shard.drop_tree(self.txn, self.command, tree)?;
        self.next_command();
        Ok(())
    }
}
