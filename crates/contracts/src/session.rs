//! SQL sessions as a protocol sees them. A protocol handler maps its messages onto these calls and holds no engine logic.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use heliosdb_types::{Datum, Error, Oid, Result, SqlType};

/// The database behind a protocol: authentication facts and new sessions.
pub trait SqlService: Send + Sync + 'static {
    /// How `user` proves who they are. Asked before anything else; an unknown user gets `Credential::Unknown` so that
    /// the handler can run the same exchange for them and fail at its end.
    fn credential<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Credential>>;

    /// Opens a session after authentication. Errors: 3D000 no such database, 28000 may not log in, 53300 too many.
    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<Box<dyn SqlSession>>>;
}

/// What the server knows of a user's password.
#[derive(Clone)]
pub enum Credential {
    /// No such role.
    Unknown,
    /// The role has no password: only a loopback client may enter.
    NoPassword,
    /// SCRAM-SHA-256, as in PostgreSQL's `pg_authid.rolpassword`.
    Scram(ScramVerifier),
}

#[derive(Clone)]
pub struct ScramVerifier {
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub stored_key: [u8; 32],
    pub server_key: [u8; 32],
}

/// What a client said when it connected.
#[derive(Clone, Debug)]
pub struct ConnectRequest {
    pub user: String,
    pub database: String,
    pub peer: Option<SocketAddr>,
    /// The backend's process id as the client knows it (`pg_backend_pid()`).
    pub pid: i32,
    /// Start-up parameters other than user and database, e.g. `client_encoding`, `application_name`, `options`.
    pub parameters: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

/// How to write values as text now: session settings a client sees in its results.
#[derive(Clone)]
pub struct OutputSettings {
    pub text: Arc<heliosdb_types::TextContext>,
}

/// One client's session. Calls are made one at a time.
///
/// Transactions: a statement outside BEGIN opens an implicit transaction that `finish` ends. The gateway calls `finish`
/// at Sync, or, for a simple Query, before the last statement's CommandComplete; and `fail` when anything went wrong.
pub trait SqlSession: Send {
    /// Splits a simple-protocol string into statements, in order. A syntax error anywhere fails the whole string.
    /// An empty string gives no statements.
    fn parse_script(&mut self, sql: &str) -> Result<Vec<Box<dyn Script>>>;

    /// Parses and describes one statement. `parameter_types` may be shorter than the parameters used; `None` (or OID 0) asks for inference.
    fn prepare<'a>(
        &'a mut self,
        sql: &'a str,
        parameter_types: &'a [Option<Oid>],
    ) -> BoxFuture<'a, Result<Arc<dyn Prepared>>>;

    /// Prepares one statement of a script (no parameters). Called when its turn comes, so that it sees earlier statements' effects.
    fn prepare_script<'a>(&'a mut self, statement: &'a dyn Script) -> BoxFuture<'a, Result<Arc<dyn Prepared>>>;

    /// A statement kept by name, by the protocol or by SQL's PREPARE: they share one name space.
    fn named_statement(&self, name: &str) -> Option<Arc<dyn Prepared>>;

    /// Keeps a statement under a name. Errors: 42P05 there is one of this name, 53400 there are too many.
    fn keep_statement(&mut self, name: &str, sql: &str, statement: Arc<dyn Prepared>) -> Result<()>;

    /// Forgets a statement, if there is one.
    fn close_statement(&mut self, name: &str);

    /// Runs a prepared statement. Rows of a stream are produced lazily; the stream must be dropped before the next call,
    /// except that inside an explicit transaction the unnamed portal, suspended at its row limit, keeps its stream (which
    /// reads by its own statement's snapshot) while other statements run. It is gone before `fail`, and after the
    /// transaction's end. A parameter of a `reg*` type may also be given as text: the name of what it stands for.
    fn execute<'a>(
        &'a mut self,
        statement: &'a Arc<dyn Prepared>,
        parameters: Vec<Datum>,
    ) -> BoxFuture<'a, Result<Execution>>;

    /// Whether the simple protocol shows a statement's rows in the binary form: FETCH from a BINARY cursor.
    fn shows_binary(&self, statement: &Arc<dyn Prepared>) -> bool {
        let _ = statement;
        false
    }

    /// Makes a portal: a statement with its parameters, to be run by `run_portal`. Portals and the cursors of DECLARE are
    /// one name space, and end with their transaction (a cursor WITH HOLD excepted). The portal without a name is the
    /// protocol's own. Errors: 42P03 there is one of this name, 53400 there are too many, 53200 they are too large.
    fn bind_portal(&mut self, name: &str, portal: BoundPortal) -> Result<()>;

    /// What a portal or cursor gives; `None`: there is none of this name.
    fn portal(&self, name: &str) -> Option<PortalShape>;

    /// Forgets a portal or cursor, if there is one.
    fn close_portal(&mut self, name: &str);

    /// Begins to run a portal, or goes on where it stopped. Errors: 34000 there is none, 55000 it ran and gives no rows.
    fn run_portal<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<PortalRun>>;

    /// The next of a running portal's rows, `most` at most (and fewer at a time than there are); `None`: it is at its end.
    fn portal_rows<'a>(&'a mut self, name: &'a str, most: u64) -> BoxFuture<'a, Result<Option<RecordBatch>>>;

    /// Ends the implicit transaction, if one is open: commits it and returns when it is durable.
    fn finish(&mut self) -> BoxFuture<'_, Result<()>>;

    /// Something failed: aborts an implicit transaction, or marks an explicit one as failed.
    fn fail(&mut self, error: &Error);

    fn status(&self) -> TransactionStatus;

    fn output(&self) -> OutputSettings;

    /// Parameters that changed since the last call and that the client must be told of (`TimeZone`, ...). The first call gives all.
    fn changed_parameters(&mut self) -> Vec<(String, String)>;

    /// Notifications that have arrived for what the session listens to; none while it is in a transaction.
    fn take_notifications(&mut self) -> Vec<Notification>;

    /// Resolves when there is a notification to take; `None`: none can come before the session's next call. Asked each time
    /// an idle client is waited for.
    fn notified(&self) -> Option<BoxFuture<'static, ()>>;

    /// Warnings and notices since the last call.
    fn take_notices(&mut self) -> Vec<Notice>;

    /// Asks the running statement to stop; usable from any thread.
    fn canceller(&self) -> Arc<dyn Canceller>;

    /// Resolves when somebody has terminated the session; the error is the last thing the client is told. Asked once.
    fn terminated(&self) -> BoxFuture<'static, Error>;

    /// For how long the client may now say nothing, and the last thing it is told after that. Asked each time an idle client is
    /// waited for.
    fn idle_limit(&self) -> Option<(Duration, Error)>;
}

