//! COPY: data of a client into the session, and out of it.

use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::BoxStream;
use heliosdb_contracts::{CopyChunk, CopyFormat, CopyIn};
use heliosdb_types::{Error, Result, SqlState};
use pgwire::messages::copy::{CopyData, CopyDone, CopyInResponse, CopyOutResponse};

use super::alarm::Phase;
use super::connection::Connection;
use super::failure::{Failure, Outcome, violation};
use super::frontend as message;

impl Connection<'_> {
    /// Feeds the client's data to `sink`; returns the rows copied. After an error the caller's loop ignores the data that
    /// the client, not knowing yet, still sends.
    pub(crate) async fn copy_in(&mut self, mut sink: Box<dyn CopyIn>) -> Outcome<u64> {
        let (format, columns) = formats(sink.format())?;
        self.wire.send(&CopyInResponse::new(format, columns.len() as i16, columns));
        self.alarm.flush(self.wire).await?;
        loop {
            tokio::task::consume_budget().await;
            let (kind, body) = match self.next_message(Phase::Terminating).await {
                Ok(frame) => frame,
                Err(failure) => {
                    sink.abandon("connection lost during COPY from stdin".to_owned());
                    return Err(failure);
                }
            };
            match kind {
                message::COPY_DATA => self.alarm.attend(self.wire, &*self.canceller, sink.data(body)).await??,
                message::COPY_DONE => {
                    return Ok(self.alarm.attend(self.wire, &*self.canceller, sink.done()).await??);
                }
                message::COPY_FAIL => {
                    let reason = message::copy_fail(body)?.message;
                    sink.abandon(reason.clone());
                    return Err(Error::cancelled(format!("COPY from stdin failed: {reason}")).into());
                }
                // Clients that send Sync right after Execute; the one that counts follows CopyDone.
                message::FLUSH | message::SYNC => {}
                message::TERMINATE => {
                    sink.abandon("the client terminated during COPY from stdin".to_owned());
                    return Err(Failure::Gone);
                }
                other => {
                    sink.abandon("protocol violation during COPY from stdin".to_owned());
                    let wrong = format!("unexpected message type 0x{other:02X} during COPY from stdin");
                    return Err(violation(wrong).into());
                }
            }
        }
    }

    /// Forwards chunks to the client; returns the rows copied.
    pub(crate) async fn copy_out(
        &mut self,
        format: CopyFormat,
        mut chunks: BoxStream<'static, Result<CopyChunk>>,
    ) -> Outcome<u64> {
        let (format, columns) = formats(format)?;
        self.wire.send(&CopyOutResponse::new(format, columns.len() as i16, columns));
        let mut rows = 0;
        let mut begun = BytesMut::new();
        while let Some(chunk) = self.alarm.attend(self.wire, &*self.canceller, chunks.next()).await? {
            let CopyChunk { mut data, ends, rows: completed } = chunk?;
            rows += completed;
            let mut sent = 0;
            for end in ends {
                let message = data.split_to(end.saturating_sub(sent).min(data.len()));
                sent = end;
                let message = if begun.is_empty() {
                    message
                } else {
                    begun.extend_from_slice(&message);
                    begun.split().freeze()
                };
                self.wire.send(&CopyData::new(message));
                if self.wire.output.len() >= self.shared.options.flush_bytes {
                    self.alarm.flush(self.wire).await?;
                    tokio::task::consume_budget().await;
                }
            }
            begun.extend_from_slice(&data);
        }
        if !begun.is_empty() {
            self.wire.send(&CopyData::new(begun.freeze()));
        }
        self.wire.send(&CopyDone::new());
        Ok(rows)
    }
}

/// Format byte and one code a column.
fn formats(format: CopyFormat) -> Result<(i8, Vec<i16>)> {
    if i16::try_from(format.columns).is_err() {
        return Err(Error::invalid(SqlState::TOO_MANY_COLUMNS, "too many columns to copy"));
    }
    let code = i16::from(format.binary);
    Ok((code as i8, vec![code; format.columns]))
}
