//! Run-time parameters: which exist, which values we implement, what a session has them set to.
//!
//! Invariant: nothing is accepted and ignored. A parameter whose other values change nothing here is refused (0A000) for
//! those values, and an unknown one is 42704. An application's own parameters have a dot in their names (`app.tenant`): they may be
//! anything, mean nothing to us, and are there for policies, views and defaults to ask for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use heliosdb_contracts::IsolationLevel;
use heliosdb_types::{Error, Result, SqlState, TimeZone};

use super::timezones::session_zone;
use crate::catalog::Role;

/// How a parameter's value is checked and written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Bool,
    /// A boolean of which only one value is implemented.
    OnlyBool(bool),
    /// Milliseconds with an optional unit.
    Millis,
    /// Kilobytes with an optional unit.
    KiloBytes,
    /// The same, or -1.
    MillisOrOff,
    Integer {
        min: i64,
        max: i64,
        /// Values below are understood but not implemented.
        implemented_from: i64,
    },
    Text,
    Names,
    /// The first `implemented` of these are implemented.
    Enum {
        values: &'static [&'static str],
        implemented: usize,
    },
    DateStyle,
    Encoding,
    Zone,
    /// A role's name; who may take it on is checked where it is set.
    Role,
    /// Cannot be changed.
    Internal,
}

/// A known parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub name: &'static str,
    pub default: &'static str,
    pub kind: Kind,
    /// The client is told of changes (ParameterStatus).
    pub report: bool,
    pub description: &'static str,
}

impl Parameter {
    pub fn is_internal(&self) -> bool {
        matches!(self.kind, Kind::Internal)
    }

    /// Only superusers set it: it is about what others see or the server keeps.
    pub fn needs_superuser(&self) -> bool {
        self.name.starts_with("log_") || self.name == "file_directories"
    }

    /// As `pg_settings.vartype` says it.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Bool | Kind::OnlyBool(_) => "bool",
            Kind::Millis | Kind::MillisOrOff | Kind::KiloBytes | Kind::Integer { .. } => "integer",
            Kind::Enum { .. } => "enum",
            Kind::Text | Kind::Names | Kind::DateStyle | Kind::Encoding | Kind::Zone | Kind::Role | Kind::Internal => {
                "string"
            }
        }
    }
}

/// As in `log_min_error_statement`'s list.
const LOG_LEVELS: &[&str] =
    &["debug5", "debug4", "debug3", "debug2", "debug1", "info", "notice", "warning", "error", "log", "fatal", "panic"];

macro_rules! parameters {
    ($($name:literal = $default:literal, $kind:expr, $report:literal, $description:literal;)*) => {
        /// In the order SHOW ALL prints them.
        pub(crate) static PARAMETERS: &[Parameter] = &[$(Parameter {
            name: $name, default: $default, kind: $kind, report: $report, description: $description,
        }),*];
    };
}

const MESSAGE_LEVELS: &[&str] =
    &["notice", "warning", "error", "debug5", "debug4", "debug3", "debug2", "debug1", "log", "info", "debug"];

