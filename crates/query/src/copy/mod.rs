//! COPY: bulk data in and out, as text, csv or binary.

mod binary;
mod fields;
mod lines;
mod load;
mod options;
mod progress;
mod server_file;
mod source;
mod unload;
mod value;

use std::sync::Arc;

use heliosdb_contracts::{CopyFormat, Execution, TreeLockMode};
use heliosdb_runtime::{HostFiles, HostKind};
use heliosdb_types::{Datum, Error, Oid, Result, SqlState};
use sqlparser::ast;

use crate::access::{Rights, denied, noun};
use crate::bind;
use crate::catalog::{CatalogSnapshot, Column, Identity, Privileges, Relation, RelationKind};
use crate::ddl::changed_too_often;
use crate::exec::StatementScope;
use crate::func::NameLookup;
use crate::pg_catalog::quote_identifier;
use crate::session::{Binding, CopySource, CopyStatement, Parsed, Running, Session};

pub(crate) use fields::{Field, split_csv};
pub(crate) use lines::Lines;
use load::{Load, Loader, Missing, Path};
pub(crate) use options::CopyOptions;
use options::Format;
pub(crate) use progress::{Copies, ShownCopy};
use source::{BatchTable, SOURCE_SCHEMA, SOURCE_TABLE};
pub(crate) use value::Reader;

impl Session {
    pub(crate) async fn copy(&mut self, copy: &CopyStatement, text: &Arc<str>) -> Result<Execution> {
        let options = options::read_options(&copy.options, copy.to)?;
        let file = self.copy_file(&copy.target, copy.to)?;
        if options.format == Format::Parquet && file.is_none() {
            let what = if copy.to { "COPY TO STDOUT" } else { "COPY FROM STDIN" };
            return Err(Error::unsupported(format!("{what} with FORMAT parquet"))
                .with_hint("Name a file of the server, or use \"heliosdb import\"."));
        }
        match &copy.source {
            CopySource::Table { name, columns } if copy.to => {
                let (relation, columns) = self.copy_columns(name, columns, Privileges::SELECT)?;
                let variant = match &relation.kind {
                    RelationKind::View(_) => Some("view"),
                    RelationKind::Sequence(_) => Some("sequence"),
                    RelationKind::Table(_) | RelationKind::Virtual(_) => None,
                };
                if let Some(kind) = variant {
                    let message = format!("cannot copy from {kind} \"{}\"", relation.name);
                    let error = Error::invalid(SqlState::WRONG_OBJECT_TYPE, message);
                    return Err(match kind {
                        "view" => error.with_hint("Try the COPY (SELECT ...) TO variant."),
                        _ => error,
                    });
                }
                check_named_columns(&relation, &columns, &options)?;
                let sql = format!("SELECT {} FROM {}", list(&columns), self.qualified(&relation)?);
                let statement = bind::parse(&sql)?.pop().ok_or_else(|| Error::internal("a SELECT of our own"))?;
                self.copy_to(statement.statement, Arc::from(sql.as_str()), relation.oid, options, file).await
            }
            CopySource::Query(statement) => {
                self.copy_to((**statement).clone(), Arc::clone(text), Oid(0), options, file).await
            }
            CopySource::Table { name, columns } => {
                self.copy_from(name, columns, options, copy.filter.as_ref(), file).await
            }
        }
    }

    /// `schema.table`, quoted.
    pub(crate) fn qualified(&mut self, relation: &Relation) -> Result<String> {
        let catalog = self.catalog()?;
        let schema = catalog.schemas.get(&relation.schema).map_or("", |schema| schema.name.as_str());
        Ok(format!("{}.{}", quote_identifier(schema), quote_identifier(&relation.name)))
    }

    fn copy_columns(
        &mut self,
        table_name: &ast::ObjectName,
        columns: &[ast::Ident],
        privilege: Privileges,
    ) -> Result<(Arc<Relation>, Vec<Column>)> {
        let catalog = self.catalog()?;
        let (schema, name) = bind::object_name(table_name)?;
        let path = self.search_path();
        let relation = catalog
            .resolve(schema.as_deref(), &name, &path)
            .cloned()
            .ok_or_else(|| crate::ddl::undefined_relation(&catalog, schema.as_deref(), &name))?;
        if columns.is_empty() {
            let all: Vec<Column> = relation.columns.iter().filter(|column| !column.generated).cloned().collect();
            self.check_columns(&catalog, &relation, &all, privilege)?;
            return Ok((relation, all));
        }
        let mut out: Vec<Column> = Vec::with_capacity(columns.len());
        for column in columns {
            let name = bind::fold_identifier(column);
            let (_, found) = relation.column(&name).ok_or_else(|| {
                let message = format!("column \"{name}\" of relation \"{}\" does not exist", relation.name);
                Error::invalid(SqlState::UNDEFINED_COLUMN, message)
            })?;
            if found.generated {
                let message = format!("column \"{name}\" is a generated column");
                return Err(Error::invalid(SqlState::INVALID_COLUMN_REFERENCE, message)
                    .with_detail("Generated columns cannot be used in COPY."));
            }
            if out.iter().any(|column| column.name == name) {
                let message = format!("column \"{name}\" specified more than once");
                return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
            }
            out.push(found.clone());
        }
        self.check_columns(&catalog, &relation, &out, privilege)?;
        Ok((relation, out))
    }

