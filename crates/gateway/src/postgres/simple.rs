//! The simple protocol: a string of statements, run one after another, as one transaction unless they say otherwise.

use bytes::Bytes;
use futures::StreamExt;
use heliosdb_contracts::Execution;
use heliosdb_types::Error;
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse};

use super::connection::Connection;
use super::counters::add;
use super::failure::Outcome;
use super::frontend;
use super::reply::{Format, put_row_description, rows_tag};
use super::rows::{RowStream, Sent};

impl Connection<'_> {
    pub(crate) async fn simple_query(&mut self, body: Bytes) -> Outcome<()> {
        let query = frontend::query(body)?.query;
        self.unnamed = None;
        self.portal = None;
        let script = self.session.parse_script(&query)?;
        if script.is_empty() {
            self.session.finish().await?;
            self.wire.send(&EmptyQueryResponse::new());
        }
        let mut left = script.len();
        for statement in script {
            left -= 1;
            let preparing = self.session.prepare_script(&*statement);
            let prepared = self.alarm.attend(self.wire, &*self.canceller, preparing).await??;
            add(&self.shared.counters.statements, 1);
            let binary = self.session.shows_binary(&prepared);
            let executing = self.session.execute(&prepared, Vec::new());
            let execution = self.alarm.attend(self.wire, &*self.canceller, executing).await??;
            let tag = self.deliver(execution, binary).await?;
            if left == 0 {
                // Success may be told only now that the transaction is durable.
                self.session.finish().await?;
            }
            self.complete(tag);
        }
        self.ready().await
    }

    /// Sends all that a statement of the simple protocol gives but its tag. `None`: it was empty.
    async fn deliver(&mut self, execution: Execution, binary: bool) -> Outcome<Option<String>> {
        match execution {
            Execution::Rows { columns, rows, tag } => {
                let formats = if binary { vec![Format::Binary; columns.len()] } else { Vec::new() };
                put_row_description(&columns, &formats, &mut self.wire.output);
                let mut stream = RowStream::new(columns, formats, rows, tag);
                match self.send_rows(&mut stream, None).await? {
                    Sent::All(rows) => Ok(Some(rows_tag(stream.tag(), rows))),
                    Sent::Suspended => Err(Error::internal("a result without a row limit stopped").into()),
                }
            }
            other => self.deliver_rowless(other).await,
        }
    }

    /// The kinds of results that both protocols treat alike.
    pub(crate) async fn deliver_rowless(&mut self, execution: Execution) -> Outcome<Option<String>> {
        match execution {
            Execution::Done(tag) => {
                if tag == "DISCARD ALL" || tag == "DEALLOCATE ALL" {
                    self.unnamed = None;
                }
                Ok(Some(tag))
            }
            Execution::Empty => Ok(None),
            Execution::CopyIn(sink) => Ok(Some(format!("COPY {}", self.copy_in(sink).await?))),
            Execution::CopyOut { format, chunks } => Ok(Some(format!("COPY {}", self.copy_out(format, chunks).await?))),
            Execution::Rows { rows, .. } => {
                // Callers send rows themselves; draining keeps the promise that a statement runs to its end.
                rows.for_each(|_| async {}).await;
                Err(Error::internal("rows where none were expected").into())
            }
        }
    }

    pub(crate) fn complete(&mut self, tag: Option<String>) {
        self.send_notices();
        match tag {
            Some(tag) => self.wire.send(&CommandComplete::new(tag)),
            None => self.wire.send(&EmptyQueryResponse::new()),
        }
    }
}
