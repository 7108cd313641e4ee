//! The extended protocol: Parse, Bind, Describe, Execute, Close. Replies gather until Sync or Flush.

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_contracts::{BoundPortal, Execution, PortalRun, PortalShape, Prepared, ResultColumn, RowsTag};
use heliosdb_types::{Datum, Error, ErrorKind, Oid, Result, SqlState};
use pgwire::messages::data::NoData;
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};

use super::connection::Connection;
use super::counters::add;
use super::failure::{Outcome, violation};
use super::frontend;
use super::parameters::{decode_parameters, formats};
use super::reply::{Format, parameter_description, put_row_description, rows_tag};
use super::rows::{RowStream, Sent};

/// What a portal takes beside its parameters.
const PORTAL_BYTES: usize = 512;

/// The portal without a name; named ones are the session's, beside its cursors.
pub(crate) struct Portal {
    prepared: Arc<dyn Prepared>,
    formats: Vec<Format>,
    state: PortalState,
}

enum PortalState {
    Fresh(Vec<Datum>),
    /// Stopped at a row limit.
    Suspended(RowStream),
    /// Ran to its end; the tag if it returned rows.
    Finished(Option<RowsTag>),
}

impl Connection<'_> {
    fn statement(&self, name: &str) -> Result<Arc<dyn Prepared>> {
        let found = if name.is_empty() { self.unnamed.clone() } else { self.session.named_statement(name) };
        found.ok_or_else(|| no_statement(name))
    }

    pub(crate) async fn parse(&mut self, body: Bytes) -> Outcome<()> {
        let message = frontend::parse(body)?;
        let name = message.name.unwrap_or_default();
        if name.is_empty() {
            self.unnamed = None;
        } else if self.session.named_statement(&name).is_some() {
            return Err(Error::invalid(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            )
            .into());
        }
        let types: Vec<Option<Oid>> =
            message.type_oids.iter().map(|&oid| Some(Oid(oid)).filter(|oid| oid.0 != 0)).collect();
        let preparing = self.session.prepare(&message.query, &types);
        let prepared = self.alarm.attend(self.wire, &*self.canceller, preparing).await??;
        if name.is_empty() {
            self.unnamed = Some(prepared);
        } else {
            self.session.keep_statement(&name, &message.query, prepared)?;
        }
        self.wire.send(&ParseComplete::new());
        Ok(())
    }

    pub(crate) fn bind(&mut self, body: Bytes) -> Outcome<()> {
        let bytes = body.len() + PORTAL_BYTES;
        let message = frontend::bind(body)?;
        let name = message.statement_name.unwrap_or_default();
        let portal_name = message.portal_name.unwrap_or_default();
        let prepared = self.statement(&name)?;
        if portal_name.is_empty() {
            self.portal = None;
        }
        let types = prepared.parameters();
        if message.parameters.len() != types.len() {
            let (given, needed) = (message.parameters.len(), types.len());
            return Err(violation(format!(
                "bind message supplies {given} parameters, but prepared statement \"{name}\" requires {needed}"
            ))
            .into());
        }
        let parameter_formats = formats(&message.parameter_format_codes, types.len(), "parameter")?;
        let parameters =
            decode_parameters(types, &parameter_formats, &message.parameters, &self.session.output().text)?;
        let columns = prepared.columns().map_or(0, <[ResultColumn]>::len);
        let formats = formats(&message.result_column_format_codes, columns, "result")?;
        if portal_name.is_empty() {
            self.portal = Some(Portal { prepared, formats, state: PortalState::Fresh(parameters) });
        } else {
            let binary = formats.iter().map(|format| *format == Format::Binary).collect();
            self.session.bind_portal(&portal_name, BoundPortal { statement: prepared, parameters, binary, bytes })?;
        }
        self.wire.send(&BindComplete::new());
        Ok(())
    }

    pub(crate) fn describe(&mut self, body: Bytes) -> Outcome<()> {
        let message = frontend::describe(body)?;
        let name = message.name.unwrap_or_default();
        match message.target_type {
            b'S' => {
                let prepared = self.statement(&name)?;
                self.wire.send(&parameter_description(prepared.parameters()));
                self.describe_rows(prepared.columns(), &[]);
            }
            b'P' if name.is_empty() => {
                let portal = self.portal.take().ok_or_else(|| no_portal(&name))?;
                self.describe_rows(portal.prepared.columns(), &portal.formats);
                self.portal = Some(portal);
            }
            b'P' => {
                let PortalShape { columns, binary } = self.session.portal(&name).ok_or_else(|| no_portal(&name))?;
                self.describe_rows(columns.as_deref(), &of_portal(&binary));
            }
            other => return Err(violation(format!("invalid DESCRIBE message subtype {other}")).into()),
        }
        Ok(())
    }

    fn describe_rows(&mut self, columns: Option<&[ResultColumn]>, formats: &[Format]) {
        match columns {
            Some(columns) => put_row_description(columns, formats, &mut self.wire.output),
            None => self.wire.send(&NoData::new()),
        }
    }

    pub(crate) fn close(&mut self, body: Bytes) -> Outcome<()> {
        let message = frontend::close(body)?;
        let name = message.name.unwrap_or_default();
        match message.target_type {
            b'S' if name.is_empty() => self.unnamed = None,
            b'S' => self.session.close_statement(&name),
            b'P' if name.is_empty() => self.portal = None,
            b'P' => self.session.close_portal(&name),
            other => return Err(violation(format!("invalid CLOSE message subtype {other}")).into()),
        }
        self.wire.send(&CloseComplete::new());
        Ok(())
    }

    pub(crate) async fn execute(&mut self, body: Bytes) -> Outcome<()> {
        let message = frontend::execute(body)?;
        let name = message.name.unwrap_or_default();
        let most = u64::try_from(message.max_rows).ok().filter(|&rows| rows > 0);
        if !name.is_empty() {
            return self.execute_named(&name, most).await;
        }
        // Not there while it runs; a failure ends it anyway.
        let Portal { prepared, formats, state } = self.portal.take().ok_or_else(|| no_portal(&name))?;
        add(&self.shared.counters.statements, 1);
        let state = match state {
            PortalState::Fresh(parameters) => {
                let executing = self.session.execute(&prepared, parameters);
                match self.alarm.attend(self.wire, &*self.canceller, executing).await?? {
                    Execution::Rows { columns, rows, tag } => {
                        same_result(prepared.columns(), &columns)?;
                        let mut stream = RowStream::new(columns, formats.clone(), rows, tag);
                        if most.is_some() && !stream.may_stop_early() {
                            self.gather(&mut stream).await?;
                        }
                        self.continue_rows(stream, most).await?
                    }
                    other => {
                        let tag = self.deliver_rowless(other).await?;
                        self.complete(tag);
                        PortalState::Finished(None)
                    }
                }
            }
            PortalState::Suspended(stream) => self.continue_rows(stream, most).await?,
            PortalState::Finished(Some(tag @ RowsTag::Counted("SELECT"))) => {
                self.complete(Some(rows_tag(&tag, 0)));
                PortalState::Finished(Some(tag))
            }
            PortalState::Finished(_) => {
                let wrong = format!("portal \"{name}\" cannot be run");
                return Err(Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, wrong).into());
            }
        };
        self.portal = Some(Portal { prepared, formats, state });
        Ok(())
    }

    /// Execute of a portal that the session keeps: Bind's or DECLARE's.
    async fn execute_named(&mut self, name: &str, most: Option<u64>) -> Outcome<()> {
        add(&self.shared.counters.statements, 1);
        let running = self.session.run_portal(name);
        match self.alarm.attend(self.wire, &*self.canceller, running).await?? {
            PortalRun::Rows(tag) => {
                let PortalShape { columns, binary } = self.session.portal(name).ok_or_else(|| no_portal(name))?;
                let columns = columns.unwrap_or_default();
                match self.send_portal(name, &columns, &of_portal(&binary), most).await? {
                    Sent::All(rows) => self.complete(Some(rows_tag(&tag, rows))),
                    Sent::Suspended => self.wire.send(&PortalSuspended::new()),
                }
            }
            PortalRun::Other(execution) => {
                let tag = self.deliver_rowless(execution).await?;
                self.complete(tag);
            }
        }
        Ok(())
    }

    async fn continue_rows(&mut self, mut stream: RowStream, most: Option<u64>) -> Outcome<PortalState> {
        match self.send_rows(&mut stream, most).await? {
            Sent::All(rows) => {
                let tag = stream.tag().clone();
                // The session may be called again only once the rows are gone.
                drop(stream);
                self.complete(Some(rows_tag(&tag, rows)));
                Ok(PortalState::Finished(Some(tag)))
            }
            Sent::Suspended => {
                self.wire.send(&PortalSuspended::new());
                Ok(PortalState::Suspended(stream))
            }
        }
    }
}

fn of_portal(binary: &[bool]) -> Vec<Format> {
    binary.iter().map(|binary| if *binary { Format::Binary } else { Format::Text }).collect()
}

/// What was described must be what comes: the table may have changed in between.
fn same_result(described: Option<&[ResultColumn]>, columns: &[ResultColumn]) -> Result<()> {
    let described = described.unwrap_or_default();
    let same = described.len() == columns.len()
        && described.iter().zip(columns).all(|(a, b)| a.sql_type.oid() == b.sql_type.oid());
    if same {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Retry, SqlState::FEATURE_NOT_SUPPORTED, "cached plan must not change result type"))
}

fn no_statement(name: &str) -> Error {
    let wrong = match name {
        "" => "unnamed prepared statement does not exist".to_owned(),
        name => format!("prepared statement \"{name}\" does not exist"),
    };
    Error::invalid(SqlState::INVALID_SQL_STATEMENT_NAME, wrong)
}

fn no_portal(name: &str) -> Error {
    Error::invalid(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}