    fn check_columns(
        &self,
        catalog: &CatalogSnapshot,
        relation: &Relation,
        columns: &[Column],
        privilege: Privileges,
    ) -> Result<()> {
        let rights = Rights::of(catalog, self.user.oid);
        if columns.iter().all(|column| rights.has_on_column(relation, column.attribute, privilege)) {
            return Ok(());
        }
        Err(denied(noun(relation), &relation.name))
    }

    fn show_copy(&self, table: Oid, command: &'static str) -> ShownCopy {
        let database = (self.database.oid, self.database.name.clone());
        ShownCopy::new(&self.engine.copies, self.pid, database, table, command)
    }

    async fn copy_to(
        &mut self,
        statement: ast::Statement,
        text: Arc<str>,
        table: Oid,
        options: CopyOptions,
        file: Option<String>,
    ) -> Result<Execution> {
        let parsed = Parsed::from(statement);
        if !parsed.is_planned() {
            return Err(Error::unsupported("COPY of this statement"));
        }
        let prepared = Box::pin(self.prepare_parsed(Some(Arc::new(parsed)), text, 0, Vec::new())).await?;
        if !prepared.parameters.is_empty() {
            return Err(Error::invalid(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
        }
        if prepared.columns.is_none() {
            return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, "COPY query must have a RETURNING clause"));
        }
        if let Some(columns) = &prepared.columns {
            let missing =
                options.force_quote.iter().find(|name| *name != "*" && !columns.iter().any(|c| c.name == **name));
            if let Some(name) = missing {
                let message = format!("column \"{name}\" does not exist");
                return Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message));
            }
        }
        let running = self.start_cancellable();
        self.open_transaction()?;
        self.await_safe_snapshot(&running).await?;
        let (plan, scope) = Box::pin(self.bound_and_scoped(&prepared, &running)).await?;
        // Who unloads a table expects its order. Writing its rows takes longer than reading them, so little is lost.
        let scope = StatementScope { in_order: table != Oid(0), ..(*scope).clone() };
        match Box::pin(self.run_plan(&plan, Vec::new(), Arc::new(scope), running)).await? {
            Execution::Rows { columns, rows, .. } => {
                let format = CopyFormat { binary: options.format == Format::Binary, columns: columns.len() };
                let shown = self.show_copy(table, "COPY TO");
                if let Some(path) = file {
                    return self.unload_file(path, rows, columns, options, shown.of_file(0)).await;
                }
                let chunks = unload::chunks(rows, columns, options, self.text_context(), shown);
                Ok(Execution::CopyOut { format, chunks })
            }
            _ => Err(Error::internal("a query without rows")),
        }
    }

    async fn copy_from(
        &mut self,
        table_name: &ast::ObjectName,
        columns: &[ast::Ident],
        options: CopyOptions,
        filter: Option<&ast::Expr>,
        file: Option<String>,
    ) -> Result<Execution> {
        self.require_read_write("COPY FROM")?;
        let running = self.start_cancellable();
        for _ in 0..crate::ddl::LOOKS_MAX {
            let (relation, columns) = self.copy_columns(table_name, columns, Privileges::INSERT)?;
            if let RelationKind::View(_) | RelationKind::Sequence(_) = relation.kind {
                let kind = crate::ddl::kind_name(&relation.kind);
                let message = format!("cannot copy to {kind} \"{}\"", relation.name);
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
            }
            if crate::ddl::is_system_relation(&relation) {
                let message = format!("permission denied: \"{}\" is a system catalog", relation.name);
                return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message));
            }
            check_named_columns(&relation, &columns, &options)?;
            if self.lock_unchanged(&relation, TreeLockMode::RowExclusive, &running).await? {
                if let Some(path) = &file
                    && options.format == Format::Parquet
                {
                    return self.load_parquet(path.clone(), &relation, &columns, filter, &running).await;
                }
                if let Some(path) = file {
                    let bytes = match HostFiles.kind(&path)? {
                        HostKind::File { bytes } => bytes,
                        _ => 0,
                    };
                    let mut load = self.start_load(relation, columns, options, filter, running).await?;
                    let cancel = load.of_file(bytes);
                    return self.load_file(path, load, &cancel).await;
                }
                let load = self.start_load(relation, columns, options, filter, running).await?;
                return Ok(Execution::CopyIn(Box::new(load)));
            }
        }
        Err(changed_too_often("the table"))
    }

    async fn start_load(
        &mut self,
        relation: Arc<Relation>,
        columns: Vec<Column>,
        options: CopyOptions,
        filter: Option<&ast::Expr>,
        running: Running,
    ) -> Result<Load> {
        let direct = match filter {
            Some(_) => None,
            None => self.direct_path(&relation, &columns).await?,
        };
        let path = match direct {
            Some(columns) => Path::Direct { columns },
            None => self.planned_path(&relation, &columns, filter, &running)?,
        };
        let txn = self.transaction_id()?;
        let command = self.open_transaction()?.command;
        self.open_transaction()?.queried = true;
        self.next_command();
        // `evaluate` put its own flag where the canceller looks.
        let running = running.again();
        let shown = self.show_copy(relation.oid, "COPY FROM");
        Load::new(Loader {
            shown,
            engine: Arc::clone(&self.engine),
            txn,
            command,
            wait: self.lock_wait(),
            schema: self.catalog()?.schemas.get(&relation.schema).map(|schema| schema.name.clone()).unwrap_or_default(),
            relation,
            columns,
            options,
            context: self.text_context(),
            names: self.binding()?.func,
            sequences: Arc::clone(&self.sequences),
            path,
            running,
            tier: self.tier.clone(),
        })
    }

    /// What each column of the table gets, if rows can be written without a plan.
    async fn direct_path(
        &mut self,
        relation: &Relation,
        columns: &[Column],
    ) -> Result<Option<Vec<Result<usize, Missing>>>> {
        if relation
            .table()
            .is_none_or(|table| !table.checks.is_empty() || !table.indexes.is_empty() || !table.foreign_keys.is_empty())
            || relation.columns.iter().any(|column| column.generated)
        {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(relation.columns.len());
        for column in &relation.columns {
            if let Some(at) = columns.iter().position(|given| given.attribute == column.attribute) {
                out.push(Ok(at));
                continue;
            }
            let Some(default) = &column.default else {
                out.push(Err(Missing::Value(Datum::Null)));
                continue;
            };
            let binding = self.binding()?;
            if let Some(sequence) = sequence_of(default) {
                out.push(Err(Missing::Next(binding.facts.relation_oid(&sequence)?)));
                continue;
            }
            let typed = bind::bind_default(default, &column.sql_type, &column.name, &binding.context(&[]))?;
            if typed.expr.is_volatile() {
                return Ok(None);
            }
            out.push(Err(Missing::Value(self.evaluate(default, &column.sql_type).await?)));
        }
        Ok(Some(out))
    }

    /// An INSERT over a table that each batch is put into.
    fn planned_path(
        &mut self,
        relation: &Arc<Relation>,
        columns: &[Column],
        filter: Option<&ast::Expr>,
        running: &Running,
    ) -> Result<Path> {
        let source = BatchTable::new(columns)?;
        let Binding { catalog, facts, func, files } = self.binding()?;
        let catalog = Arc::new(source.in_catalog(&catalog, columns));
        let names = list(columns);
        let overriding = if columns.iter().any(|column| column.identity == Identity::Always) {
            " OVERRIDING SYSTEM VALUE"
        } else {
            ""
        };
        let filter = filter.map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
        let sql = format!(
            "INSERT INTO {} ({names}){overriding} SELECT {names} FROM \"{SOURCE_SCHEMA}\".{SOURCE_TABLE}{filter}",
            self.qualified(relation)?
        );
        let mut statements = bind::parse(&sql)?;
        let statement = statements.pop().ok_or_else(|| Error::internal("an INSERT of our own"))?.statement;
        let binding = Binding { catalog, facts, func, files };
        let bound = bind::bind_statement(&statement, &sql, &binding.context(&[])).map_err(Error::without_position)?;
        self.transaction_id()?;
        let scope = self.scope(running, &[])?;
        let references = Arc::clone(&scope.references);
        self.open_transaction()?.copied.push(references);
        Ok(Path::Planned { bound: Arc::new(bound), source, scope })
    }
}

fn list(columns: &[Column]) -> String {
    columns.iter().map(|column| quote_identifier(&column.name)).collect::<Vec<_>>().join(", ")
}

fn check_named_columns(relation: &Relation, columns: &[Column], options: &CopyOptions) -> Result<()> {
    let lists = [
        (&options.force_quote, "FORCE_QUOTE"),
        (&options.force_not_null, "FORCE_NOT_NULL"),
        (&options.force_null, "FORCE_NULL"),
    ];
    let named = lists.into_iter().flat_map(|(names, what)| names.iter().map(move |name| (name, what)));
    for (name, what) in named.filter(|(name, _)| *name != "*") {
        if relation.column(name).is_none() {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", relation.name);
            return Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message));
        }
        if !columns.iter().any(|column| column.name == *name) {
            let message = format!("{what} column \"{name}\" not referenced by COPY");
            return Err(Error::invalid(SqlState::INVALID_COLUMN_REFERENCE, message));
        }
    }
    Ok(())
}

/// The sequence's name in a default of ours: `nextval('schema.name'::regclass)`.
fn sequence_of(default: &str) -> Option<String> {
    let name = default.strip_prefix("nextval('")?.strip_suffix("'::regclass)")?;
    Some(name.replace("''", "'"))
}
