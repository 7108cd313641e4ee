//! One client's session: settings, transactions, prepared statements, and the dispatch of each statement to whoever runs it.
//!
//! Invariants: an implicit transaction is open only between `execute` and `finish`; a failed explicit one holds nothing at
//! the shard; a statement under READ COMMITTED takes its snapshot after its locks; a plan is used only with the catalog
//! and the settings it was bound with.

mod activity;
mod analyze;
mod cancel;
mod control;
mod controls;
mod current_of;
mod explain;
mod files;
mod identity;
mod literals;
mod lock_table;
mod locks;
mod meter;
mod named;
mod notify;
mod own_syntax;
mod portal_rows;
mod portals;
mod prepare;
mod references;
mod run;
mod savepoint;
mod scram;
mod sequences;
mod set;
mod settings;
mod shared;
mod statement;
mod statement_log;
mod temp;
mod templates;
mod timezones;
mod transaction;
mod utility;

#[cfg(test)]
mod test;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use futures::FutureExt;
use futures::future::BoxFuture;
use heliosdb_contracts::{
    BoundPortal, Canceller, ConnectRequest, Execution, LockWait, Notice, Notification, OutputSettings, PortalRun,
    PortalShape, Prepared, Script, SqlSession, TransactionStatus,
};
use heliosdb_types::{BranchId, Datum, Error, Oid, Result, SqlState, SqlType, TextContext};
use parking_lot::Mutex;

use crate::catalog::{CatalogSnapshot, Database, Role};
use crate::engine::Engine;
use crate::exec::{CancelFlag, TierMark};
use crate::files::FileLooks;
use crate::statistics::{DatabaseCounts, Entry};

pub(crate) use activity::{Activity, Sessions};
pub(crate) use analyze::{take as take_statistics, targets as statistics_targets};
pub(crate) use cancel::{CancelSlot, terminated};
pub(crate) use locks::{Keep, SessionLocks};
pub(crate) use scram::{from_text as scram_from_text, to_text as scram_to_text, verifier_of as scram_verifier_of};
pub(crate) use sequences::{SequenceCache, SessionSequences};
pub(crate) use settings::{
    Name as SettingName, PARAMETERS, Settings, check as check_setting, may_set, parse_bool, unrecognized,
};
pub(crate) use shared::SharedStatements;
pub(crate) use timezones::Zones;

use activity::Seat;
pub(crate) use identity::may_become;
pub(crate) use named::{NamedStatements, no_parameter};
pub(crate) use notify::{Channels, Said};
pub(crate) use own_syntax::{
    AccessStatement, AlterAction, CheckWhat, CommentTarget, CopyOption, CopySource, CopyStatement, CopyTarget,
    CopyValue, DatabaseChange, Grant, GrantKind, GrantRoles, GrantTarget, IdentityChange, Like, LikeOption,
    ReindexTarget, RelationChange, RoleOption, RoleSpec, SequenceOptions, SettingEdit, StatisticsStatement, TableAs,
};
pub(crate) use portals::CursorList;
pub(crate) use prepare::Binding;
pub(crate) use set::{assignment, text_rows};
use settings::{Kind, Parameter, ParsedSettings};
use statement::ScriptStatement;
pub(crate) use statement::{CachedPlan, Parsed, PreparedStatement};
pub(crate) use temp::{TEMP_PREFIX, drop_temp};
use templates::{Templated, type_numbers};
use transaction::State;

/// A setting changed by a function (`set_config`) while its statement runs; the session takes it over afterwards.
#[derive(Debug)]
pub(crate) struct SettingChange {
    pub name: SettingName,
    pub value: String,
    pub local: bool,
}

