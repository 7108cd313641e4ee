//! What catalog tables and functions are computed from: the catalog a statement was bound with, and its session.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use heliosdb_types::{Error, Oid, Result, SqlState, SqlType, TextContext};
use parking_lot::Mutex;

use crate::catalog::{CatalogSnapshot, Database, Role};
use crate::engine::Engine;
use crate::func::{FuncContext, NameLookup, Typed};
use crate::session::{CursorList, NamedStatements, Said, SessionLocks, SessionSequences, SettingChange, Settings};

/// A statement's surroundings as SQL can ask for them.
pub struct Facts {
    pub(crate) engine: Arc<Engine>,
    pub(crate) catalog: Arc<CatalogSnapshot>,
    pub(crate) search_path: Vec<String>,
    /// Schemas the user may not look into.
    pub(crate) denied: Vec<Oid>,
    /// The role in force.
    pub(crate) user: Arc<Role>,
    /// Who connected, or what SET SESSION AUTHORIZATION made of them.
    pub(crate) session_user: Arc<Role>,
    pub(crate) login_user: Arc<Role>,
    pub(crate) database: Arc<Database>,
    pub(crate) settings: Settings,
    pub(crate) pid: i32,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) changes: Arc<Mutex<Vec<SettingChange>>>,
    pub(crate) locks: Arc<SessionLocks>,
    pub(crate) cursors: CursorList,
    /// The channels the session listens to, and what its transaction has said.
    pub(crate) listening: Arc<Mutex<Vec<Arc<str>>>>,
    pub(crate) said: Arc<Mutex<Said>>,
    pub(crate) text: Arc<TextContext>,
    pub(crate) sequences: Arc<SessionSequences>,
    pub(crate) named: Arc<Mutex<NamedStatements>>,
    /// These facts, for functions that hold on to them.
    pub(crate) me: Weak<Facts>,
    /// What was bound with these facts asked for something that is the session's own.
    pub(crate) personal: AtomicBool,
}

impl Facts {
    pub(crate) fn func_context(self: &Arc<Self>) -> FuncContext {
        FuncContext::new(Arc::clone(&self.text), Arc::clone(self) as _, Arc::clone(&self.sequences) as _)
    }

    /// Whether what was bound with these facts and their one context (`func_context`) is of use to this session alone: it has
    /// asked for what is its own, or holds on to it.
    pub(crate) fn are_personal(self: &Arc<Self>) -> bool {
        // Those who ask hold the facts and the context; the facts know themselves.
        let held = Arc::strong_count(self) > 2 || Arc::weak_count(self) > 1;
        held || self.personal.load(Ordering::Relaxed)
    }

    /// A relation's name, with its schema unless the search path finds it.
    pub(crate) fn shown_name(&self, oid: Oid) -> Option<String> {
        let (relation, name) = match self.catalog.relations.get(&oid) {
            Some(relation) => (relation, relation.name.as_str()),
            None => {
                let relation = self.catalog.relations.get(self.catalog.index_tables.get(&oid)?)?;
                let table = relation.table()?;
                let key = table.primary_key.as_ref().filter(|key| key.oid == oid).map(|key| &key.name);
                (relation, key.or_else(|| table.index(oid).map(|index| &index.name))?.as_str())
            }
        };
        let schemas = self.search_path.iter().filter_map(|schema| self.catalog.schema_named(schema));
        let found = schemas.into_iter().find_map(|schema| self.catalog.names.get(&(schema.oid, name.to_owned())));
        let visible = match self.catalog.relations.contains_key(&oid) {
            true => self.catalog.resolve(None, name, &self.search_path).is_some_and(|found| found.oid == oid),
            false => found == Some(&oid),
        };
        let name = quote_identifier(name);
        if visible {
            return Some(name);
        }
        let schema = self.catalog.schemas.get(&relation.schema)?;
        Some(format!("{}.{name}", quote_identifier(&schema.name)))
    }
}

/// An identifier as SQL reads it back: quoted unless it is lower case and no keyword.
pub(crate) fn quote_identifier(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !RESERVED.contains(&name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// PostgreSQL's reserved key words.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];

/// `schema.name` or `name` as text, folded and unquoted.
pub(crate) fn split_qualified(text: &str) -> Result<(Option<String>, String)> {
    let invalid = || Error::invalid(SqlState::INVALID_NAME, "invalid name syntax");
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, tail) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"').ok_or_else(invalid)?;
                let (part, tail) = quoted.split_at(end);
                (part.to_owned(), tail.get(1..).unwrap_or(""))
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let (part, tail) = rest.split_at(end);
                (part.trim().to_ascii_lowercase(), tail)
            }
        };
        if part.is_empty() {
            return Err(invalid());
        }
        parts.push(part);
        match tail.trim_start().strip_prefix('.') {
            Some(tail) => rest = tail.trim_start(),
            None if tail.trim().is_empty() => break,
            None => return Err(invalid()),
        }
    }
    let name = parts.pop().ok_or_else(invalid)?;
    Ok((parts.pop(), name))
}