parameters! {
    "admission_timeout" = "5min", Kind::Millis, false,
        "Sets how long a query waits for others to end before it may compute.";
    "application_name" = "", Kind::Text, true, "Sets the application name to be reported in statistics and logs.";
    "block_size" = "8192", Kind::Internal, false, "Shows the size of a disk block.";
    "bytea_output" = "hex", Kind::Enum { values: &["hex", "escape"], implemented: 1 }, false,
        "Sets the output format for bytea.";
    "check_function_bodies" = "on", Kind::Bool, false, "Check routine bodies during CREATE FUNCTION and CREATE PROCEDURE.";
    "client_encoding" = "UTF8", Kind::Encoding, true, "Sets the client's character set encoding.";
    "client_min_messages" = "notice", Kind::Enum { values: MESSAGE_LEVELS, implemented: 3 }, false,
        "Sets the message levels that are sent to the client.";
    "DateStyle" = "ISO, MDY", Kind::DateStyle, true, "Sets the display format for date and time values.";
    "deadlock_timeout" = "1s", Kind::Millis, false, "Sets the time to wait on a lock before checking for deadlock.";
    "default_statistics_target" = "100", Kind::Integer { min: 1, max: 10_000, implemented_from: 1 }, false,
        "Sets the default statistics target.";
    "default_table_access_method" = "heap", Kind::Enum { values: &["heap"], implemented: 1 }, false,
        "Sets the default table access method for new tables.";
    "default_tablespace" = "", Kind::Enum { values: &["", "pg_default"], implemented: 2 }, false,
        "Sets the default tablespace to create tables and indexes in.";
    "default_toast_compression" = "lz4", Kind::Internal, false, "Sets the default compression method for compressible values.";
    "default_transaction_deferrable" = "off", Kind::Bool, false, "Sets the default deferrable status of new transactions.";
    "default_transaction_isolation" = "read committed", Kind::Enum {
        values: &["read committed", "repeatable read", "read uncommitted", "serializable"], implemented: 4,
    }, false, "Sets the transaction isolation level of each new transaction.";
    "default_transaction_read_only" = "off", Kind::Bool, true, "Sets the default read-only status of new transactions.";
    "enable_shortpath" = "on", Kind::Bool, false,
        "Enables running statements about one row on the session's own task, without the optimiser.";
    "escape_string_warning" = "on", Kind::OnlyBool(true), false, "Warn about backslash escapes in ordinary string literals.";
    "extra_float_digits" = "1", Kind::Integer { min: -15, max: 3, implemented_from: 1 }, false,
        "Sets the number of digits displayed for floating-point values.";
    "file_directories" = "", Kind::Text, false,
        "Directories of the server, separated by commas, whose files every role may read in FROM.";
    "idle_in_transaction_session_timeout" = "0", Kind::Millis, false,
        "Sets the maximum allowed idle time between queries, when in a transaction.";
    "idle_session_timeout" = "0", Kind::Millis, false,
        "Sets the maximum allowed idle time between queries, when not in a transaction.";
    "in_hot_standby" = "off", Kind::Internal, true, "Shows whether hot standby is currently active.";
    "integer_datetimes" = "on", Kind::Internal, true, "Shows whether datetimes are integer based.";
    "IntervalStyle" = "postgres", Kind::Enum {
        values: &["postgres", "postgres_verbose", "sql_standard", "iso_8601"], implemented: 1,
    }, true, "Sets the display format for interval values.";
    "is_superuser" = "on", Kind::Internal, true, "Shows whether the current user is a superuser.";
    "join_order_seed" = "0", Kind::Integer { min: 0, max: i32::MAX as i64, implemented_from: 0 }, false,
        "Draws the order of inner joins at random by this seed instead of choosing it by cost; 0 for the latter.";
    "lc_collate" = "C.UTF-8", Kind::Internal, false, "Shows the collation order locale.";
    "lc_ctype" = "C.UTF-8", Kind::Internal, false, "Shows the character classification and case conversion locale.";
    "lc_messages" = "C", Kind::Enum { values: &["C"], implemented: 1 }, false, "Sets the language in which messages are displayed.";
    "lock_timeout" = "0", Kind::Millis, false, "Sets the maximum allowed duration of any wait for a lock.";
    "log_min_duration_statement" = "-1", Kind::MillisOrOff, false,
        "Sets the minimum execution time above which all statements will be logged.";
    "log_min_error_statement" = "error", Kind::Enum { values: LOG_LEVELS, implemented: 12 }, false,
        "Causes all statements generating error at or above this level to be logged.";
    "log_statement" = "none", Kind::Enum { values: &["none", "ddl", "mod", "all"], implemented: 4 }, false,
        "Sets the type of statements logged.";
    "max_connections" = "", Kind::Internal, false, "Shows the maximum number of concurrent connections.";
    "max_identifier_length" = "63", Kind::Internal, false, "Shows the maximum identifier length.";
    "max_index_keys" = "32", Kind::Internal, false, "Shows the maximum number of index keys.";
    "password_encryption" = "scram-sha-256", Kind::Enum { values: &["scram-sha-256", "md5"], implemented: 1 }, false,
        "Chooses the algorithm for encrypting passwords.";
    "query_memory" = "0", Kind::KiloBytes, false,
        "Sets the most memory that a statement's operators hold together before they write to disk; 0 for all that queries may use.";
    "quote_all_identifiers" = "off", Kind::OnlyBool(false), false, "When generating SQL fragments, quote all identifiers.";
    "role" = "none", Kind::Role, false, "Sets the current role.";
    "row_security" = "on", Kind::Bool, false, "Enable row security.";
    "search_path" = "\"$user\", public", Kind::Names, false,
        "Sets the schema search order for names that are not schema-qualified.";
    "server_encoding" = "UTF8", Kind::Internal, true, "Shows the server (database) character set encoding.";
    "server_version" = "15.0", Kind::Internal, true, "Shows the server version.";
    "server_version_num" = "150000", Kind::Internal, false, "Shows the server version as an integer.";
    "session_authorization" = "", Kind::Role, true, "Sets the session user name.";
    "standard_conforming_strings" = "on", Kind::OnlyBool(true), true, "Causes '...' strings to treat backslashes literally.";
    "statement_timeout" = "0", Kind::Millis, false, "Sets the maximum allowed duration of any statement.";
    "superuser_reserved_connections" = "", Kind::Internal, false, "Shows the number of connection slots reserved for superusers.";
    "synchronize_seqscans" = "off", Kind::OnlyBool(false), false, "Enable synchronized sequential scans.";
    "synchronous_commit" = "on", Kind::Enum {
        values: &["on", "local", "off", "remote_write", "remote_apply"], implemented: 2,
    }, false, "Sets the current transaction's synchronization level.";
    "TimeZone" = "UTC", Kind::Zone, true, "Sets the time zone for displaying and interpreting time stamps.";
    "timezone_abbreviations" = "Default", Kind::Enum { values: &["Default"], implemented: 1 }, false,
        "Selects a file of time zone abbreviations.";
    "transaction_deferrable" = "off", Kind::Bool, false,
        "Whether to defer a read-only serializable transaction until it can be executed with no possible serialization failures.";
    "transaction_isolation" = "read committed", Kind::Enum {
        values: &["read committed", "repeatable read", "read uncommitted", "serializable"], implemented: 4,
    }, false, "Sets the current transaction's isolation level.";
    "transaction_read_only" = "off", Kind::Bool, false, "Sets the current transaction's read-only status.";
    "xmloption" = "content", Kind::Enum { values: &["content", "document"], implemented: 1 }, false,
        "Sets whether XML data in implicit parsing and serialization operations is to be considered as documents or content fragments.";
}