/// A client's session.
pub(crate) struct Session {
    pub(crate) engine: Arc<Engine>,
    /// The role in force: the session's, or what SET ROLE made of it.
    pub(crate) user: Arc<Role>,
    /// Who the session belongs to: who connected, or what SET SESSION AUTHORIZATION made of them.
    pub(crate) session_user: Arc<Role>,
    /// Who connected.
    pub(crate) login_user: Arc<Role>,
    /// Schemas the user may not look into: of which catalog, for whom, their names.
    pub(crate) hidden: (u64, Oid, Vec<String>),
    /// The values of `session_authorization` and `role` that `session_user` and `user` were taken from.
    pub(crate) roles_from: (String, String),
    /// The version of the settings that named these.
    pub(crate) roles_version: u64,
    pub(crate) database: Arc<Database>,
    pub(crate) branch: BranchId,
    pub(crate) pid: i32,
    pub(crate) peer: Option<std::net::SocketAddr>,
    pub(crate) settings: Settings,
    /// What RESET returns to: defaults and what the client asked for when it connected.
    pub(crate) settings_at_start: Settings,
    /// What the client was last told, by parameter position.
    pub(crate) told: Vec<Option<String>>,
    /// The version of the settings `told` is about.
    pub(crate) told_version: u64,
    /// What values are read and written with, as last asked for, and the version of the settings it was made from.
    text: Mutex<(u64, Arc<TextContext>)>,
    pub(crate) state: State,
    pub(crate) sequences: Arc<SessionSequences>,
    pub(crate) changes: Arc<Mutex<Vec<SettingChange>>>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) cancel: Arc<CancelSlot>,
    pub(crate) locks: Arc<SessionLocks>,
    pub(crate) portals: HashMap<String, portals::Portal>,
    pub(crate) cursor_list: CursorList,
    pub(crate) ears: notify::Ears,
    /// The newest definitions, the search path, and the definitions with types named as that path has them.
    shown_catalog: Option<(Arc<CatalogSnapshot>, Vec<String>, Arc<CatalogSnapshot>)>,
    pub(crate) seat: Seat,
    /// Where the running statement is counted when it has ended.
    pub(crate) counted: Option<Arc<Entry>>,
    /// How transactions of its database ended.
    pub(crate) database_counts: Arc<DatabaseCounts>,
    /// Where the running statement runs.
    pub(crate) tier: TierMark,
    /// What a failure is logged with, and which statement of it runs.
    pub(crate) log_text: Arc<str>,
    pub(crate) log_nth: usize,
    /// It has ended, so that what fails now is something else.
    pub(crate) log_ended: bool,
    log_rules: statement_log::LogRules,
    /// The text of the running statement, for positions in errors.
    pub(crate) statement_text: Arc<str>,
    /// Names the schema of its temporary objects.
    pub(crate) temp_number: u64,
    /// It has made temporary objects.
    pub(crate) has_temp: bool,
    /// Statements that came without parameters, and what they are but for their literals.
    templates: templates::Templates,
    controls: controls::Controls,
    /// Files of the statement being bound.
    pub(crate) files: Arc<FileLooks>,
    /// Statements kept by name; facts show them.
    pub(crate) named: Arc<Mutex<NamedStatements>>,
}

impl Session {
    pub fn connect(engine: Arc<Engine>, request: ConnectRequest) -> Result<Session> {
        let (user, database) = identity::admit(&engine, &request)?;
        let settings = start_settings(&engine, &user, &database, &request.parameters)?;
        let text = TextContext { time_zone: settings.time_zone(), zones: Arc::new(Zones), ..TextContext::default() };
        let text = Mutex::new((settings.version, Arc::new(text)));
        let now = engine.options.clock.now_micros();
        let cancel = Arc::<CancelSlot>::default();
        let locks = SessionLocks::open(Arc::clone(&engine.shard), request.pid, database.id);
        let tier = TierMark::default();
        let seat = engine.sessions.join(Activity {
            pid: request.pid,
            owner: locks.owner,
            canceller: Arc::clone(&cancel),
            user: (user.oid, user.name.clone()),
            database: (database.oid, database.name.clone()),
            application_name: settings.get("application_name").to_owned(),
            peer: request.peer,
            backend_start_micros: now,
            xact_start_micros: None,
            query_start_micros: None,
            state_change_micros: now,
            state: "idle",
            query: Arc::from(""),
            query_id: None,
            xid: None,
            tier: tier.clone(),
        });
        Ok(Session {
            sequences: Arc::new(SessionSequences::new(Arc::clone(&engine.shard), Arc::clone(&engine.sequences))),
            database_counts: engine.statistics.database(database.id),
            hidden: (0, user.oid, Vec::new()),
            roles_from: (user.name.clone(), "none".to_owned()),
            roles_version: 0,
            session_user: Arc::clone(&user),
            login_user: Arc::clone(&user),
            user,
            database,
            branch: BranchId(0),
            pid: request.pid,
            peer: request.peer,
            settings_at_start: settings.clone(),
            settings,
            told: vec![None; PARAMETERS.len()],
            told_version: 0,
            text,
            state: State::Idle,
            changes: Arc::default(),
            notices: Vec::new(),
            cancel,
            locks,
            portals: HashMap::new(),
            cursor_list: CursorList::default(),
            ears: notify::Ears::default(),
            shown_catalog: None,
            seat,
            templates: templates::Templates::default(),
            controls: controls::Controls::default(),
            named: Arc::default(),
            files: Arc::default(),
            counted: None,
            tier,
            log_text: Arc::from(""),
            log_nth: 0,
            log_ended: true,
            log_rules: statement_log::LogRules::default(),
            statement_text: Arc::from(""),
            temp_number: engine.temp_numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            has_temp: false,
            engine,
        })
    }

