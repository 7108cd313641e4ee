//! PostgreSQL's protocol from the client's side: start, simple queries, COPY both ways, cancel. Blocking.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::sasl::{self, ChannelBinding, ScramSha256};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use crate::connect::{ConnectArgs, SslMode};
use crate::error::{Failure, ServerError};
use crate::stream::Stream;

/// A message a server has no reason to send; and what we would have to keep.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: String,
    pub type_oid: u32,
}

/// What a query gives, in order.
pub(crate) enum Event {
    Columns(Vec<Column>),
    Row(Vec<Option<String>>),
    CopyData(Bytes),
    Complete(String),
    /// What NOTIFY said on a channel this session listens to.
    Notification {
        channel: String,
        payload: String,
        pid: i32,
    },
    Notice(ServerError),
}

/// How to cancel what a connection runs, from another thread.
#[derive(Clone, Debug)]
pub(crate) struct Cancel {
    host: String,
    port: u16,
    pid: i32,
    secret: i32,
}

impl Cancel {
    /// Best effort, and never encrypted: the key is worth one statement of ours.
    pub fn send(&self) {
        let mut request = BytesMut::new();
        frontend::cancel_request(self.pid, self.secret, &mut request);
        let _ = TcpStream::connect((self.host.as_str(), self.port)).and_then(|mut socket| socket.write_all(&request));
    }
}

pub(crate) struct Connection {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
    cancel: Cancel,
    /// `I` idle, `T` in a transaction, `E` in a failed one.
    pub status: u8,
    pub server_version: String,
    pub encrypted: bool,
    ended: bool,
}

impl Connection {
    pub fn open(args: &ConnectArgs, ask: impl FnOnce() -> Option<String>) -> Result<Connection, Failure> {
        let address = (args.host.as_str(), args.port);
        let refused = |e: io::Error| {
            Failure::Connection(format!(
                "could not connect to {}:{}: {e}\nIs a server running there? Start one with: heliosdb start",
                args.host, args.port
            ))
        };
        let found: Vec<_> = address.to_socket_addrs().map_err(refused)?.collect();
        let socket = TcpStream::connect(found.as_slice()).map_err(refused)?;
        socket.set_nodelay(true)?;
        let (stream, encrypted) = encrypted(socket, args)?;
        let cancel = Cancel { host: args.host.clone(), port: args.port, pid: 0, secret: 0 };
        let (input, output) = (BytesMut::new(), BytesMut::new());
        let server_version = String::new();
        let mut connection =
            Connection { stream, input, output, cancel, status: b'I', server_version, encrypted, ended: false };
        connection.start(args, ask)?;
        Ok(connection)
    }

    fn start(&mut self, args: &ConnectArgs, ask: impl FnOnce() -> Option<String>) -> Result<(), Failure> {
        let parameters = [
            ("user", args.user.as_str()),
            ("database", &args.dbname),
            ("client_encoding", "UTF8"),
            ("application_name", "heliosdb sql"),
        ];
        frontend::startup_message(parameters, &mut self.output)?;
        self.send()?;
        let mut password = Some(|| args.password.clone().or_else(ask));
        let mut scram: Option<ScramSha256> = None;
        loop {
            match self.message()? {
                Message::AuthenticationOk | Message::NoticeResponse(_) => {}
                Message::AuthenticationSasl(body) => {
                    let mechanisms: Vec<String> = body.mechanisms().map(|name| Ok(name.to_owned())).collect()?;
                    if !mechanisms.iter().any(|name| name == sasl::SCRAM_SHA_256) {
                        return Err(Failure::Connection(format!("no known way to log in among {mechanisms:?}")));
                    }
                    let password = password.take().and_then(|password| password()).ok_or_else(|| {
                        Failure::Connection(format!("a password is needed for user {}: set PGPASSWORD", args.user))
                    })?;
                    let exchange = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
                    frontend::sasl_initial_response(sasl::SCRAM_SHA_256, exchange.message(), &mut self.output)?;
                    scram = Some(exchange);
                    self.send()?;
                }
                Message::AuthenticationSaslContinue(body) => {
                    let exchange = scram.as_mut().ok_or_else(|| unexpected("SASL"))?;
                    exchange.update(body.data())?;
                    frontend::sasl_response(exchange.message(), &mut self.output)?;
                    self.send()?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    scram.as_mut().ok_or_else(|| unexpected("SASL"))?.finish(body.data())?;
                }
                Message::ParameterStatus(body) => {
                    if body.name()? == "server_version" {
                        self.server_version = body.value()?.to_owned();
                    }
                }
                Message::BackendKeyData(body) => {
                    (self.cancel.pid, self.cancel.secret) = (body.process_id(), body.secret_key());
                }
                Message::ReadyForQuery(_) => return Ok(()),
                Message::ErrorResponse(body) => {
                    return Err(Failure::Connection(ServerError::read(body.fields())?.to_string()));
                }
                _ => return Err(unexpected("a message")),
            }
        }
    }

    /// The session's number at the server.
    pub fn pid(&self) -> i32 {
        self.cancel.pid
    }

    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// The connection is gone.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Runs statements; `each` sees what they give. The first error of the server, after all else.
    pub fn query(&mut self, sql: &str, each: &mut dyn FnMut(Event) -> io::Result<()>) -> Result<(), Failure> {
        frontend::query(sql, &mut self.output).map_err(|_| Failure::Usage("a statement holds a zero byte".into()))?;
        self.send()?;
        self.answer(each)
    }

