//! CREATE TABLE.

mod constraints;
mod unsupported;

use std::sync::Arc;

use heliosdb_types::{ColumnId, Error, Result, SchemaVersion, SqlState, TreeRef};
use sqlparser::ast;

use super::columns::{WrittenColumn, default_text, read_column, several_primary_keys};
use super::foreign_key::WrittenForeignKey;
use super::index::WrittenIndex;
use super::regclass::{full_name, in_full};
use super::table_as::not_temporary;
use super::{candidate_names, duplicate_relation, name_span, sequence};
use crate::bind;
use crate::catalog::{
    CatalogWriter, Column, ForeignKey, OnCommit, PrimaryKey, Relation, RelationAccess, RelationKind, Schema, TableInfo,
    describe_tree,
};
use crate::exec::entry_tree;
use crate::pg_catalog::quote_identifier;
use crate::session::Session;

pub(super) use constraints::{Constraint, NamedCheck, name_checks, read_constraint};
use constraints::{WrittenConstraints, WrittenKey, read_constraints};
pub(super) use unsupported::refuse_unsupported;

/// PostgreSQL's limit.
const COLUMNS_MAX: usize = 1600;
const KEY_COLUMNS_MAX: usize = 32;

/// A table to be made.
pub(super) struct NewTable<'a> {
    pub name: &'a ast::ObjectName,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub on_commit: Option<OnCommit>,
    pub columns: Vec<WrittenColumn>,
    pub constraints: &'a [ast::TableConstraint],
    /// Made besides those of its constraints.
    pub copied: CopiedIndexes,
}

/// The indexes of tables that a new one is LIKE.
#[derive(Default)]
pub(super) struct CopiedIndexes {
    pub key: Option<WrittenKey>,
    pub indexes: Vec<WrittenIndex>,
}

/// TEMPORARY and ON COMMIT.
pub(super) fn temporary_of(create: &ast::CreateTable) -> Result<(bool, Option<OnCommit>)> {
    let on_commit = create.on_commit.as_ref().map(|action| match action {
        ast::OnCommit::PreserveRows => OnCommit::Preserve,
        ast::OnCommit::DeleteRows => OnCommit::Delete,
        ast::OnCommit::Drop => OnCommit::Drop,
    });
    if on_commit.is_some() && !create.temporary && create.name.0.len() == 1 {
        return Err(not_temporary());
    }
    Ok((create.temporary, on_commit))
}

impl Session {
    pub(super) async fn create_table(&mut self, create: &ast::CreateTable) -> Result<()> {
        self.require_read_write("CREATE TABLE")?;
        refuse_unsupported(create)?;
        let (_, name) = bind::object_name(&create.name)?;
        let (temporary, on_commit) = temporary_of(create)?;
        let names = self.binding()?.func.names;
        let columns = create.columns.iter().map(|column| {
            read_column(column, &name, &*names).map_err(|error| self.marked_type(error, &column.data_type))
        });
        let new = NewTable {
            name: &create.name,
            temporary,
            if_not_exists: create.if_not_exists,
            on_commit,
            columns: columns.collect::<Result<Vec<_>>>()?,
            constraints: &create.constraints,
            copied: CopiedIndexes::default(),
        };
        self.make_table(new).await.map(|_| ())
    }

