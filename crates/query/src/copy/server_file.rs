//! COPY with files of the server: who may, reading them in chunks, writing them whole or not at all.
//!
//! Files are read and written by the analytics pool, so that neither a slow disk nor packing holds up the thread that serves the session. A
//! file is written under another name, synced and then renamed; whatever ends the statement before that leaves nothing behind.

use std::io::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use heliosdb_contracts::{CopyIn, Execution, ResultColumn};
use heliosdb_files::{Form, ParquetSink};
use heliosdb_runtime::{HostFiles, Task};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast;

use super::load::Load;
use super::options::{CopyOptions, Format};
use super::{list, unload};
use crate::bind;
use crate::catalog::{Column, Identity, Relation};
use crate::copy::ShownCopy;
use crate::exec::CancelFlag;
use crate::files::FileRequest;
use crate::session::{CopyTarget, Parsed, Running, Session};

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// A task that is not wanted any more when its owner is gone.
struct Owned<T>(Task<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// The server's file a COPY is about, if the user may read or write it; `None` is the client.
    pub(super) fn copy_file(&mut self, target: &CopyTarget, to: bool) -> Result<Option<String>> {
        let (what, privilege, path) = match (target, to) {
            (CopyTarget::Client, _) => return Ok(None),
            (CopyTarget::Program, _) => ("to or from an external program", "pg_execute_server_program", None),
            (CopyTarget::File(path), false) => ("from a file", "pg_read_server_files", Some(path)),
            (CopyTarget::File(path), true) => ("to a file", "pg_write_server_files", Some(path)),
        };
        let hint = "Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.";
        let catalog = self.catalog()?;
        let role = catalog.role_named(privilege).map(|role| role.oid);
        let may = self.user.superuser || role.is_some_and(|role| catalog.has_privileges_of(self.user.oid, role));
        // What everybody may read in FROM, everybody may load.
        let granted = match path {
            Some(path) if !to && !may => {
                let rights = self.file_rights()?;
                rights.check_written(path).is_ok()
                    && HostFiles.canonical(path).is_ok_and(|found| rights.check_found(&found, path).is_ok())
            }
            _ => false,
        };
        if !may && !granted {
            let message = format!("must be superuser or have privileges of the {privilege} role to COPY {what}");
            return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message).with_hint(hint));
        }
        let Some(path) = path else {
            return Err(Error::unsupported(format!("COPY {what} on the server")).with_hint(hint));
        };
        if to && !path.starts_with('/') {
            return Err(Error::invalid(SqlState::INVALID_NAME, "relative path not allowed for COPY to file"));
        }
        Ok(Some(path.clone()))
    }

    /// Reads a file into a COPY FROM.
    pub(super) async fn load_file(&mut self, path: String, load: Load, cancel: &CancelFlag) -> Result<Execution> {
        let mut load: Box<dyn CopyIn> = Box::new(load);
        let spawner = self.engine.executor.spawner.clone();
        let opened = path.clone();
        let (file, mut at) = (spawner.blocking(move || HostFiles.open(&opened)).await??, 0_u64);
        loop {
            cancel.check()?;
            let source = Arc::clone(&file);
            let read = spawner.blocking(move || {
                let mut chunk = vec![0; CHUNK_BYTES];
                let got = source.read_at(&mut chunk, at)?;
                chunk.truncate(got);
                Ok::<_, Error>(Bytes::from(chunk))
            });
            let chunk = read.await??;
            if chunk.is_empty() {
                return Ok(Execution::Done(format!("COPY {}", load.done().await?)));
            }
            at += chunk.len() as u64;
            load.data(chunk).await?;
        }
    }

    /// Writes a query's rows to a file, all of them.
    pub(super) async fn unload_file(
        &mut self,
        path: String,
        rows: BoxStream<'static, Result<RecordBatch>>,
        columns: Arc<[ResultColumn]>,
        options: CopyOptions,
        shown: ShownCopy,
    ) -> Result<Execution> {
        let context = self.text_context();
        let spawner = self.engine.executor.spawner.clone();
        let written = match options.format {
            Format::Parquet => {
                let said: Vec<(String, SqlType)> =
                    columns.iter().map(|column| (column.name.clone(), column.sql_type.clone())).collect();
                spawner.task(async move {
                    let mut rows = rows;
                    let mut sink = ParquetSink::create(&path, &said, options.compression, context)?;
                    let (mut count, mut bytes) = (0_u64, 0);
                    while let Some(batch) = rows.next().await {
                        let batch = batch?;
                        sink.write(&batch)?;
                        count += batch.num_rows() as u64;
                        shown.rows(batch.num_rows() as u64);
                        shown.bytes(sink.bytes().saturating_sub(bytes));
                        bytes = sink.bytes();
                    }
                    sink.finish()?;
                    Ok(count)
                })
            }
            Format::Text | Format::Csv | Format::Binary => spawner.task(async move {
                let mut chunks = unload::chunks(rows, columns, options, context, shown);
                let mut file = HostFiles.create(&path)?;
                let mut count = 0;
                while let Some(chunk) = chunks.next().await {
                    let chunk = chunk?;
                    file.write_all(&chunk.data).map_err(|error| Error::io(format!("write file \"{path}\""), error))?;
                    count += chunk.rows;
                }
                file.keep()?;
                Ok(count)
            }),
        };
        let mut written = Owned(written);
        let count: Result<u64> = (&mut written.0).await?;
        Ok(Execution::Done(format!("COPY {}", count?)))
    }

    /// COPY FROM of a Parquet file: an INSERT of its columns, by their places.
    pub(super) async fn load_parquet(
        &mut self,
        path: String,
        relation: &Arc<Relation>,
        columns: &[Column],
        filter: Option<&ast::Expr>,
        running: &Running,
    ) -> Result<Execution> {
        let (request, rights) = (FileRequest::new(path.clone(), Form::Parquet), self.file_rights()?);
        let flag = running.flag.clone();
        let look = self.engine.executor.spawner.blocking(move || request.look(rights, &|| flag.check()));
        let found = look.await??.columns;
        let bad = |message: String| Err(Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, message));
        if let Some(missing) = columns.get(found.len()) {
            return bad(format!("missing data for column \"{}\"", missing.name));
        }
        if found.len() > columns.len() {
            return bad("extra data after last expected column".to_owned());
        }
        let (table, names) = (self.qualified(relation)?, list(columns));
        let identity = columns.iter().any(|column| column.identity == Identity::Always);
        let overriding = if identity { " OVERRIDING SYSTEM VALUE" } else { "" };
        let filter = filter.map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
        let quoted = path.replace('\'', "''");
        let sql = format!(
            "INSERT INTO {table} ({names}){overriding} SELECT {names} FROM read_parquet('{quoted}') AS source ({names}){filter}"
        );
        let statement = bind::parse(&sql)?.pop().ok_or_else(|| Error::internal("an INSERT of our own"))?.statement;
        let parsed = Arc::new(Parsed::from(statement));
        let text = Arc::from(sql.as_str());
        let prepared = Box::pin(self.prepare_parsed(Some(parsed), text, 0, Vec::new())).await;
        let prepared = prepared.map_err(Error::without_position)?;
        let running = self.start_cancellable();
        self.open_transaction()?;
        let (plan, scope) = Box::pin(self.bound_and_scoped(&prepared, &running)).await?;
        let shown = self.show_copy(relation.oid, "COPY FROM").reading(self.tier.clone());
        let done = Box::pin(self.run_plan(&plan, Vec::new(), scope, running)).await;
        drop(shown);
        match done? {
            Execution::Done(tag) => Ok(Execution::Done(format!("COPY {}", tag.rsplit(' ').next().unwrap_or("0")))),
            _ => Err(Error::internal("an INSERT of our own gave rows")),
        }
    }
}