impl NameLookup for Facts {
    fn relation_oid(&self, name: &str) -> Result<Oid> {
        let (schema, relation) = split_qualified(name)?;
        if let Some(schema) = &schema
            && self.catalog.schema_named(schema).is_none()
        {
            return Err(Error::invalid(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{schema}\" does not exist")));
        }
        if let Some(schema) = schema.as_deref().and_then(|schema| self.catalog.schema_named(schema))
            && self.denied.contains(&schema.oid)
        {
            return Err(crate::access::denied("schema", &schema.name));
        }
        let found = self.catalog.resolve(schema.as_deref(), &relation, &self.search_path);
        let index = || {
            let schemas = schema.iter().chain(self.search_path.iter().filter(|_| schema.is_none()));
            let mut oids = schemas
                .filter_map(|schema| self.catalog.schema_named(schema))
                .filter_map(|schema| self.catalog.names.get(&(schema.oid, relation.clone())).copied());
            oids.find(|oid| self.catalog.index_tables.contains_key(oid))
        };
        found.map(|relation| relation.oid).or_else(index).ok_or_else(|| {
            let shown = schema.map_or_else(|| relation.clone(), |schema| format!("{schema}.{relation}"));
            Error::invalid(SqlState::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"))
        })
    }

    fn relation_name(&self, oid: Oid) -> Option<String> {
        self.shown_name(oid)
    }

    fn schema_oid(&self, name: &str) -> Result<Oid> {
        let (_, name) = split_qualified(name)?;
        self.catalog
            .schema_named(&name)
            .map(|schema| schema.oid)
            .ok_or_else(|| Error::invalid(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist")))
    }

    fn schema_name(&self, oid: Oid) -> Option<String> {
        self.catalog.schemas.get(&oid).map(|schema| quote_identifier(&schema.name))
    }

    fn role_oid(&self, name: &str) -> Result<Oid> {
        let (_, name) = split_qualified(name)?;
        self.catalog
            .role_named(&name)
            .map(|role| role.oid)
            .ok_or_else(|| Error::invalid(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist")))
    }

    fn role_name(&self, oid: Oid) -> Option<String> {
        self.catalog.roles.get(&oid).map(|role| quote_identifier(&role.name))
    }

    fn type_named(&self, schema: Option<&str>, name: &str) -> Option<SqlType> {
        let find = |name: &str| self.catalog.type_named(schema, name, &self.search_path);
        find(name)
            .map(|found| found.sql_type())
            .or_else(|| find(name.strip_prefix('_')?).map(|found| found.sql_type().array_of()))
    }

    /// By the search path of now, else of `public`, else the only one of that name.
    fn type_stored(&self, schema: Option<&str>, name: &str) -> Option<SqlType> {
        let found = self.type_named(schema, name);
        let found = found.or_else(|| self.type_named(Some(schema.unwrap_or("public")), name));
        if found.is_some() || schema.is_some() {
            return found;
        }
        let only = |name: &str| {
            let mut all = self.catalog.types.values().filter(|found| found.name() == name);
            all.next().filter(|_| all.next().is_none()).map(|found| found.sql_type())
        };
        only(name).or_else(|| only(name.strip_prefix('_')?).map(|found| found.array_of()))
    }

    fn user_type(&self, oid: Oid) -> Option<SqlType> {
        self.catalog.type_of_oid(oid)
    }

    fn function_oid(&self, name: &str) -> Result<Oid> {
        let (_, plain) = split_qualified(name)?;
        match super::fixed::functions_named(&plain).as_slice() {
            [only] => Ok(*only),
            [] => {
                let message = format!("function \"{name}\" does not exist");
                Err(Error::invalid(SqlState::UNDEFINED_FUNCTION, message))
            }
            _ => {
                let message = format!("more than one function named \"{name}\"");
                Err(Error::invalid(SqlState::AMBIGUOUS_FUNCTION, message))
            }
        }
    }

    fn function_name(&self, oid: Oid) -> Option<String> {
        super::fixed::function_name(oid).map(str::to_owned)
    }

    fn type_name(&self, oid: Oid) -> Option<String> {
        Some(super::functions::type_shown(self, oid)).filter(|name| name != "???")
    }

    fn listening(&self) -> Arc<Mutex<Vec<Arc<str>>>> {
        self.note_personal();
        Arc::clone(&self.listening)
    }

    fn note_personal(&self) {
        self.personal.store(true, Ordering::Relaxed);
    }

    fn call(&self, name: &str, args: &[Typed]) -> Option<Result<Typed>> {
        let called = super::functions::call(&self.me.upgrade()?, name, args)?;
        self.note_personal();
        Some(called)
    }
}
