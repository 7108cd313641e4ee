//! A client that keeps everything a server says: names, type OIDs, values, tags, SQLSTATEs. Statements with parameters
//! go by the extended protocol, values as text.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::IsNull;
use postgres_protocol::message::{backend, frontend};

use super::generate::Param;

/// Everything said about one statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Option<String>>>,
    /// `SELECT 3`, `CREATE TABLE`; empty after an error.
    pub tag: String,
    pub error: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub type_oid: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub sqlstate: String,
    pub message: String,
}

/// A connection; a statement that does not answer within a minute is an error.
pub struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    /// Connects as `postgres` without a password.
    pub fn connect(port: u16) -> io::Result<Wire> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        let mut wire = Wire { stream, buffer: BytesMut::new() };
        let mut out = BytesMut::new();
        frontend::startup_message([("user", "postgres"), ("database", "postgres")], &mut out)?;
        wire.stream.write_all(&out)?;
        wire.until_ready()?;
        Ok(wire)
    }

    /// Runs one statement. `Err` means the connection is lost.
    pub fn query(&mut self, sql: &str) -> io::Result<Answer> {
        self.send(sql, &[])?;
        self.until_ready()
    }

    /// Sends one statement; the answer comes by [`Wire::until_ready`].
    pub fn send(&mut self, sql: &str, params: &[Param]) -> io::Result<()> {
        let mut out = BytesMut::new();
        if params.is_empty() {
            frontend::query(sql, &mut out)?;
        } else {
            frontend::parse("", sql, params.iter().map(|param| param.oid), &mut out)?;
            let write = |param: &Param, buffer: &mut BytesMut| {
                buffer.extend_from_slice(param.value.as_bytes());
                Ok(IsNull::No)
            };
            frontend::bind("", "", [0], params, write, [0], &mut out).map_err(|_| io::Error::other("parameters"))?;
            frontend::describe(b'P', "", &mut out)?;
            frontend::execute("", 0, &mut out)?;
            frontend::sync(&mut out);
        }
        self.stream.write_all(&out)
    }

    /// Everything said until the server waits for the next statement.
    pub fn until_ready(&mut self) -> io::Result<Answer> {
        let mut answer = Answer::default();
        loop {
            match self.message()? {
                backend::Message::RowDescription(body) => {
                    let column = |field: backend::Field<'_>| {
                        Ok(Column { name: field.name().to_owned(), type_oid: field.type_oid() })
                    };
                    answer.columns = body.fields().map(column).collect()?;
                }
                backend::Message::DataRow(body) => {
                    let whole = body.buffer();
                    let text = |range: Option<std::ops::Range<usize>>| {
                        Ok(range
                            .map(|range| String::from_utf8_lossy(whole.get(range).unwrap_or_default()).into_owned()))
                    };
                    answer.rows.push(body.ranges().map(text).collect()?);
                }
                backend::Message::CommandComplete(body) => body.tag()?.clone_into(&mut answer.tag),
                backend::Message::ErrorResponse(body) => answer.error = Some(failure(&body)?),
                backend::Message::ReadyForQuery(_) => return Ok(answer),
                _ => {}
            }
        }
    }

    fn message(&mut self) -> io::Result<backend::Message> {
        loop {
            if let Some(message) = backend::Message::parse(&mut self.buffer)? {
                return Ok(message);
            }
            let mut chunk = [0u8; 16 * 1024];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            }
        }
    }
}

fn failure(body: &backend::ErrorResponseBody) -> io::Result<Failure> {
    let mut found = Failure { sqlstate: String::new(), message: String::new() };
    let mut fields = body.fields();
    while let Some(field) = fields.next()? {
        let text = || String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => found.sqlstate = text(),
            b'M' => found.message = text(),
            _ => {}
        }
    }
    Ok(found)
}
