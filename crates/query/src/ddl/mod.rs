//! Definitions: CREATE, ALTER, DROP, TRUNCATE.
//!
//! Every statement works the same way: resolve names in the catalog of now, lock (a table's tree with AccessExclusive, a
//! name through its unique key), look again if something changed meanwhile, then write the new definitions and trees in the
//! session's transaction.

mod access;
mod alter_table;
mod columns;
mod comment;
mod create_table;
mod drop;
mod enums;
mod foreign_key;
mod index;
mod like;
mod regclass;
mod relation;
mod schema;
mod sequence;
mod statistics;
mod table_as;
mod truncate;
mod view;

use std::sync::Arc;

use heliosdb_contracts::Execution;
use heliosdb_types::{CommandId, Error, Oid, Result, SqlState};
use sqlparser::ast;
use sqlparser::tokenizer::Span;

use crate::access::{Rights, denied, must_be_owner, noun};
use crate::bind;
use crate::catalog::{CatalogSnapshot, CatalogWriter, Privileges, Relation, RelationKind, Role, Schema};
use crate::session::{PreparedStatement, Session, TEMP_PREFIX};

pub(crate) use columns::{shown_default, without_modifier};
pub(crate) use drop::drop_schema_now;

/// How often names are resolved again because something changed before its lock was granted; each look takes a moment, see
/// `Session::lock_unchanged`.
pub(crate) const LOOKS_MAX: usize = 10_000;

/// When they were resolved that often.
pub(crate) fn changed_too_often(what: &str) -> Error {
    Error::retry(SqlState::LOCK_NOT_AVAILABLE, format!("{what} changed again and again before it could be locked"))
}

/// Identifiers are at most this long, as PostgreSQL's NAMEDATALEN - 1.
const NAME_BYTES_MAX: usize = 63;

impl Session {
    /// Runs a statement that defines something.
    pub(crate) async fn define(
        &mut self,
        statement: &ast::Statement,
        prepared: &PreparedStatement,
    ) -> Result<Execution> {
        let done = |tag: &str| Ok(Execution::Done(tag.to_owned()));
        match statement {
            ast::Statement::CreateTable(create) => {
                self.create_table(create).await?;
                done("CREATE TABLE")
            }
            ast::Statement::CreateIndex(create) => {
                self.create_index(create).await?;
                done("CREATE INDEX")
            }
            ast::Statement::CreateSchema { .. } => {
                self.create_schema(statement).await?;
                done("CREATE SCHEMA")
            }
            ast::Statement::CreateView(create) => {
                self.create_view(create, prepared).await?;
                done("CREATE VIEW")
            }
            ast::Statement::AlterTable(alter) => {
                self.alter_table(alter).await?;
                done("ALTER TABLE")
            }
            ast::Statement::CreateType { name, representation } => {
                self.create_type(name, representation.as_ref()).await?;
                done("CREATE TYPE")
            }
            ast::Statement::AlterType(alter) => {
                self.alter_type(alter).await?;
                done("ALTER TYPE")
            }
            ast::Statement::Drop { .. } => Ok(Execution::Done(self.drop_objects(statement).await?)),
            ast::Statement::Truncate(truncate) => {
                self.truncate(truncate).await?;
                done("TRUNCATE TABLE")
            }
            other => Err(Error::unsupported(statement_name(other))),
        }
    }

    /// Points an error at a place of the running statement.
    pub(crate) fn marked(&self, error: Error, span: Span) -> Error {
        match (error.position(), bind::position_of(span.start, &self.statement_text)) {
            (None, Some(position)) => error.with_position(position),
            _ => error,
        }
    }

    /// Points an error about a type at its name.
    pub(crate) fn marked_type(&self, error: Error, data_type: &ast::DataType) -> Error {
        match data_type {
            ast::DataType::Custom(name, _) if error.state() == SqlState::UNDEFINED_OBJECT => {
                self.marked(error, name_span(name))
            }
            _ => error,
        }
    }