/// Which parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The one at this position in [`PARAMETERS`].
    Known(usize),
    /// An application's own, folded.
    Own(Arc<str>),
}

impl Name {
    /// A name in any case: 42704 if it is unknown, 42602 if an application's own cannot be called so.
    pub fn of(name: &str) -> Result<Name> {
        if !name.contains('.') {
            return position(name).map(Name::Known);
        }
        if !name.split('.').all(is_simple) {
            let message = format!("invalid configuration parameter name \"{name}\"");
            let detail = "Custom parameter names must be two or more simple identifiers separated by dots.";
            return Err(Error::invalid(SqlState::INVALID_NAME, message).with_detail(detail));
        }
        Ok(Name::Own(name.to_lowercase().into()))
    }

    pub fn known(&self) -> Option<&'static Parameter> {
        match self {
            Name::Known(position) => PARAMETERS.get(*position),
            Name::Own(_) => None,
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Name::Known(position) => PARAMETERS.get(*position).map_or("", |parameter| parameter.name),
            Name::Own(name) => name,
        }
    }
}

/// Whether it could be an unquoted identifier.
fn is_simple(word: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    word.starts_with(letter) && word.chars().all(|c| letter(c) || c.is_ascii_digit() || c == '$')
}

/// What an application's own parameters may take of a session's memory, names included.
const OWN_BYTES_MAX: usize = 1 << 20;

/// A session's values: of known parameters by position in [`PARAMETERS`], of an application's own by name. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    values: Arc<Vec<String>>,
    own: Arc<BTreeMap<Arc<str>, String>>,
    /// Changes with every change; a cached plan compares it.
    pub version: u64,
    pub parsed: ParsedSettings,
}

/// What every statement or transaction asks for, read from its text once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParsedSettings {
    pub lock_timeout: Option<Duration>,
    pub deadlock_timeout: Option<Duration>,
    pub statement_timeout: Option<Duration>,
    pub admission_timeout: Option<Duration>,
    pub idle_session_timeout: Option<Duration>,
    pub idle_in_transaction_timeout: Option<Duration>,
    pub short_path: bool,
    /// `join_order_seed`, if it is not 0.
    pub join_order_seed: Option<u64>,
    /// Bytes of `query_memory`; `None`: not limited by the session.
    pub query_memory: Option<usize>,
    /// The `default_transaction_...` ones.
    pub isolation: IsolationLevel,
    pub read_only: bool,
    pub deferrable: bool,
}