/// What a column of a `reg*` type holds in a result: the object's name for text and its number for the binary format, between
/// them a zero byte, which no name has.
pub fn name_and_number(reference: &str) -> (&str, &str) {
    reference.split_once('\0').unwrap_or((reference, reference))
}

pub trait Canceller: Send + Sync {
    /// Cancels the statement that runs now, if any.
    fn cancel(&self);
}

/// One parsed statement of a simple-protocol string.
pub trait Script: Send + Sync {
    fn as_any(&self) -> &dyn Any;
}

/// A parsed and described statement.
pub trait Prepared: Send + Sync {
    fn parameters(&self) -> &[SqlType];

    /// `None`: the statement returns no rows.
    fn columns(&self) -> Option<&[ResultColumn]>;

    fn as_any(&self) -> &dyn Any;
}

impl fmt::Debug for dyn Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("parameters", &self.parameters()).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ResultColumn {
    /// Output names may repeat, so batches carry columns by position.
    pub name: String,
    pub sql_type: SqlType,
    /// The table column it comes from, or (0, 0).
    pub table_oid: Oid,
    pub attribute: i16,
}

/// A statement with its parameters, as Bind makes it.
pub struct BoundPortal {
    pub statement: Arc<dyn Prepared>,
    pub parameters: Vec<Datum>,
    /// Which columns of its rows travel in binary.
    pub binary: Vec<bool>,
    /// The memory it takes, about.
    pub bytes: usize,
}

/// How a portal's rows look; what DECLARE made travels as text.
pub struct PortalShape {
    /// `None`: it gives no rows.
    pub columns: Option<Arc<[ResultColumn]>>,
    pub binary: Vec<bool>,
}

/// What running a portal gives.
pub enum PortalRun {
    /// Rows, to be had from `portal_rows`; then the tag.
    Rows(RowsTag),
    /// Anything but rows.
    Other(Execution),
}

/// What running a statement gives.
pub enum Execution {
    /// Rows, then the tag. Column i of a batch has the Arrow type of `columns[i].sql_type` (decimals may be narrower or wider).
    Rows { columns: Arc<[ResultColumn]>, rows: BoxStream<'static, Result<RecordBatch>>, tag: RowsTag },
    /// Done: the command tag, e.g. `INSERT 0 5`.
    Done(String),
    /// An empty statement.
    Empty,
    /// COPY ... FROM STDIN: feed it.
    CopyIn(Box<dyn CopyIn>),
    /// COPY ... TO STDOUT: chunks to forward; the tag counts rows.
    CopyOut { format: CopyFormat, chunks: BoxStream<'static, Result<CopyChunk>> },
}

/// The command tag of a statement with rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsTag {
    /// `SELECT n` with n the rows sent; likewise `INSERT 0 n`, `UPDATE n` for RETURNING.
    Counted(&'static str),
    /// As it is: `EXPLAIN`, `SHOW`.
    Fixed(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    pub binary: bool,
    pub columns: usize,
}

/// A piece of what COPY sends. Clients take each message for one row, so the boundaries are kept.
#[derive(Clone, Debug)]
pub struct CopyChunk {
    pub data: Bytes,
    /// Where each message ends in `data`, ascending. Bytes after the last end begin the next message, of a later chunk.
    pub ends: Vec<usize>,
    /// Rows completed by this chunk.
    pub rows: u64,
}

/// Receives COPY data. Chunks may split rows anywhere.
pub trait CopyIn: Send {
    fn format(&self) -> CopyFormat;

    fn data<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>>;

    /// CopyDone: rows copied.
    fn done(self: Box<Self>) -> BoxFuture<'static, Result<u64>>;

    /// CopyFail: the client gave up.
    fn abandon(self: Box<Self>, reason: String);
}

/// What NOTIFY said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Whose session said it.
    pub pid: i32,
    pub channel: Arc<str>,
    pub payload: Arc<str>,
}

#[derive(Clone, Debug)]
pub struct Notice {
    /// `NOTICE`, `WARNING`, ...
    pub severity: &'static str,
    pub error: Arc<Error>,
}