    /// `None`: it exists already, and that is fine.
    pub(super) async fn make_table(&mut self, new: NewTable<'_>) -> Result<Option<Arc<Relation>>> {
        let (schema_name, name) = bind::object_name(new.name)?;
        let schema = self.target_schema(new.temporary, schema_name.as_deref(), &name).await;
        let schema = schema.map_err(|error| match error.state() {
            SqlState::INVALID_TABLE_DEFINITION | SqlState::INVALID_SCHEMA_NAME => {
                self.marked(error, name_span(new.name))
            }
            _ => error,
        })?;
        let on_commit = match new.on_commit {
            None if self.is_temp(schema.oid)? => Some(OnCommit::Preserve),
            Some(_) if !self.is_temp(schema.oid)? => return Err(not_temporary()),
            on_commit => on_commit,
        };
        if self.catalog()?.names.contains_key(&(schema.oid, name.clone())) {
            return self.exists_already(&name, new.if_not_exists);
        }
        let mut written = new.columns;
        check_columns(&written)?;
        self.name_relations_in_full(&mut written)?;
        let WrittenConstraints { key, checks, mut uniques, foreign_keys } =
            read_constraints(&written, new.constraints, &name)?;
        let CopiedIndexes { key: copied_key, indexes: copied } = new.copied;
        uniques.extend(copied);
        let late_keys = uniques.iter().filter(|unique| unique.primary).count();
        if usize::from(key.is_some()) + usize::from(copied_key.is_some()) + late_keys > 1 {
            return Err(several_primary_keys(&name));
        }
        let key = key.or(copied_key);
        let late: Vec<String> = uniques.iter().filter(|unique| unique.primary).flat_map(|key| key.columns()).collect();
        written.iter_mut().filter(|column| late.contains(&column.name)).for_each(|column| column.not_null = true);
        let conditions: Vec<ast::Expr> = checks.iter().map(|(_, _, expr)| expr.clone()).collect();
        let mut writer = self.catalog_writer()?;
        let mut relation = self.new_table(&writer, &schema, &name, &written, key, checks)?;
        if let RelationKind::Table(table) = &mut relation.kind {
            table.on_commit = on_commit;
        }
        let relation = self.with_indexes(&writer, relation, &uniques)?;
        let mut relation = self.with_sequences(&mut writer, &schema, relation, &written).await?;
        if !foreign_keys.is_empty() {
            self.catalog_written(&writer);
            let keys = self.with_foreign_keys(&relation, &foreign_keys).await?;
            writer = self.catalog_writer()?;
            if let RelationKind::Table(table) = &mut relation.kind {
                table.foreign_keys = keys.clone();
            }
            self.renumber_parents(&mut writer, &keys, relation.oid).await?;
        }
        let relation = Arc::new(relation);
        if !writer.create_relation(&relation).await? {
            return self.exists_already(&name, new.if_not_exists);
        }
        let table = relation.table().ok_or_else(|| Error::internal("a new table is a table"))?;
        if let Some(key) = &table.primary_key
            && !writer.take_relation_name(schema.oid, &key.name, key.oid).await?
        {
            return Err(duplicate_relation(&key.name));
        }
        for index in &table.indexes {
            if !writer.take_relation_name(schema.oid, &index.name, index.oid).await? {
                return Err(duplicate_relation(&index.name));
            }
            let tree = Arc::new(entry_tree(table.index_tree(index)));
            writer.shard.define_tree(writer.txn, writer.command, tree)?;
        }
        writer.shard.define_tree(writer.txn, writer.command, Arc::clone(&table.tree))?;
        writer.next_command();
        self.catalog_written(&writer);
        self.validate_expressions(&relation, &written, &conditions)?;
        Ok(Some(relation))
    }

    /// Sequences in defaults by their full names: they are found whatever the search path is, and follow renames.
    pub(super) fn name_relations_in_full(&mut self, columns: &mut [WrittenColumn]) -> Result<()> {
        if columns.iter().all(|column| column.default.is_none()) {
            return Ok(());
        }
        let binding = self.binding()?;
        let resolve = |text: &str| {
            let oid = crate::func::NameLookup::relation_oid(&*binding.facts, text).ok()?;
            let relation = binding.catalog.relations.get(&oid)?;
            let schema = binding.catalog.schemas.get(&relation.schema)?;
            Some(full_name(&schema.name, &relation.name))
        };
        for default in columns.iter_mut().filter_map(|column| column.default.as_mut()) {
            *default = in_full(default, &resolve);
        }
        Ok(())
    }