impl ParsedSettings {
    fn of(settings: &Settings) -> ParsedSettings {
        ParsedSettings {
            lock_timeout: settings.timeout("lock_timeout"),
            deadlock_timeout: settings.timeout("deadlock_timeout"),
            statement_timeout: settings.timeout("statement_timeout"),
            admission_timeout: settings.timeout("admission_timeout"),
            idle_session_timeout: settings.timeout("idle_session_timeout"),
            idle_in_transaction_timeout: settings.timeout("idle_in_transaction_session_timeout"),
            short_path: settings.get("enable_shortpath") == "on",
            join_order_seed: settings.get("join_order_seed").parse().ok().filter(|seed| *seed > 0),
            query_memory: settings.bytes("query_memory"),
            isolation: match settings.get("default_transaction_isolation") {
                "serializable" => IsolationLevel::Serializable,
                "repeatable read" => IsolationLevel::RepeatableRead,
                _ => IsolationLevel::ReadCommitted,
            },
            read_only: settings.get("default_transaction_read_only") == "on",
            deferrable: settings.get("default_transaction_deferrable") == "on",
        }
    }
}

/// The position of a known parameter, by name in any case.
pub(crate) fn position(name: &str) -> Result<usize> {
    let canonical = match name.to_ascii_lowercase().as_str() {
        "session characteristics" => "transaction_isolation",
        "time zone" => "TimeZone",
        _ => name,
    };
    let found = PARAMETERS.iter().position(|parameter| parameter.name.eq_ignore_ascii_case(canonical));
    found.ok_or_else(|| unrecognized(&name.to_ascii_lowercase()))
}