    pub(crate) fn now_micros(&self) -> i64 {
        self.engine.options.clock.now_micros()
    }

    pub(crate) fn lock_wait(&self) -> LockWait {
        LockWait {
            timeout: self.settings.parsed.lock_timeout,
            deadlock_after: self.settings.parsed.deadlock_timeout.unwrap_or(Duration::from_secs(1)),
            ..LockWait::default()
        }
    }

    pub(crate) fn text_context(&self) -> Arc<TextContext> {
        let now_micros = self.state.open().map_or_else(|| self.now_micros(), |transaction| transaction.start_micros);
        let mut kept = self.text.lock();
        let (version, context) = &mut *kept;
        if *version != self.settings.version {
            let time_zone = self.settings.time_zone();
            (*version, *context) = (self.settings.version, Arc::new(TextContext { time_zone, ..(**context).clone() }));
        }
        if context.now_micros != now_micros {
            // Copied only while a statement still holds it.
            Arc::make_mut(context).now_micros = now_micros;
        }
        Arc::clone(context)
    }

    /// Tells the client something; `client_min_messages` decides whether it arrives.
    pub(crate) fn notice(&mut self, severity: &'static str, error: Error) {
        let rank = |level: &str| match level {
            "error" => 2,
            "warning" | "WARNING" => 1,
            _ => 0,
        };
        if rank(severity) >= rank(self.settings.get("client_min_messages")) {
            self.notices.push(Notice { severity, error: Arc::new(error) });
        }
    }

    pub(crate) fn notice_text(&mut self, state: SqlState, message: impl Into<String>) {
        self.notice("NOTICE", Error::invalid(state, message));
    }

    pub(crate) fn warning(&mut self, state: SqlState, message: impl Into<String>) {
        self.notice("WARNING", Error::invalid(state, message));
    }

    /// Puts a fresh flag where the canceller finds it, and a timer behind it if `statement_timeout` is set.
    pub(crate) fn start_cancellable(&self) -> Running {
        let flag = CancelFlag::default();
        self.cancel.run(&flag);
        self.locks.statement(self.lock_wait(), flag.clone());
        let timer = self.settings.parsed.statement_timeout.map(|timeout| self.start_timer(timeout, flag.clone()));
        Running { flag, timer, slot: Arc::clone(&self.cancel) }
    }

    fn start_timer(&self, timeout: Duration, flag: CancelFlag) -> heliosdb_runtime::Task<()> {
        let sleep = self.engine.options.clock.sleep(timeout);
        heliosdb_runtime::Spawner::on(self.engine.options.analytics.clone()).task(async move {
            sleep.await;
            flag.time_out();
        })
    }

    fn show_active(&self, query: &Arc<str>, query_id: Option<i64>) {
        let now = self.now_micros();
        // Without a transaction the statement is about to open one.
        let xact_start = self.state.open().map_or(now, |transaction| transaction.start_micros);
        let xid = self.state.open().and_then(|transaction| transaction.id);
        self.seat.update(|activity| {
            activity.xid = xid;
            activity.state = "active";
            activity.state_change_micros = now;
            activity.xact_start_micros = Some(xact_start);
            activity.query = Arc::clone(query);
            activity.query_id = query_id;
            activity.query_start_micros = Some(now);
        });
    }