    fn exists_already(&mut self, name: &str, skip: bool) -> Result<Option<Arc<Relation>>> {
        if !skip {
            return Err(duplicate_relation(name));
        }
        self.notice_text(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists, skipping"));
        Ok(None)
    }

    /// The table without the sequences of its columns.
    fn new_table(
        &mut self,
        writer: &CatalogWriter,
        schema: &Schema,
        name: &str,
        written: &[WrittenColumn],
        key: Option<WrittenKey>,
        checks: Vec<NamedCheck>,
    ) -> Result<Relation> {
        let key_columns = key.as_ref().map_or(&[][..], |(_, columns)| columns);
        let columns: Vec<Column> = written
            .iter()
            .zip(1i16..)
            .map(|(column, attribute)| Column {
                attribute,
                id: ColumnId(attribute as u32),
                name: column.name.clone(),
                sql_type: column.sql_type.clone(),
                not_null: column.not_null || key_columns.contains(&column.name),
                default: column.default.as_ref().map(|expr| default_text(expr, &column.sql_type)),
                identity: column.identity,
                generated: column.generated,
            })
            .collect();
        let primary_key = match key {
            None => None,
            Some((key_name, key_columns)) => {
                Some(self.new_key(writer, schema, name, &columns, key_name, &key_columns)?)
            }
        };
        let checks = name_checks(writer, name, checks)?;
        let tree = TreeRef::new(writer.database, writer.shard.allocate_tree_id()?);
        let tree = describe_tree(tree, SchemaVersion(1), &columns, primary_key.as_ref())?;
        let last = columns.len();
        Ok(Relation {
            oid: writer.new_oid()?,
            schema: schema.oid,
            name: name.to_owned(),
            owner: self.user.oid,
            columns,
            kind: RelationKind::Table(TableInfo {
                tree: Arc::new(tree),
                primary_key,
                checks,
                indexes: Vec::new(),
                foreign_keys: Vec::new(),
                extended: Vec::new(),
                last_attribute: last as i16,
                last_column_id: ColumnId(last as u32),
                on_commit: None,
                statistics: None,
            }),
            access: RelationAccess::default(),
        })
    }

    async fn with_foreign_keys(
        &mut self,
        relation: &Relation,
        written: &[WrittenForeignKey],
    ) -> Result<Vec<ForeignKey>> {
        let mut known: Vec<String> = constraint_names(relation);
        let mut keys = Vec::with_capacity(written.len());
        for foreign in written {
            let key = self.new_foreign_key(relation, foreign, &known).await?;
            known.push(key.name.clone());
            keys.push(key);
        }
        Ok(keys)
    }

    /// The table with the indexes of its UNIQUE constraints.
    fn with_indexes(
        &mut self,
        writer: &CatalogWriter,
        mut relation: Relation,
        uniques: &[WrittenIndex],
    ) -> Result<Relation> {
        let mut taken: Vec<String> = Vec::new();
        taken.extend(relation.table().and_then(|table| table.primary_key.as_ref()).map(|key| key.name.clone()));
        let mut indexes = Vec::with_capacity(uniques.len());
        for unique in uniques {
            let index = self.new_index(writer, &relation, unique, &taken)?;
            taken.push(index.name.clone());
            indexes.push(index);
        }
        if let RelationKind::Table(table) = &mut relation.kind {
            table.indexes = indexes;
        }
        Ok(relation)
    }

    /// A primary key over these columns, named by its author or after the table.
    pub(super) fn new_key(
        &mut self,
        writer: &CatalogWriter,
        schema: &Schema,
        table: &str,
        columns: &[Column],
        name: Option<String>,
        key_columns: &[String],
    ) -> Result<PrimaryKey> {
        let mut attributes = Vec::with_capacity(key_columns.len());
        for key_column in key_columns {
            let column = columns.iter().find(|column| column.name == *key_column).ok_or_else(|| {
                let message = format!("column \"{key_column}\" named in key does not exist");
                Error::invalid(SqlState::UNDEFINED_COLUMN, message)
            })?;
            if attributes.contains(&column.attribute) {
                let message = format!("column \"{key_column}\" appears twice in primary key constraint");
                return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
            }
            attributes.push(column.attribute);
        }
        if attributes.len() > KEY_COLUMNS_MAX {
            let message = format!("cannot use more than {KEY_COLUMNS_MAX} columns in an index");
            return Err(Error::invalid(SqlState::TOO_MANY_COLUMNS, message));
        }
        let catalog = self.catalog()?;
        let free = |name: &String| !catalog.names.contains_key(&(schema.oid, name.clone())) && *name != table;
        let name = match name {
            Some(name) => name,
            None => candidate_names(table, None, "pkey").find(free).unwrap_or_default(),
        };
        Ok(PrimaryKey { oid: writer.new_oid()?, name, attributes })
    }

    /// Creates the sequences of serial and identity columns and makes them the columns' defaults.
    pub(super) async fn with_sequences(
        &mut self,
        writer: &mut CatalogWriter,
        schema: &Schema,
        mut relation: Relation,
        written: &[WrittenColumn],
    ) -> Result<Relation> {
        let (table_oid, table_name, owner) = (relation.oid, relation.name.clone(), relation.owner);
        for column in &mut relation.columns {
            let written = written.iter().find(|written| written.name == column.name);
            let Some(options) = written.and_then(|written| written.sequence.as_ref()) else { continue };
            let mut info = sequence::new_sequence(options, &column.sql_type, writer.new_sequence_id()?)?;
            info.owned_by = Some((table_oid, column.attribute));
            let mut created = None;
            for name in candidate_names(&table_name, Some(&column.name), "seq").take(10_000) {
                let candidate = Relation {
                    oid: writer.new_oid()?,
                    schema: schema.oid,
                    name,
                    owner,
                    columns: Vec::new(),
                    kind: RelationKind::Sequence(info.clone()),
                    access: RelationAccess::default(),
                };
                if candidate.name != table_name && writer.create_relation(&candidate).await? {
                    created = Some(candidate.name);
                    break;
                }
            }
            let name = created.ok_or_else(|| Error::internal("no name is left for a sequence"))?;
            sequence::start(&*writer.shard, &info)?;
            column.default = Some(nextval_text(&schema.name, &name));
        }
        Ok(relation)
    }

    /// Binds every default and check, so that a wrong one is refused now. `checks` are those the statement wrote itself.
    fn validate_expressions(
        &mut self,
        relation: &Arc<Relation>,
        written: &[WrittenColumn],
        checks: &[ast::Expr],
    ) -> Result<()> {
        let binding = self.binding()?;
        let context = binding.context(&[]);
        let text = Arc::clone(&self.statement_text);
        for column in &relation.columns {
            let expr = written.iter().find(|written| written.name == column.name).and_then(|c| c.default.as_ref());
            let Some(expr) = expr else { continue };
            if column.generated {
                bind::bind_generated_of(expr, &text, column, relation, &context)?;
            } else {
                bind::bind_default_of(expr, &text, &column.sql_type, &column.name, &context)?;
            }
        }
        for check in checks {
            bind::bind_check_of(check, &text, relation, &context)?;
        }
        Ok(())
    }
}

/// The default of a column fed by a sequence.
pub(super) fn nextval_text(schema: &str, sequence: &str) -> String {
    let name = format!("{}.{}", quote_identifier(schema), quote_identifier(sequence));
    format!("nextval('{}'::regclass)", name.replace('\'', "''"))
}

fn check_columns(columns: &[WrittenColumn]) -> Result<()> {
    if columns.len() > COLUMNS_MAX {
        let message = format!("tables can have at most {COLUMNS_MAX} columns");
        return Err(Error::invalid(SqlState::TOO_MANY_COLUMNS, message));
    }
    for (at, column) in columns.iter().enumerate() {
        if columns.iter().take(at).any(|before| before.name == column.name) {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
        }
        refuse_system_name(&column.name)?;
    }
    Ok(())
}

/// Names every PostgreSQL table has already.
pub(super) fn refuse_system_name(name: &str) -> Result<()> {
    if matches!(name, "tableoid" | "xmin" | "cmin" | "xmax" | "cmax" | "ctid") {
        let message = format!("column name \"{name}\" conflicts with a system column name");
        return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
    }
    if name == heliosdb_contracts::ROW_REF_COLUMN {
        let message = format!("column name \"{name}\" is reserved");
        return Err(Error::invalid(SqlState::RESERVED_NAME, message));
    }
    Ok(())
}

/// Names of all of a table's constraints.
pub(super) fn constraint_names(relation: &Relation) -> Vec<String> {
    let Some(table) = relation.table() else { return Vec::new() };
    let indexes = table.indexes.iter().filter(|index| index.constraint.is_some()).map(|index| &index.name);
    let names = table.primary_key.iter().map(|key| &key.name).chain(table.checks.iter().map(|check| &check.name));
    names.chain(indexes).chain(table.foreign_keys.iter().map(|key| &key.name)).cloned().collect()
}