/// 42704.
pub(crate) fn unrecognized(name: &str) -> Error {
    Error::invalid(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

impl Settings {
    pub fn new() -> Settings {
        let values = PARAMETERS.iter().map(|parameter| parameter.default.to_owned()).collect();
        let parsed = ParsedSettings {
            lock_timeout: None,
            deadlock_timeout: None,
            statement_timeout: None,
            admission_timeout: None,
            idle_session_timeout: None,
            idle_in_transaction_timeout: None,
            short_path: true,
            join_order_seed: None,
            query_memory: None,
            isolation: IsolationLevel::ReadCommitted,
            read_only: false,
            deferrable: false,
        };
        let settings = Settings { values: Arc::new(values), own: Arc::default(), version: 1, parsed };
        Settings { parsed: ParsedSettings::of(&settings), ..settings }
    }

    /// Whether both were never changed apart: cheap, and almost always true at the end of a transaction.
    pub fn is_same(&self, other: &Settings) -> bool {
        Arc::ptr_eq(&self.values, &other.values) && Arc::ptr_eq(&self.own, &other.own)
    }

    /// The value of a parameter; `None`: nobody has given an application's own one.
    pub fn of(&self, name: &Name) -> Option<&str> {
        match name {
            Name::Known(position) => Some(self.value(*position)),
            Name::Own(name) => self.own.get(name).map(String::as_str),
        }
    }

    /// 54000 if with this value an application's own parameters would take too much.
    pub fn fits(&self, name: &Name, value: &str) -> Result<()> {
        let Name::Own(name) = name else { return Ok(()) };
        let others =
            self.own.iter().filter(|(other, _)| *other != name).map(|(other, value)| other.len() + value.len());
        if others.sum::<usize>() + name.len() + value.len() <= OWN_BYTES_MAX {
            return Ok(());
        }
        let message = format!("custom parameters take more than {OWN_BYTES_MAX} bytes");
        Err(Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
            .with_hint("Keep what is larger in a table, for instance a temporary one."))
    }

    /// Sets a value that [`check`] and [`Settings::fits`] have approved.
    pub fn give(&mut self, name: &Name, value: String) {
        match name {
            Name::Known(position) => self.put(*position, value),
            Name::Own(name) if self.own.get(name) == Some(&value) => {}
            Name::Own(name) => {
                Arc::make_mut(&mut self.own).insert(Arc::clone(name), value);
                self.version += 1;
            }
        }
    }

    /// Goes back to what `other` has. An application's own parameter that is not among it stays known, and is empty.
    pub fn restore(&mut self, other: &Settings) {
        for position in 0..PARAMETERS.len() {
            // Value by value, so that the version moves exactly when something changed.
            self.put(position, other.value(position).to_owned());
        }
        let mut own = BTreeMap::clone(&other.own);
        for name in self.own.keys().filter(|name| !other.own.contains_key(*name)) {
            own.insert(Arc::clone(name), String::new());
        }
        if own != *self.own {
            self.own = Arc::new(own);
            self.version += 1;
        }
    }

    /// The names of an application's own parameters.
    pub fn own_names(&self) -> Vec<Name> {
        self.own.keys().map(|name| Name::Own(Arc::clone(name))).collect()
    }

    pub fn value(&self, position: usize) -> &str {
        self.values.get(position).map_or("", String::as_str)
    }

    /// A value by its exact, known name.
    pub fn get(&self, name: &str) -> &str {
        let position = PARAMETERS.iter().position(|parameter| parameter.name == name);
        position.map_or("", |position| self.value(position))
    }

    /// Sets a value that [`check`] has approved.
    pub fn put(&mut self, position: usize, value: String) {
        if self.value(position) != value
            && let Some(slot) = Arc::make_mut(&mut self.values).get_mut(position)
        {
            *slot = value;
            self.version += 1;
            self.parsed = ParsedSettings::of(self);
        }
    }

    /// Sets by exact name, without a check: what the server itself knows.
    pub fn put_known(&mut self, name: &str, value: impl Into<String>) {
        if let Ok(position) = position(name) {
            self.put(position, value.into());
        }
    }

    /// The search path's names; `"$user"` stands for `user`.
    pub fn search_path(&self, user: &str) -> Vec<String> {
        let names = split_names(self.get("search_path")).unwrap_or_default();
        names.into_iter().map(|name| if name == "$user" { user.to_owned() } else { name }).collect()
    }

    pub fn time_zone(&self) -> Arc<dyn TimeZone> {
        session_zone(self.get("TimeZone")).unwrap_or_else(|| Arc::new(heliosdb_types::FixedOffset::utc()))
    }

    /// A duration in milliseconds; `None` if 0.
    pub fn timeout(&self, name: &str) -> Option<Duration> {
        let millis = parse_millis(self.get(name)).unwrap_or(0);
        (millis > 0).then(|| Duration::from_millis(millis as u64))
    }

    /// A size in bytes; `None` if 0.
    fn bytes(&self, name: &str) -> Option<usize> {
        let kilobytes = parse_kilobytes(self.get(name)).unwrap_or(0);
        (kilobytes > 0).then(|| (kilobytes as usize).saturating_mul(1024))
    }
}

/// 42501 for a parameter that only superusers set.
pub(crate) fn may_set(name: &Name, user: &Role) -> Result<()> {
    match name.known() {
        Some(parameter) if parameter.needs_superuser() && !user.superuser => {
            let message = format!("permission denied to set parameter \"{}\"", parameter.name);
            Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message))
        }
        _ => Ok(()),
    }
}

/// The value as it will be kept, or why it cannot be: 22023 if it makes no sense, 0A000 if we do not implement it.
pub(crate) fn check(name: &Name, value: &str) -> Result<String> {
    let Some(parameter) = name.known() else { return Ok(value.to_owned()) };
    let invalid = || {
        let message = format!("invalid value for parameter \"{}\": \"{value}\"", parameter.name);
        Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
    };
    let not_implemented = || Error::unsupported(format!("{} = '{value}'", parameter.name));
    match parameter.kind {
        Kind::Bool => Ok(on_off(parse_bool(value).ok_or_else(|| needs_boolean(parameter.name))?)),
        Kind::OnlyBool(only) => match parse_bool(value).ok_or_else(|| needs_boolean(parameter.name))? {
            given if given == only => Ok(on_off(given)),
            _ => Err(not_implemented()),
        },
        Kind::MillisOrOff if value.trim() == "-1" => Ok("-1".to_owned()),
        Kind::Millis | Kind::MillisOrOff => parse_millis(value).map(show_millis).ok_or_else(invalid),
        Kind::KiloBytes => parse_kilobytes(value).map(show_kilobytes).ok_or_else(invalid),
        Kind::Integer { min, max, implemented_from } => {
            let number: i64 = value.trim().parse().map_err(|_| invalid())?;
            if !(min..=max).contains(&number) {
                let name = parameter.name;
                let message = format!("{number} is outside the valid range for parameter \"{name}\" ({min} .. {max})");
                return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            if number < implemented_from { Err(not_implemented()) } else { Ok(number.to_string()) }
        }
        Kind::Text => Ok(value.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()),
        Kind::Names => split_names(value).map(|_| value.to_owned()).ok_or_else(invalid),
        Kind::Enum { values, implemented } => {
            let at = values.iter().position(|known| known.eq_ignore_ascii_case(value.trim())).ok_or_else(invalid)?;
            if at < implemented { Ok(values[at].to_owned()) } else { Err(not_implemented()) }
        }
        Kind::DateStyle => date_style(value, invalid, not_implemented),
        // As PostgreSQL compares encoding names: asyncpg asks for `'utf-8'`, quotes included.
        Kind::Encoding => match value.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "").as_str() {
            "UTF8" | "UNICODE" => Ok("UTF8".to_owned()),
            _ => Err(not_implemented()),
        },
        Kind::Zone => session_zone(value).map(|zone| zone.name().to_owned()).ok_or_else(invalid),
        Kind::Role => Ok(value.to_owned()),
        Kind::Internal => Err(Error::invalid(
            SqlState::CANT_CHANGE_RUNTIME_PARAM,
            format!("parameter \"{}\" cannot be changed", parameter.name),
        )),
    }
}