    pub(crate) fn session_status(&self) -> TransactionStatus {
        match &self.state {
            State::Open(transaction) if transaction.explicit => TransactionStatus::InTransaction,
            State::Idle | State::Open(_) => TransactionStatus::Idle,
            State::Failed(_) => TransactionStatus::Failed,
        }
    }

    fn show_idle(&mut self) {
        self.log_ended = true;
        let state = match self.status() {
            TransactionStatus::Idle => "idle",
            TransactionStatus::InTransaction => "idle in transaction",
            TransactionStatus::Failed => "idle in transaction (aborted)",
        };
        let now = self.now_micros();
        let xact_start = self.state.open().map(|transaction| transaction.start_micros);
        let xid = self.state.open().and_then(|transaction| transaction.id);
        self.seat.update(|activity| {
            activity.xid = xid;
            activity.state = state;
            activity.state_change_micros = now;
            activity.xact_start_micros = xact_start;
        });
    }
}

/// A running statement's stop flag; its timer and its place at the canceller go with it.
pub(crate) struct Running {
    pub flag: CancelFlag,
    timer: Option<heliosdb_runtime::Task<()>>,
    slot: Arc<CancelSlot>,
}

impl Running {
    /// Takes the canceller's place back, after other statements of ours ran in between.
    pub fn again(self) -> Running {
        self.slot.run(&self.flag);
        self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(timer) = &self.timer {
            timer.abort();
        }
        self.slot.ended();
    }
}

fn start_settings(
    engine: &Engine,
    user: &Role,
    database: &Database,
    parameters: &[(String, String)],
) -> Result<Settings> {
    let mut settings = Settings::new();
    settings.put_known("server_version", format!("15.0 (HeliosDB {})", engine.options.version));
    settings.put_known("max_connections", engine.options.sessions_max.to_string());
    settings.put_known("superuser_reserved_connections", engine.options.sessions_reserved.to_string());
    for (name, value) in &engine.options.settings {
        settings.put_known(name, value.clone());
    }
    settings.put_known("session_authorization", user.name.clone());
    settings.put_known("is_superuser", if user.superuser { "on" } else { "off" });
    for (name, value) in identity::settings_of(user, database) {
        // What an older version accepted must not lock anybody out.
        let _ = set_at_start(&mut settings, &name, &value);
    }
    for (name, value) in parameters {
        if name == "options" {
            for (name, value) in command_line_options(value)? {
                may_set(&SettingName::of(&name)?, user)?;
                set_at_start(&mut settings, &name, &value)?;
            }
        } else if !name.starts_with("_pq_.") && name != "replication" {
            may_set(&SettingName::of(name)?, user)?;
            set_at_start(&mut settings, name, value)?;
        } else if name == "replication" && settings::parse_bool(value) != Some(false) {
            return Err(Error::unsupported("a replication connection"));
        }
    }
    Ok(settings)
}

fn set_at_start(settings: &mut Settings, name: &str, value: &str) -> Result<()> {
    let parameter = SettingName::of(name)?;
    if parameter.known().is_some_and(|parameter| matches!(parameter.kind, Kind::Role)) {
        return Err(Error::unsupported(format!("\"{name}\" as a connection or start-up setting")));
    }
    let value = check_setting(&parameter, value)?;
    settings.fits(&parameter, &value)?;
    settings.give(&parameter, value);
    Ok(())
}

/// `-c name=value` and `--name=value`, as libpq's `options` carries them.
fn command_line_options(text: &str) -> Result<Vec<(String, String)>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut out = Vec::new();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next()
        } else {
            word.strip_prefix("-c").or_else(|| word.strip_prefix("--")).map(str::to_owned)
        };
        let pair = assignment.as_deref().and_then(|assignment| assignment.split_once('='));
        let Some((name, value)) = pair else {
            return Err(Error::unsupported(format!("command-line option \"{word}\"")));
        };
        out.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(out)
}