    /// Starts writing the catalog.
    pub(crate) fn catalog_writer(&mut self) -> Result<CatalogWriter> {
        let txn = self.transaction_id()?;
        let wait = self.lock_wait();
        let own = self.database.oid;
        let catalog = self.catalog()?;
        let acls = |role: &Arc<Role>| {
            let (role, acls) = (role.oid, role.facts.default_acls.clone());
            acls.into_iter().filter(move |acl| acl.database == own).map(move |acl| (role, acl))
        };
        let defaults = catalog.roles.values().flat_map(acls).collect();
        let (branch, database, shard) = (self.branch, self.database.id, Arc::clone(&self.engine.shard));
        let transaction = self.open_transaction()?;
        transaction.queried = true;
        Ok(CatalogWriter { shard, branch, database, txn, command: transaction.command, wait, defaults })
    }

    /// Ends writing: later commands see what was written, through a catalog loaded again.
    pub(crate) fn catalog_written(&mut self, writer: &CatalogWriter) {
        if let Some(transaction) = self.state.open_mut() {
            transaction.command = CommandId(writer.command.0 + 1);
            transaction.catalog_changed = Some(transaction.command);
            transaction.overlay = None;
        }
    }

    /// The schema a new object goes into.
    pub(crate) fn creation_schema(&mut self, schema: Option<&str>, name: &str) -> Result<Arc<Schema>> {
        let catalog = self.catalog()?;
        let found = match schema {
            Some(schema) => catalog.schema_named(schema).cloned().ok_or_else(|| no_schema(schema))?,
            None => {
                let path = self.search_path();
                let lasting = path.iter().filter(|schema| !schema.starts_with(TEMP_PREFIX));
                lasting.filter_map(|schema| catalog.schema_named(schema)).next().cloned().ok_or_else(|| {
                    Error::invalid(SqlState::INVALID_SCHEMA_NAME, "no schema has been selected to create in")
                })?
            }
        };
        if is_system_schema(&found) {
            let message = format!("permission denied to create \"{}.{name}\"", found.name);
            return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message)
                .with_detail("System catalog modifications are currently disallowed."));
        }
        if !Rights::of(&catalog, self.user.oid).on_schema(&found).contains(Privileges::CREATE) {
            return Err(denied("schema", &found.name));
        }
        Ok(found)
    }

    /// A relation by name.
    pub(crate) fn relation_named(&mut self, name: &ast::ObjectName) -> Result<Arc<Relation>> {
        let catalog = self.catalog()?;
        let (schema, relation_name) = bind::object_name(name)?;
        let path = self.search_path();
        if let Some(found) = schema.as_deref().and_then(|schema| catalog.schema_named(schema))
            && !Rights::of(&catalog, self.user.oid).on_schema(found).contains(Privileges::USAGE)
        {
            return Err(denied("schema", &found.name));
        }
        let relation = catalog.resolve(schema.as_deref(), &relation_name, &path);
        relation.cloned().ok_or_else(|| undefined_relation(&catalog, schema.as_deref(), &relation_name))
    }

    /// A relation by name, for ALTER and the like: must exist, must not be the system's, must be ours.
    pub(crate) fn relation_to_change(&mut self, name: &ast::ObjectName) -> Result<Arc<Relation>> {
        let relation = self.relation_named(name)?;
        self.require_owner(&relation)?;
        Ok(relation)
    }

    /// 42501 unless the user has a privilege on the whole relation.
    pub(crate) fn require_privilege(&mut self, relation: &Relation, privilege: Privileges) -> Result<()> {
        let catalog = self.catalog()?;
        if Rights::of(&catalog, self.user.oid).on_relation(relation).contains(privilege) {
            return Ok(());
        }
        Err(denied(noun(relation), &relation.name))
    }

    pub(crate) fn require_owner(&mut self, relation: &Relation) -> Result<()> {
        if is_system_relation(relation) {
            return Err(Error::invalid(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied: \"{}\" is a system catalog", relation.name),
            ));
        }
        let catalog = self.catalog()?;
        if Rights::of(&catalog, self.user.oid).owns(relation.owner) {
            return Ok(());
        }
        Err(must_be_owner(noun(relation), &relation.name))
    }
}