fn date_style(value: &str, invalid: impl Fn() -> Error, not_implemented: impl Fn() -> Error) -> Result<String> {
    for word in value.split(',').map(|word| word.trim().to_ascii_lowercase()) {
        match word.as_str() {
            "iso" | "mdy" | "us" | "noneuro" | "default" => {}
            "postgres" | "sql" | "german" | "dmy" | "euro" | "european" | "ymd" => return Err(not_implemented()),
            _ => return Err(invalid()),
        }
    }
    Ok("ISO, MDY".to_owned())
}

fn needs_boolean(name: &str) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("parameter \"{name}\" requires a Boolean value"))
}

fn on_off(value: bool) -> String {
    (if value { "on" } else { "off" }).to_owned()
}

/// Unambiguous prefixes of true, false, yes, no; on, off; 1, 0.
pub(crate) fn parse_bool(value: &str) -> Option<bool> {
    let value = value.trim().to_ascii_lowercase();
    let prefix = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    if prefix("true", 1) || prefix("yes", 1) || value == "on" || value == "1" {
        Some(true)
    } else if prefix("false", 1) || prefix("no", 1) || prefix("off", 2) || value == "0" {
        Some(false)
    } else {
        None
    }
}

pub(super) fn parse_millis(value: &str) -> Option<i64> {
    let units = [("", 1.0), ("ms", 1.0), ("us", 0.001), ("s", 1e3), ("min", 60e3), ("h", 3600e3), ("d", 86_400e3)];
    parse_units(value, &units)
}

fn parse_kilobytes(value: &str) -> Option<i64> {
    let units = [("", 1.0), ("kB", 1.0), ("B", 1.0 / 1024.0), ("MB", 1024.0), ("GB", 1048576.0), ("TB", 1073741824.0)];
    parse_units(value, &units)
}

/// A number with a unit behind it, in the unit whose factor is 1.
fn parse_units(value: &str, units: &[(&str, f64)]) -> Option<i64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    let given = number.parse::<f64>().ok()? * factor;
    (0.0..=f64::from(i32::MAX)).contains(&given).then_some(given.round() as i64)
}

fn show_kilobytes(kilobytes: i64) -> String {
    show_units(kilobytes, &[(1 << 30, "TB"), (1 << 20, "GB"), (1 << 10, "MB"), (1, "kB")])
}