    /// COPY ... FROM STDIN with what `next` gives until it gives nothing.
    pub fn copy_in(
        &mut self,
        sql: &str,
        next: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), Failure>,
    ) -> Result<String, Failure> {
        frontend::query(sql, &mut self.output).map_err(|_| Failure::Usage("a statement holds a zero byte".into()))?;
        self.send()?;
        match self.message()? {
            Message::CopyInResponse(_) => {}
            Message::ErrorResponse(body) => {
                let error = ServerError::read(body.fields())?;
                self.answer(&mut |_| Ok(()))?;
                return Err(error.into());
            }
            _ => return Err(unexpected("COPY")),
        }
        let mut chunk = Vec::new();
        let failure = loop {
            chunk.clear();
            match next(&mut chunk) {
                Ok(()) if chunk.is_empty() => break None,
                Ok(()) => {
                    frontend::CopyData::new(chunk.as_slice())?.write(&mut self.output);
                    self.send()?;
                }
                Err(failure) => break Some(failure),
            }
        };
        match &failure {
            None => frontend::copy_done(&mut self.output),
            Some(_) => frontend::copy_fail("the client could not read its data", &mut self.output)?,
        }
        self.send()?;
        let mut tag = String::new();
        let done = self.answer(&mut |event| {
            if let Event::Complete(text) = event {
                tag = text;
            }
            Ok(())
        });
        match failure {
            Some(failure) => Err(failure),
            None => done.map(|()| tag),
        }
    }

    /// Everything up to ReadyForQuery.
    fn answer(&mut self, each: &mut dyn FnMut(Event) -> io::Result<()>) -> Result<(), Failure> {
        let mut error = None;
        loop {
            let event = match self.message()? {
                Message::RowDescription(body) => {
                    let column = |field: postgres_protocol::message::backend::Field<'_>| {
                        Ok(Column { name: field.name().to_owned(), type_oid: field.type_oid() })
                    };
                    Event::Columns(body.fields().map(column).collect()?)
                }
                Message::DataRow(body) => {
                    let buffer = body.buffer();
                    let value = |range: Option<std::ops::Range<usize>>| {
                        Ok(range
                            .map(|range| String::from_utf8_lossy(buffer.get(range).unwrap_or_default()).into_owned()))
                    };
                    Event::Row(body.ranges().map(value).collect()?)
                }
                Message::CopyData(body) => Event::CopyData(body.into_bytes()),
                Message::CommandComplete(body) => Event::Complete(body.tag()?.to_owned()),
                Message::NoticeResponse(body) => Event::Notice(ServerError::read(body.fields())?),
                Message::NotificationResponse(body) => {
                    let (channel, payload) = (body.channel()?.to_owned(), body.message()?.to_owned());
                    Event::Notification { channel, payload, pid: body.process_id() }
                }
                Message::ErrorResponse(body) => {
                    let wrong = ServerError::read(body.fields())?;
                    if matches!(wrong.severity.as_str(), "FATAL" | "PANIC") {
                        self.ended = true;
                        return Err(Failure::Connection(wrong.to_string()));
                    }
                    error.get_or_insert(wrong);
                    continue;
                }
                Message::CopyInResponse(_) => {
                    frontend::copy_fail("COPY FROM STDIN needs a file: use heliosdb import", &mut self.output)?;
                    self.send()?;
                    continue;
                }
                Message::ReadyForQuery(body) => {
                    self.status = body.status();
                    return error.map_or(Ok(()), |error| Err(error.into()));
                }
                _ => continue,
            };
            // What cannot be shown is still read to its end.
            each(event)?;
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let sent = self.stream.write_all(&self.output).and_then(|()| self.stream.flush());
        self.output.clear();
        self.ended |= sent.is_err();
        sent
    }

    fn message(&mut self) -> Result<Message, Failure> {
        loop {
            if let Some(head) = self.input.first_chunk::<5>() {
                let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if len > MESSAGE_BYTES_MAX {
                    return Err(unexpected("a length"));
                }
            }
            if let Some(message) = Message::parse(&mut self.input)? {
                return Ok(message);
            }
            let mut part = [0; 32 << 10];
            match self.stream.read(&mut part) {
                Ok(0) => {
                    self.ended = true;
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                Ok(n) => self.input.extend_from_slice(part.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.ended = true;
                    return Err(e.into());
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.ended {
            frontend::terminate(&mut self.output);
            let _ = self.send();
        }
    }
}

fn unexpected(what: &str) -> Failure {
    Failure::Connection(format!("the server sent {what} that was not expected; is it a PostgreSQL server?"))
}

/// Asks for TLS as the mode says.
fn encrypted(mut socket: TcpStream, args: &ConnectArgs) -> Result<(Stream, bool), Failure> {
    if args.sslmode == SslMode::Disable {
        return Ok((Stream::Plain(socket), false));
    }
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request)?;
    let mut answer = [0];
    socket.read_exact(&mut answer)?;
    match answer {
        [b'S'] => Ok((Stream::encrypt(socket, &args.host, args.authorities()?.as_deref())?, true)),
        _ if args.sslmode == SslMode::Prefer => Ok((Stream::Plain(socket), false)),
        _ => Err(Failure::Connection("the server does not encrypt; use --sslmode prefer to go without".to_owned())),
    }
}