/// Where a name begins.
pub(crate) fn name_span(name: &ast::ObjectName) -> Span {
    name.0.first().and_then(|part| part.as_ident()).map_or(Span::empty(), |ident| ident.span)
}

pub(crate) fn is_system_schema(schema: &Schema) -> bool {
    schema.oid < crate::catalog::FIRST_USER_OID && schema.oid != crate::catalog::PUBLIC_SCHEMA
}

pub(crate) fn is_system_relation(relation: &Relation) -> bool {
    relation.oid < crate::catalog::FIRST_USER_OID
}

pub(crate) fn no_schema(name: &str) -> Error {
    Error::invalid(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"))
}

pub(crate) fn undefined_relation(catalog: &CatalogSnapshot, schema: Option<&str>, name: &str) -> Error {
    match schema {
        Some(schema) if catalog.schema_named(schema).is_none() => no_schema(schema),
        Some(schema) => {
            Error::invalid(SqlState::UNDEFINED_TABLE, format!("relation \"{schema}.{name}\" does not exist"))
        }
        None => Error::invalid(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")),
    }
}

pub(crate) fn kind_name(kind: &RelationKind) -> &'static str {
    match kind {
        RelationKind::Table(_) | RelationKind::Virtual(_) => "table",
        RelationKind::View(_) => "view",
        RelationKind::Sequence(_) => "sequence",
    }
}

pub(crate) fn duplicate_relation(name: &str) -> Error {
    Error::invalid(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"))
}

/// The first words of a statement, to say that it is not supported.
fn statement_name(statement: &ast::Statement) -> String {
    let text = statement.to_string();
    let words = text.split_whitespace().take_while(|word| word.chars().all(|c| c.is_ascii_uppercase()));
    let name = words.take(3).collect::<Vec<_>>().join(" ");
    if name.is_empty() { "this statement".into() } else { name }
}

/// `table_column_suffix`, shortened as PostgreSQL does: the longer of the two names gives way.
pub(crate) fn object_name_of(first: &str, second: Option<&str>, suffix: &str) -> String {
    let overhead = suffix.len() + 1 + second.map_or(0, |_| 1);
    let mut lengths = (first.len(), second.map_or(0, str::len));
    while lengths.0 + lengths.1 + overhead > NAME_BYTES_MAX {
        if lengths.0 > lengths.1 { lengths.0 -= 1 } else { lengths.1 -= 1 }
    }
    let cut = |name: &str, length: usize| {
        let end = (0..=length).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        name.get(..end).unwrap_or("").to_owned()
    };
    match second {
        Some(second) => format!("{}_{}_{suffix}", cut(first, lengths.0), cut(second, lengths.1)),
        None => format!("{}_{suffix}", cut(first, lengths.0)),
    }
}

/// Names of a new kind of object: the wished-for one, then with 1, 2, ... after the suffix.
pub(crate) fn candidate_names(first: &str, second: Option<&str>, suffix: &str) -> impl Iterator<Item = String> {
    let (first, second, suffix) = (first.to_owned(), second.map(str::to_owned), suffix.to_owned());
    (0u32..).map(move |number| {
        let suffix = if number == 0 { suffix.clone() } else { format!("{suffix}{number}") };
        object_name_of(&first, second.as_deref(), &suffix)
    })
}

/// Whether a relation is owned by (dropped with) a table.
pub(crate) fn owned_sequences(catalog: &CatalogSnapshot, table: Oid) -> Vec<Arc<Relation>> {
    let owned = catalog.relations.values().filter(|relation| match &relation.kind {
        RelationKind::Sequence(sequence) => sequence.owned_by.is_some_and(|(owner, _)| owner == table),
        _ => false,
    });
    let mut owned: Vec<Arc<Relation>> = owned.cloned().collect();
    owned.sort_by_key(|relation| relation.oid);
    owned
}