fn show_millis(millis: i64) -> String {
    show_units(millis, &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")])
}

/// As SHOW prints it: in the largest unit that divides it, the largest first.
fn show_units(value: i64, units: &[(i64, &str)]) -> String {
    match units.iter().find(|(unit, _)| value != 0 && value % unit == 0) {
        Some((unit, name)) => format!("{}{name}", value / unit),
        None => value.to_string(),
    }
}

/// Splits a list of identifiers: unquoted ones folded, quoted ones as they are. `None` if malformed.
pub(crate) fn split_names(value: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut out = String::new();
            let mut chars = quoted.char_indices().peekable();
            let end = loop {
                match chars.next()? {
                    (_, '"') if chars.peek().is_some_and(|(_, c)| *c == '"') => {
                        chars.next();
                        out.push('"');
                    }
                    (at, '"') => break at + 1,
                    (_, c) => out.push(c),
                }
            };
            name = out;
            rest = quoted.get(end..)?.trim_start();
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            let word = word.trim();
            if word.is_empty() || word.contains(char::is_whitespace) || word.contains('"') {
                return None;
            }
            name = word.to_ascii_lowercase();
            rest = tail;
        }
        names.push(name);
        match rest.strip_prefix(',') {
            Some(tail) if !tail.trim().is_empty() => rest = tail.trim_start(),
            Some(_) => return None,
            None if rest.is_empty() => {}
            None => return None,
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<String> {
        check(&Name::of(name)?, value)
    }

    #[test]
    fn values_are_checked_and_canonical() {
        assert_eq!(set("statement_timeout", "2 s").unwrap(), "2s");
        assert_eq!(set("query_memory", "64 MB").unwrap(), "64MB");
        assert_eq!(set("query_memory", "1.5GB").unwrap(), "1536MB");
        assert_eq!(set("query_memory", "0").unwrap(), "0");
        assert!(set("query_memory", "64mb").is_err() && set("query_memory", "-1").is_err());
        assert_eq!(set("statement_timeout", "1500").unwrap(), "1500ms");
        assert_eq!(set("DATESTYLE", "iso").unwrap(), "ISO, MDY");
        assert_eq!(set("timezone", "europe/berlin").unwrap(), "Europe/Berlin");
        assert_eq!(set("client_encoding", "utf-8").unwrap(), "UTF8");
        assert_eq!(set("client_encoding", "'Utf_8'").unwrap(), "UTF8");
        assert_eq!(set("search_path", "\"$user\", Public").unwrap(), "\"$user\", Public");
        assert_eq!(set("nonsense", "1").unwrap_err().state(), SqlState::UNDEFINED_OBJECT);
        assert_eq!(set("statement_timeout", "soon").unwrap_err().state(), SqlState::INVALID_PARAMETER_VALUE);
    }

    #[test]
    fn an_applications_own_parameters_have_a_dot() {
        assert_eq!(set("App.User", "Zoë, 7").unwrap(), "Zoë, 7");
        assert_eq!(Name::of("App.User").unwrap(), Name::Own("app.user".into()));
        for name in ["app.", ".user", "app..user", "app.7", "app.a b", "app.a-b"] {
            assert_eq!(set(name, "1").unwrap_err().state(), SqlState::INVALID_NAME, "{name}");
        }
    }

    #[test]
    fn an_applications_own_parameters_have_a_limit() {
        let mut settings = Settings::new();
        let (a, b) = (Name::of("app.a").unwrap(), Name::of("app.b").unwrap());
        let most = "x".repeat(OWN_BYTES_MAX - "app.a".len());
        settings.fits(&a, &most).unwrap();
        settings.give(&a, most.clone());
        settings.fits(&a, &most).unwrap();
        assert_eq!(settings.fits(&b, "").unwrap_err().state(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        settings.give(&a, String::new());
        settings.fits(&b, "1").unwrap();
        settings.give(&b, "1".into());
        assert_eq!((settings.of(&a), settings.of(&b)), (Some(""), Some("1")));
    }

    #[test]
    fn what_is_not_implemented_is_refused() {
        for (name, value) in [
            ("DateStyle", "German"),
            ("client_encoding", "LATIN1"),
            ("standard_conforming_strings", "off"),
            ("bytea_output", "escape"),
            ("synchronous_commit", "off"),
            ("extra_float_digits", "0"),
        ] {
            assert_eq!(set(name, value).unwrap_err().state(), SqlState::FEATURE_NOT_SUPPORTED, "{name}");
        }
        assert_eq!(set("server_version", "9").unwrap_err().state(), SqlState::CANT_CHANGE_RUNTIME_PARAM);
    }

    #[test]
    fn names_are_split_as_identifiers() {
        assert_eq!(split_names("a, \"B \"\"c\", D").unwrap(), ["a", "B \"c", "d"]);
        assert_eq!(split_names("").unwrap(), Vec::<String>::new());
        assert!(split_names("a b").is_none());
        assert!(split_names("a,").is_none());
    }

    #[test]
    fn every_default_is_a_valid_value() {
        for (position, parameter) in PARAMETERS.iter().enumerate() {
            if !matches!(parameter.kind, Kind::Internal) {
                let checked = check(&Name::Known(position), parameter.default);
                assert_eq!(checked.unwrap(), parameter.default, "{}", parameter.name);
            }
        }
    }
}