impl SqlSession for Session {
    fn parse_script(&mut self, sql: &str) -> Result<Vec<Box<dyn Script>>> {
        if let Some(control) = self.controls.get(sql) {
            (self.log_text, self.log_ended) = (Arc::clone(control.text()), false);
            return Ok(vec![Box::new(control)]);
        }
        if let Some(templated) = self.templated(sql) {
            (self.log_text, self.log_ended) = (Arc::clone(&templated.text), false);
            return Ok(vec![Box::new(ScriptStatement::Templated(Arc::new(templated)))]);
        }
        let text: Arc<str> = Arc::from(sql);
        (self.log_text, self.log_ended) = (Arc::clone(&text), false);
        let statements: Vec<_> = own_syntax::parse_script(sql)?.into_iter().map(Arc::new).collect();
        if let [only] = &statements[..] {
            self.controls.keep(&text, only);
        }
        let again = statements.len() == 1 && self.comes_again(sql);
        let script = statements.into_iter().enumerate().map(|(nth, parsed)| {
            Box::new(ScriptStatement::Parsed { parsed, text: Arc::clone(&text), nth, again }) as Box<dyn Script>
        });
        Ok(script.collect())
    }

    fn prepare<'a>(
        &'a mut self,
        sql: &'a str,
        parameter_types: &'a [Option<Oid>],
    ) -> BoxFuture<'a, Result<Arc<dyn Prepared>>> {
        async move {
            if let Some(prepared) = self.prepared_before(sql, parameter_types) {
                (self.log_text, self.log_ended) = (Arc::clone(&prepared.text), false);
                return Ok(prepared as Arc<dyn Prepared>);
            }
            let text: Arc<str> = Arc::from(sql);
            (self.log_text, self.log_ended) = (Arc::clone(&text), false);
            if let Some(prepared) = self.shared_statement(&text, type_numbers(parameter_types)) {
                let prepared = Arc::new(prepared);
                self.remember_prepared(parameter_types, &prepared);
                return Ok(prepared as Arc<dyn Prepared>);
            }
            let mut statements = own_syntax::parse_script(sql)?;
            if statements.len() > 1 {
                return Err(Error::syntax("cannot insert multiple commands into a prepared statement"));
            }
            let declared = parameter_types.iter().map(|oid| self.declared_type(*oid)).collect::<Result<Vec<_>>>()?;
            let parsed = statements.pop().map(Arc::new);
            let prepared = Arc::new(self.prepare_parsed(parsed, text, 0, declared).await?);
            if self.remember_prepared(parameter_types, &prepared) {
                self.share_statement(type_numbers(parameter_types), &prepared);
            }
            Ok(prepared as Arc<dyn Prepared>)
        }
        .boxed()
    }

    fn prepare_script<'a>(&'a mut self, statement: &'a dyn Script) -> BoxFuture<'a, Result<Arc<dyn Prepared>>> {
        async move {
            let statement = statement.as_any().downcast_ref::<ScriptStatement>();
            let statement = statement.ok_or_else(|| Error::internal("a statement of another session"))?;
            let (parsed, text, nth, again) = match statement {
                ScriptStatement::Templated(templated) => return Ok(Arc::clone(templated) as Arc<dyn Prepared>),
                ScriptStatement::Parsed { parsed, text, nth, again } => (Some(Arc::clone(parsed)), text, *nth, *again),
            };
            (self.log_text, self.log_ended) = (Arc::clone(text), false);
            let prepared = self.prepare_parsed(parsed, Arc::clone(text), nth, Vec::new()).await;
            let prepared = prepared.map_err(|error| match error.state() {
                SqlState::INDETERMINATE_DATATYPE if text.contains('$') => named::no_parameter(text),
                _ => error,
            })?;
            if !prepared.parameters.is_empty() {
                return Err(named::no_parameter(text));
            }
            let prepared = Arc::new(prepared);
            if again {
                self.remember_prepared(&[], &prepared);
            }
            Ok(prepared as Arc<dyn Prepared>)
        }
        .boxed()
    }

    fn named_statement(&self, name: &str) -> Option<Arc<dyn Prepared>> {
        self.named.lock().get(name).map(|named| Arc::clone(&named.prepared))
    }

    fn keep_statement(&mut self, name: &str, sql: &str, statement: Arc<dyn Prepared>) -> Result<()> {
        self.keep_named(name, sql, statement, false)
    }

    fn close_statement(&mut self, name: &str) {
        self.named.lock().remove(name);
    }

    fn execute<'a>(
        &'a mut self,
        statement: &'a Arc<dyn Prepared>,
        parameters: Vec<Datum>,
    ) -> BoxFuture<'a, Result<Execution>> {
        async move {
            if let Some(templated) = statement.as_any().downcast_ref::<Templated>() {
                let (prepared, text) = (&templated.prepared, &templated.text);
                let outcome = self.execute_metered(prepared, Some(text), templated.values.clone()).await;
                return match outcome {
                    // Its table changed while it waited for it: nothing has run, and the client knows of no plan.
                    Err(error) if prepare::is_other_result(&error) => Box::pin(self.execute_anew(text)).await,
                    outcome => outcome,
                };
            }
            let prepared = statement.as_any().downcast_ref::<PreparedStatement>();
            let prepared = prepared.ok_or_else(|| Error::internal("a statement of another session"))?;
            self.execute_metered(prepared, None, parameters).await
        }
        .boxed()
    }

    fn bind_portal(&mut self, name: &str, portal: BoundPortal) -> Result<()> {
        self.make_portal(name, portal)
    }

    fn shows_binary(&self, statement: &Arc<dyn Prepared>) -> bool {
        self.fetches_binary(statement)
    }

    fn portal(&self, name: &str) -> Option<PortalShape> {
        self.portal_shape(name)
    }

    fn close_portal(&mut self, name: &str) {
        self.forget_portal(name);
    }

    fn run_portal<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<PortalRun>> {
        self.start_portal(name).boxed()
    }

    fn portal_rows<'a>(&'a mut self, name: &'a str, most: u64) -> BoxFuture<'a, Result<Option<RecordBatch>>> {
        self.next_portal_rows(name, most).boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        async move {
            let outcome = self.finish_implicit().await;
            self.show_idle();
            // What the commit met is about the statement.
            self.log_ended = outcome.is_ok();
            outcome
        }
        .boxed()
    }

    fn fail(&mut self, error: &Error) {
        self.log_failure(error);
        if error.state() == SqlState::DEADLOCK_DETECTED {
            DatabaseCounts::add(&self.database_counts.deadlocks);
        }
        self.fail_transaction();
        self.show_idle();
    }

    fn status(&self) -> TransactionStatus {
        self.session_status()
    }
    fn output(&self) -> OutputSettings {
        OutputSettings { text: self.text_context() }
    }

    fn changed_parameters(&mut self) -> Vec<(String, String)> {
        self.take_changes();
        if std::mem::replace(&mut self.told_version, self.settings.version) == self.settings.version {
            return Vec::new();
        }
        let reported = PARAMETERS.iter().enumerate().filter(|(_, parameter)| parameter.report);
        let mut changed = Vec::new();
        for (position, parameter) in reported {
            let value = self.settings.value(position);
            if let Some(told) = self.told.get_mut(position)
                && told.as_deref() != Some(value)
            {
                *told = Some(value.to_owned());
                changed.push((parameter.name.to_owned(), value.to_owned()));
            }
        }
        changed
    }

    fn take_notifications(&mut self) -> Vec<Notification> {
        self.arrived()
    }

    fn notified(&self) -> Option<BoxFuture<'static, ()>> {
        self.arriving()
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        Arc::clone(&self.cancel) as Arc<dyn Canceller>
    }

    fn terminated(&self) -> BoxFuture<'static, Error> {
        self.when_terminated()
    }

    fn idle_limit(&self) -> Option<(Duration, Error)> {
        self.idle_time_left()
    }
}

impl Session {
    /// The type a client declared for a parameter; `None` asks for inference.
    fn declared_type(&mut self, oid: Option<Oid>) -> Result<Option<SqlType>> {
        let oid = match oid {
            None | Some(Oid(0 | 705)) => return Ok(None),
            Some(oid) => oid,
        };
        let found = match SqlType::from_oid(oid) {
            Some(found) => Some(found),
            None => self.catalog()?.type_of_oid(oid),
        };
        let missing = || Error::invalid(SqlState::UNDEFINED_OBJECT, format!("type with OID {oid} does not exist"));
        found.map(Some).ok_or_else(missing)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.abandon_transaction();
        self.unlisten_now(|_| true);
        self.leave_temp();
        self.engine.statistics.usages.add(self.database.id, self.tier.tally());
    }
}
