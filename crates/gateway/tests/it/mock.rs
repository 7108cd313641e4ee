//! An engine that understands a few words and writes down how it was called.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::builder::{BinaryViewBuilder, FixedSizeBinaryBuilder, StringViewBuilder};
use arrow_array::types::IntervalMonthDayNano;
use arrow_array::*;
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use heliosdb_contracts::*;
use heliosdb_gateway::postgres::{Environment, Options, Server, serve};
use heliosdb_types::Datum;
use heliosdb_types::*;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What the engine saw.
#[derive(Default)]
pub struct Log {
    calls: Mutex<Vec<String>>,
    pub batches: AtomicU64,
    pub cancels: AtomicU64,
    pub sessions: AtomicU64,
    pub copied: Mutex<Vec<u8>>,
    /// For whoever asks first.
    pub notifications: Mutex<Vec<Notification>>,
}

impl Log {
    pub fn add(&self, call: impl Into<String>) {
        self.calls.lock().push(call.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock())
    }

    pub async fn wait_until(&self, what: &str, test: impl Fn(&Log) -> bool) {
        for _ in 0..1000 {
            if test(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never happened: {what}");
    }
}

pub struct Mock {
    pub log: Arc<Log>,
}

/// A server over the mock, and how to reach it.
pub struct Fixture {
    pub server: Server,
    pub log: Arc<Log>,
    pub address: SocketAddr,
}

pub async fn start() -> Fixture {
    start_with(Options::default()).await
}

pub async fn start_with(options: Options) -> Fixture {
    let listener = heliosdb_runtime::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let log = Arc::new(Log::default());
    let server = serve(listener, Arc::new(Mock { log: log.clone() }), options, Environment::real());
    let address = server.address().unwrap();
    Fixture { server, log, address }
}

impl Fixture {
    pub async fn client(&self) -> tokio_postgres::Client {
        self.connect("user=postgres dbname=postgres").await.unwrap()
    }

    pub async fn connect(&self, settings: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let settings = format!("host=127.0.0.1 port={} {settings}", self.address.port());
        let (client, connection) = tokio_postgres::connect(&settings, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// The verifier of password "secret" as PostgreSQL stores it: salt "0123456789abcdef", 4096 iterations.
pub fn verifier() -> ScramVerifier {
    use pgwire::api::auth::sasl::scram::{ScramSecret, gen_salted_password};
    let salt = b"0123456789abcdef".to_vec();
    let salted = gen_salted_password("secret", &salt, 4096);
    let ScramSecret::Verifier { salt, iterations, stored_key, server_key } =
        ScramSecret::verifier_from_salted_password(salt, salted, 4096)
    else {
        unreachable!()
    };
    ScramVerifier {
        iterations: iterations as u32,
        salt,
        stored_key: stored_key.try_into().unwrap(),
        server_key: server_key.try_into().unwrap(),
    }
}

impl SqlService for Mock {
    fn credential<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Credential>> {
        let credential = match user {
            "postgres" => Credential::NoPassword,
            "alice" => Credential::Scram(verifier()),
            _ => Credential::Unknown,
        };
        async { Ok(credential) }.boxed()
    }

    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<Box<dyn SqlSession>>> {
        let log = self.log.clone();
        async move {
            if request.database == "nowhere" {
                let wrong = "database \"nowhere\" does not exist";
                return Err(Error::invalid(SqlState::INVALID_CATALOG_NAME, wrong));
            }
            log.sessions.fetch_add(1, Ordering::SeqCst);
            let session = Session {
                log,
                named: Default::default(),
                portals: Default::default(),
                status: TransactionStatus::Idle,
                implicit: false,
                fail_commit: false,
                notices: Vec::new(),
                parameters: vec![
                    ("server_version".into(), "18.0".into()),
                    ("client_encoding".into(), "UTF8".into()),
                    ("application_name".into(), parameter(&request, "application_name")),
                ],
                cancel: Arc::default(),
            };
            Ok(Box::new(session) as Box<dyn SqlSession>)
        }
        .boxed()
    }
}

fn parameter(request: &ConnectRequest, name: &str) -> String {
    request.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default()
}

#[derive(Default)]
struct Cancel {
    asked: AtomicBool,
    wake: Notify,
    log: Mutex<Option<Arc<Log>>>,
}

impl Canceller for Cancel {
    fn cancel(&self) {
        if let Some(log) = &*self.log.lock() {
            log.cancels.fetch_add(1, Ordering::SeqCst);
        }
        self.asked.store(true, Ordering::SeqCst);
        self.wake.notify_waiters();
    }
}

impl Cancel {
    async fn cancelled(&self) -> Error {
        loop {
            let woken = self.wake.notified();
            if self.asked.swap(false, Ordering::SeqCst) {
                return Error::cancelled("canceling statement due to user request");
            }
            woken.await;
        }
    }
}

struct Session {
    log: Arc<Log>,
    status: TransactionStatus,
    implicit: bool,
    fail_commit: bool,
    notices: Vec<Notice>,
    parameters: Vec<(String, String)>,
    cancel: Arc<Cancel>,
    named: std::collections::HashMap<String, Arc<dyn Prepared>>,
    portals: std::collections::HashMap<String, Portal>,
}

struct Portal {
    bound: BoundPortal,
    /// `None`: not run yet.
    rows: Option<(futures::stream::BoxStream<'static, Result<RecordBatch>>, RowsTag)>,
    /// What is left of the last batch.
    left: Option<RecordBatch>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.log.add("dropped");
        self.log.sessions.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Word(String);

impl Script for Word {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Plan {
    text: String,
    parameters: Vec<SqlType>,
    columns: Option<Vec<ResultColumn>>,
}

impl Prepared for Plan {
    fn parameters(&self) -> &[SqlType] {
        &self.parameters
    }

    fn columns(&self) -> Option<&[ResultColumn]> {
        self.columns.as_deref()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn column(name: &str, sql_type: SqlType) -> ResultColumn {
    ResultColumn { name: name.into(), sql_type, table_oid: Oid(0), attribute: 0 }
}

/// Types by the names `echo` takes.
pub fn type_named(name: &str) -> SqlType {
    match name {
        "bool" => SqlType::Bool,
        "int2" => SqlType::Int2,
        "int4" => SqlType::Int4,
        "int8" => SqlType::Int8,
        "float4" => SqlType::Float4,
        "float8" => SqlType::Float8,
        "numeric" => SqlType::Numeric(None),
        "numeric(18,4)" => SqlType::Numeric(Some((18, 4))),
        "numeric(38,10)" => SqlType::Numeric(Some((38, 10))),
        "text" => SqlType::Text,
        "varchar" => SqlType::Varchar(None),
        "varchar(3)" => SqlType::Varchar(Some(3)),
        "bpchar" => SqlType::Char(None),
        "name" => SqlType::Name,
        "char" => SqlType::QuotedChar,
        "bytea" => SqlType::Bytea,
        "date" => SqlType::Date,
        "time" => SqlType::Time(None),
        "timestamp" => SqlType::Timestamp(None),
        "timestamptz" => SqlType::Timestamptz(None),
        "interval" => SqlType::Interval,
        "uuid" => SqlType::Uuid,
        "oid" => SqlType::Oid,
        "regclass" => SqlType::Reg(RegKind::Class),
        "int4[]" => SqlType::Array(Box::new(SqlType::Int4)),
        "text[]" => SqlType::Array(Box::new(SqlType::Text)),
        _ => SqlType::Text,
    }
}

/// The array a column of `sql_type` is carried in, with `rows` copies of a value.
fn array_of(value: &Datum, sql_type: &SqlType, rows: usize) -> ArrayRef {
    let physical = sql_type.physical().unwrap_or(PhysicalType::Text);
    let data_type = arrow_type(physical);
    macro_rules! primitive {
        ($array:ty, $variant:path) => {{
            let value = match value {
                Datum::Null => None,
                $variant(v) => Some(*v),
                other => panic!("{other:?} for {sql_type:?}"),
            };
            Arc::new(<$array>::from(vec![value; rows]))
        }};
    }
    let decimal = || match value {
        Datum::Null => None,
        Datum::Decimal { unscaled, .. } => Some(*unscaled),
        other => panic!("{other:?} for {sql_type:?}"),
    };
    match physical {
        PhysicalType::Bool => primitive!(BooleanArray, Datum::Bool),
        PhysicalType::Int16 => primitive!(Int16Array, Datum::Int16),
        PhysicalType::Int32 => primitive!(Int32Array, Datum::Int32),
        PhysicalType::Int64 => primitive!(Int64Array, Datum::Int64),
        PhysicalType::Float32 => primitive!(Float32Array, Datum::Float32),
        PhysicalType::Float64 => primitive!(Float64Array, Datum::Float64),
        PhysicalType::Date => primitive!(Date32Array, Datum::Date),
        PhysicalType::Time => primitive!(Time64MicrosecondArray, Datum::Time),
        PhysicalType::Timestamp => primitive!(TimestampMicrosecondArray, Datum::Timestamp),
        PhysicalType::TimestampTz => {
            let value = match value {
                Datum::Null => None,
                Datum::TimestampTz(v) => Some(*v),
                other => panic!("{other:?}"),
            };
            Arc::new(TimestampMicrosecondArray::from(vec![value; rows]).with_data_type(data_type))
        }
        PhysicalType::Decimal64 { .. } => {
            Arc::new(Decimal64Array::from(vec![decimal().map(|v| v as i64); rows]).with_data_type(data_type))
        }
        PhysicalType::Decimal128 { .. } => {
            Arc::new(Decimal128Array::from(vec![decimal(); rows]).with_data_type(data_type))
        }
        PhysicalType::Text => {
            let mut builder = StringViewBuilder::new();
            for _ in 0..rows {
                builder.append_option(match value {
                    Datum::Text(text) => Some(text),
                    _ => None,
                });
            }
            Arc::new(builder.finish())
        }
        PhysicalType::Bytes | PhysicalType::Numeric => {
            let mut builder = BinaryViewBuilder::new();
            for _ in 0..rows {
                builder.append_option(match value {
                    Datum::Bytes(bytes) => Some(bytes.as_slice()),
                    Datum::Numeric(numeric) => Some(numeric.as_bytes()),
                    _ => None,
                });
            }
            Arc::new(builder.finish())
        }
        PhysicalType::Interval => {
            let value = match value {
                Datum::Interval(i) => Some(IntervalMonthDayNano::new(i.months, i.days, i.micros * 1000)),
                _ => None,
            };
            Arc::new(IntervalMonthDayNanoArray::from(vec![value; rows]))
        }
        PhysicalType::Uuid => {
            let mut builder = FixedSizeBinaryBuilder::new(16);
            for _ in 0..rows {
                match value {
                    Datum::Uuid(uuid) => builder.append_value(uuid).unwrap(),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
    }
}

fn batch(arrays: Vec<ArrayRef>) -> RecordBatch {
    let fields: Vec<Field> = arrays.iter().map(|array| Field::new("", array.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn integers(from: i32, to: i32) -> RecordBatch {
    assert_eq!(arrow_type(PhysicalType::Int32), DataType::Int32);
    batch(vec![Arc::new(Int32Array::from_iter_values(from..to))])
}

impl Session {
    fn plan(&self, text: &str, types: &[Option<Oid>]) -> Result<Plan> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut plan = Plan { text: text.into(), parameters: Vec::new(), columns: None };
        match word {
            "syntax" => return Err(Error::syntax("syntax error at or near \"syntax\"").with_position(1)),
            "rows" | "returning" | "big" | "slow" | "twice" | "broken" => {
                plan.columns = Some(vec![column("n", SqlType::Int4)])
            }
            "echo" => {
                plan.parameters = rest.split_whitespace().map(type_named).collect();
                plan.columns = Some(plan.parameters.iter().map(|t| column("echo", t.clone())).collect());
                assert!(types.iter().zip(&plan.parameters).all(|(t, p)| t.is_none_or(|t| t == p.oid())));
            }
            _ => {}
        }
        if self.status == TransactionStatus::Failed && !matches!(word, "commit" | "rollback") {
            return Err(Error::invalid(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(plan)
    }

    async fn run(&mut self, plan: &Plan, parameters: Vec<Datum>) -> Result<Execution> {
        self.log.add(format!("execute {}", plan.text));
        let (word, rest) = plan.text.split_once(' ').unwrap_or((&plan.text, ""));
        let count = || rest.parse::<i32>().map_err(|_| Error::syntax("a number is wanted"));
        self.implicit = self.status == TransactionStatus::Idle;
        let columns: Arc<[ResultColumn]> = plan.columns.clone().unwrap_or_default().into();
        let rows = |rows, tag| Ok(Execution::Rows { columns: columns.clone(), rows, tag });
        match word {
            "" => Ok(Execution::Empty),
            "begin" => {
                (self.status, self.implicit) = (TransactionStatus::InTransaction, false);
                Ok(Execution::Done("BEGIN".into()))
            }
            "commit" | "rollback" => {
                let done = self.status != TransactionStatus::Failed && word == "commit";
                self.status = TransactionStatus::Idle;
                self.portals.clear();
                Ok(Execution::Done(if done { "COMMIT" } else { "ROLLBACK" }.into()))
            }
            "insert" => Ok(Execution::Done("INSERT 0 1".into())),
            "late" => {
                self.fail_commit = true;
                Ok(Execution::Done("INSERT 0 1".into()))
            }
            "set" => {
                self.parameters.push(("application_name".into(), rest.into()));
                Ok(Execution::Done("SET".into()))
            }
            "notice" => {
                let error = Error::new(ErrorKind::Invalid, SqlState::SUCCESSFUL_COMPLETION, "mind the gap");
                self.notices.push(Notice { severity: "NOTICE", error: Arc::new(error) });
                Ok(Execution::Done("NOTICE".into()))
            }
            "error" => Err(Error::conflict(SqlState::UNIQUE_VIOLATION, "duplicate key value")
                .with_detail("Key (id)=(1) already exists.")
                .with_hint("Choose another.")
                .with_schema("public")
                .with_table("t")
                .with_column("id")
                .with_constraint("t_pkey")
                .with_position(7)),
            "panic" => panic!("on purpose"),
            "rows" | "returning" => {
                let log = self.log.clone();
                let n = count()?;
                let batches = stream::iter((0..n).step_by(1000)).map(move |from| {
                    log.batches.fetch_add(1, Ordering::SeqCst);
                    Ok(integers(from, n.min(from + 1000)))
                });
                rows(batches.boxed(), RowsTag::Counted(if word == "rows" { "SELECT" } else { "INSERT 0" }))
            }
            // Wide and long: far more than any buffer between here and the client.
            "big" => {
                let log = self.log.clone();
                let batches = stream::iter(0..count()?).map(move |_| {
                    log.batches.fetch_add(1, Ordering::SeqCst);
                    Ok(integers(0, 10_000))
                });
                rows(batches.boxed(), RowsTag::Counted("SELECT"))
            }
            // A row, and then nothing until cancelled.
            "slow" => {
                let cancel = self.cancel.clone();
                cancel.asked.store(false, Ordering::SeqCst);
                let rest = stream::once(async move { Err(cancel.cancelled().await) });
                rows(stream::iter([Ok(integers(0, 1))]).chain(rest).boxed(), RowsTag::Counted("SELECT"))
            }
            // Waits inside execute.
            "wait" => {
                self.cancel.asked.store(false, Ordering::SeqCst);
                Err(self.cancel.cancelled().await)
            }
            "pause" => {
                tokio::time::sleep(Duration::from_millis(count()? as u64)).await;
                Ok(Execution::Done("PAUSE".into()))
            }
            "broken" => {
                let error = Err(Error::invalid(SqlState::DIVISION_BY_ZERO, "division by zero"));
                rows(stream::iter([Ok(integers(0, 3)), error]).boxed(), RowsTag::Counted("SELECT"))
            }
            "echo" => {
                let arrays = parameters.iter().zip(&plan.parameters).map(|(v, t)| array_of(v, t, 1)).collect();
                rows(stream::iter([Ok(batch(arrays))]).boxed(), RowsTag::Counted("SELECT"))
            }
            "copyin" => Ok(Execution::CopyIn(Box::new(Sink { log: self.log.clone(), rows: 0 }))),
            "copyout" => {
                let log = self.log.clone();
                let chunks = stream::iter(0..count()?).map(move |at| {
                    log.batches.fetch_add(1, Ordering::SeqCst);
                    let data: Bytes = format!("{at}\n").into();
                    Ok(CopyChunk { ends: vec![data.len()], data, rows: 1 })
                });
                Ok(Execution::CopyOut { format: CopyFormat { binary: false, columns: 1 }, chunks: chunks.boxed() })
            }
            other => Err(Error::syntax(format!("syntax error at or near \"{other}\""))),
        }
    }
}

struct Sink {
    log: Arc<Log>,
    rows: u64,
}

impl CopyIn for Sink {
    fn format(&self) -> CopyFormat {
        CopyFormat { binary: false, columns: 2 }
    }

    fn data<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        async move {
            if chunk.starts_with(b"bad") {
                return Err(Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, "missing data for column \"b\""));
            }
            self.rows += chunk.iter().filter(|&&b| b == b'\n').count() as u64;
            self.log.copied.lock().extend_from_slice(&chunk);
            Ok(())
        }
        .boxed()
    }

    fn done(self: Box<Self>) -> BoxFuture<'static, Result<u64>> {
        let rows = self.rows;
        async move { Ok(rows) }.boxed()
    }

    fn abandon(self: Box<Self>, reason: String) {
        self.log.add(format!("abandon {reason}"));
    }
}

impl SqlSession for Session {
    fn parse_script(&mut self, sql: &str) -> Result<Vec<Box<dyn Script>>> {
        if sql.contains("syntax") {
            return Err(Error::syntax("syntax error at or near \"syntax\"").with_position(1));
        }
        let words = sql.split(';').map(str::trim).filter(|word| !word.is_empty());
        Ok(words.map(|word| Box::new(Word(word.into())) as Box<dyn Script>).collect())
    }

    fn prepare<'a>(&'a mut self, sql: &'a str, types: &'a [Option<Oid>]) -> BoxFuture<'a, Result<Arc<dyn Prepared>>> {
        async move { Ok(Arc::new(self.plan(sql.trim(), types)?) as Arc<dyn Prepared>) }.boxed()
    }

    fn prepare_script<'a>(&'a mut self, statement: &'a dyn Script) -> BoxFuture<'a, Result<Arc<dyn Prepared>>> {
        let text = statement.as_any().downcast_ref::<Word>().unwrap().0.clone();
        async move { Ok(Arc::new(self.plan(&text, &[])?) as Arc<dyn Prepared>) }.boxed()
    }

    fn named_statement(&self, name: &str) -> Option<Arc<dyn Prepared>> {
        self.named.get(name).cloned()
    }

    fn keep_statement(&mut self, name: &str, _sql: &str, statement: Arc<dyn Prepared>) -> Result<()> {
        self.named.insert(name.to_owned(), statement);
        Ok(())
    }

    fn close_statement(&mut self, name: &str) {
        self.named.remove(name);
    }

    fn execute<'a>(
        &'a mut self,
        statement: &'a Arc<dyn Prepared>,
        parameters: Vec<Datum>,
    ) -> BoxFuture<'a, Result<Execution>> {
        let plan = statement.as_any().downcast_ref::<Plan>().unwrap();
        self.run(plan, parameters).boxed()
    }

    fn bind_portal(&mut self, name: &str, bound: BoundPortal) -> Result<()> {
        if self.portals.contains_key(name) {
            let wrong = format!("cursor \"{name}\" already exists");
            return Err(Error::invalid(SqlState::DUPLICATE_CURSOR, wrong));
        }
        self.portals.insert(name.to_owned(), Portal { bound, rows: None, left: None });
        Ok(())
    }

    fn portal(&self, name: &str) -> Option<PortalShape> {
        let bound = &self.portals.get(name)?.bound;
        Some(PortalShape { columns: bound.statement.columns().map(Arc::from), binary: bound.binary.clone() })
    }

    fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }

    fn run_portal<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<PortalRun>> {
        async move {
            let wrong = || Error::invalid(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"));
            let mut portal = self.portals.remove(name).ok_or_else(wrong)?;
            if portal.rows.is_none() {
                let statement = portal.bound.statement.clone();
                let parameters = std::mem::take(&mut portal.bound.parameters);
                match self.execute(&statement, parameters).await? {
                    Execution::Rows { rows, tag, .. } => portal.rows = Some((rows, tag)),
                    other => return Ok(PortalRun::Other(other)),
                }
            }
            let tag = portal.rows.as_ref().unwrap().1.clone();
            self.portals.insert(name.to_owned(), portal);
            Ok(PortalRun::Rows(tag))
        }
        .boxed()
    }

    fn portal_rows<'a>(&'a mut self, name: &'a str, most: u64) -> BoxFuture<'a, Result<Option<RecordBatch>>> {
        async move {
            let portal = self.portals.get_mut(name).unwrap();
            let next = match portal.left.take() {
                Some(left) => Some(left),
                None => portal.rows.as_mut().unwrap().0.next().await.transpose()?,
            };
            let Some(batch) = next else { return Ok(None) };
            let most = most.min(batch.num_rows() as u64) as usize;
            if most < batch.num_rows() {
                portal.left = Some(batch.slice(most, batch.num_rows() - most));
            }
            Ok(Some(batch.slice(0, most)))
        }
        .boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        async move {
            if self.status == TransactionStatus::Idle {
                self.portals.clear();
            }
            if std::mem::take(&mut self.implicit) {
                self.log.add("finish");
            }
            if std::mem::take(&mut self.fail_commit) {
                return Err(Error::retry(SqlState::SERIALIZATION_FAILURE, "could not serialize access"));
            }
            Ok(())
        }
        .boxed()
    }

    fn fail(&mut self, error: &Error) {
        self.log.add(format!("fail {}", error.state()));
        (self.implicit, self.fail_commit) = (false, false);
        self.portals.clear();
        if self.status == TransactionStatus::InTransaction {
            self.status = TransactionStatus::Failed;
        }
    }

    fn status(&self) -> TransactionStatus {
        self.status
    }

    fn output(&self) -> OutputSettings {
        OutputSettings { text: Arc::new(TextContext::default()) }
    }

    fn changed_parameters(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.parameters)
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn take_notifications(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.log.notifications.lock())
    }

    fn notified(&self) -> Option<BoxFuture<'static, ()>> {
        let log = self.log.clone();
        Some(
            async move {
                while log.notifications.lock().is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            .boxed(),
        )
    }

    fn terminated(&self) -> BoxFuture<'static, Error> {
        futures::future::pending().boxed()
    }

    fn idle_limit(&self) -> Option<(Duration, Error)> {
        None
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        *self.cancel.log.lock() = Some(self.log.clone());
        self.cancel.clone()
    }
}
