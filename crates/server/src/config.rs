//! Settings: flags over environment over file over defaults. The table of
//! `docs/configuration.md` is generated from here (`settings_doc`).

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use heliosdb_query::Engine;
use heliosdb_types::{Error, Result, SqlState};
use serde::Deserialize;

use crate::memory::Size;
use crate::tls::{TlsConfig, TlsMode};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Settings as given; what is absent falls to the next source. Flags and environment come through clap, the file through
/// serde: one definition of every name.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where the database lives [default: ./heliosdb-data]
    #[arg(long, value_name = "DIR", env = "HELIOSDB_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR", env = "HELIOSDB_LISTEN")]
    listen: Option<String>,

    /// Port for PostgreSQL clients; 0 takes a free one [default: 5432]
    #[arg(long, value_name = "N", env = "HELIOSDB_PG_PORT")]
    pg_port: Option<u16>,

    /// Port for health checks and metrics; 0 takes a free one [default: 8080]
    #[arg(long, value_name = "N", env = "HELIOSDB_HTTP_PORT")]
    http_port: Option<u16>,

    /// Memory budget: 8GB, 512MB, or a share of the machine's, 50% [default: 50%]
    #[arg(long, value_name = "SIZE", env = "HELIOSDB_MEMORY")]
    memory: Option<String>,

    /// Threads for connections and transactions, and as many again for queries [default: the machine's cores]
    #[arg(long, value_name = "N", env = "HELIOSDB_WORKER_THREADS")]
    worker_threads: Option<usize>,

    /// How far queries give way to short statements and commits when processors are short: 0 (equal shares) to 19; where the
    /// process may, they take what others leave, unless that is little [default: 10]
    #[arg(long, value_name = "N", env = "HELIOSDB_QUERY_NICENESS")]
    query_niceness: Option<u8>,

    /// Queries that compute at once; others wait their turn [default: four times the worker threads]
    #[arg(long, value_name = "N", env = "HELIOSDB_MAX_RUNNING_QUERIES")]
    max_running_queries: Option<usize>,

    /// Whether tables that have changed enough are analyzed by themselves: true or false [default: true]
    #[arg(long, value_name = "BOOL", env = "HELIOSDB_AUTOANALYZE")]
    autoanalyze: Option<bool>,

    /// Sessions at a time [default: 1000]
    #[arg(long, value_name = "N", env = "HELIOSDB_MAX_CONNECTIONS")]
    max_connections: Option<usize>,

    /// Of those, how many only superusers may take [default: 3]
    #[arg(long, value_name = "N", env = "HELIOSDB_RESERVED_CONNECTIONS")]
    reserved_connections: Option<usize>,

    /// Seconds a client may take to authenticate [default: 60]
    #[arg(long, value_name = "SECONDS", env = "HELIOSDB_AUTHENTICATION_TIMEOUT")]
    authentication_timeout: Option<u64>,

    /// Milliseconds the answer to a wrong password takes, twice as long for each further one from an address [default: 100]
    #[arg(long, value_name = "MS", env = "HELIOSDB_AUTHENTICATION_DELAY")]
    authentication_delay: Option<u64>,

    /// Longest message of a client: 256MB, 1GB [default: 256MB]
    #[arg(long, value_name = "SIZE", env = "HELIOSDB_MAX_MESSAGE")]
    max_message: Option<String>,

    /// Long messages of all clients together that have not been handled yet: 512MB, 10% [default: an eighth of the budget, at least max_message]
    #[arg(long, value_name = "SIZE", env = "HELIOSDB_MAX_MESSAGE_MEMORY")]
    max_message_memory: Option<String>,

    /// Named prepared statements a connection may hold, and as much for its portals [default: 64MB]
    #[arg(long, value_name = "SIZE", env = "HELIOSDB_MAX_PREPARED_MEMORY")]
    max_prepared_memory: Option<String>,

    /// Bytes a second that freezing and merging may read and write together: 50MB; 0 is no limit [default: 0]
    #[arg(long, value_name = "SIZE", env = "HELIOSDB_BACKGROUND_IO_RATE")]
    background_io_rate: Option<String>,

    /// Microseconds a commit waits at most for others to share its write to the disk, while processors are short and others do come: 0 (never) to 100000 [default: 500]
    #[arg(long, value_name = "MICROSECONDS", env = "HELIOSDB_COMMIT_DELAY")]
    commit_delay: Option<u32>,

    /// Seconds running statements may take to end when the server stops [default: 30]
    #[arg(long, value_name = "SECONDS", env = "HELIOSDB_SHUTDOWN_GRACE")]
    shutdown_grace: Option<u64>,

    /// Log lines as text or JSON [default: text]
    #[arg(long, value_name = "FORMAT", env = "HELIOSDB_LOG_FORMAT")]
    log_format: Option<LogFormat>,

    /// What is logged: a level, or levels by module: info, heliosdb_storage=debug [default: info]
    #[arg(long, value_name = "FILTER", env = "HELIOSDB_LOG")]
    log: Option<String>,

    /// Statements that take at least so long are logged, with their parameters: 250ms, 1s, 0 (all), -1 (none); what sessions start with [default: -1]
    #[arg(long, value_name = "TIME", env = "HELIOSDB_LOG_MIN_DURATION_STATEMENT", allow_hyphen_values = true)]
    log_min_duration_statement: Option<String>,

    /// Statements that are logged before they run: none, ddl, mod (and changes of data), all; what sessions start with [default: none]
    #[arg(long, value_name = "KIND", env = "HELIOSDB_LOG_STATEMENT")]
    log_statement: Option<String>,

    /// Statements that failed are logged at level info from this severity on: error, or panic for none; what sessions start with [default: error]
    #[arg(long, value_name = "LEVEL", env = "HELIOSDB_LOG_MIN_ERROR_STATEMENT")]
    log_min_error_statement: Option<String>,

    /// Directories of this machine, separated by commas, whose files every role may read: SELECT ... FROM '/data/x.parquet'; superusers and pg_read_server_files read any [default: none]
    #[arg(long, value_name = "DIRS", env = "HELIOSDB_FILE_DIRECTORIES")]
    file_directories: Option<String>,

    #[command(flatten)]
    #[serde(default)]
    tls: TlsSettings,

    /// Bytes of a memtable before it is frozen, instead of a share of the budget; small ones make tests thorough
    #[arg(long, value_name = "BYTES", env = "HELIOSDB_STORAGE_MEMTABLE_BYTES", hide = true)]
    storage_memtable_bytes: Option<usize>,

    /// Bytes of a log file
    #[arg(long, value_name = "BYTES", env = "HELIOSDB_STORAGE_WAL_FILE_BYTES", hide = true)]
    storage_wal_file_bytes: Option<u64>,

    /// Bytes a transaction writes before its rows go to segments of its own
    #[arg(long, value_name = "BYTES", env = "HELIOSDB_STORAGE_TXN_SPILL_BYTES", hide = true)]
    storage_txn_spill_bytes: Option<usize>,
}

/// Settings of encryption: the table `[tls]` of the file.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsSettings {
    /// Encryption of PostgreSQL connections: off, allow (the client chooses), require [default: allow with a certificate, else off]
    #[arg(id = "tls_mode", long = "tls-mode", value_name = "MODE", env = "HELIOSDB_TLS_MODE")]
    mode: Option<TlsMode>,

    /// The server's certificate and those between it and its authority, PEM; read again at SIGHUP [default: none]
    #[arg(id = "tls_cert", long = "tls-cert", value_name = "FILE", env = "HELIOSDB_TLS_CERT")]
    cert: Option<PathBuf>,

    /// The certificate's private key, PEM; read again at SIGHUP [default: none]
    #[arg(id = "tls_key", long = "tls-key", value_name = "FILE", env = "HELIOSDB_TLS_KEY")]
    key: Option<PathBuf>,

    /// Authorities of client certificates, PEM: with it a client must show one they signed; needs mode require [default: none]
    #[arg(id = "tls_client_ca", long = "tls-client-ca", value_name = "FILE", env = "HELIOSDB_TLS_CLIENT_CA")]
    client_ca: Option<PathBuf>,
}

impl TlsSettings {
    fn over(self, under: TlsSettings) -> TlsSettings {
        TlsSettings {
            mode: self.mode.or(under.mode),
            cert: self.cert.or(under.cert),
            key: self.key.or(under.key),
            client_ca: self.client_ca.or(under.client_ca),
        }
    }
}

impl Settings {
    /// Reads a configuration file's text.
    pub(crate) fn from_toml(text: &str, path: &str) -> Result<Settings> {
        toml::from_str(text)
            .map_err(|e| Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("configuration file {path}: {e}")))
    }

    /// These settings, completed by `under`.
    pub(crate) fn over(self, under: Settings) -> Settings {
        Settings {
            data_dir: self.data_dir.or(under.data_dir),
            listen: self.listen.or(under.listen),
            pg_port: self.pg_port.or(under.pg_port),
            http_port: self.http_port.or(under.http_port),
            memory: self.memory.or(under.memory),
            worker_threads: self.worker_threads.or(under.worker_threads),
            query_niceness: self.query_niceness.or(under.query_niceness),
            max_running_queries: self.max_running_queries.or(under.max_running_queries),
            autoanalyze: self.autoanalyze.or(under.autoanalyze),
            max_connections: self.max_connections.or(under.max_connections),
            reserved_connections: self.reserved_connections.or(under.reserved_connections),
            authentication_delay: self.authentication_delay.or(under.authentication_delay),
            max_message_memory: self.max_message_memory.or(under.max_message_memory),
            max_prepared_memory: self.max_prepared_memory.or(under.max_prepared_memory),
            background_io_rate: self.background_io_rate.or(under.background_io_rate),
            commit_delay: self.commit_delay.or(under.commit_delay),
            authentication_timeout: self.authentication_timeout.or(under.authentication_timeout),
            max_message: self.max_message.or(under.max_message),
            shutdown_grace: self.shutdown_grace.or(under.shutdown_grace),
            log_format: self.log_format.or(under.log_format),
            log: self.log.or(under.log),
            log_min_duration_statement: self.log_min_duration_statement.or(under.log_min_duration_statement),
            log_statement: self.log_statement.or(under.log_statement),
            log_min_error_statement: self.log_min_error_statement.or(under.log_min_error_statement),
            file_directories: self.file_directories.or(under.file_directories),
            tls: self.tls.over(under.tls),
            storage_memtable_bytes: self.storage_memtable_bytes.or(under.storage_memtable_bytes),
            storage_wal_file_bytes: self.storage_wal_file_bytes.or(under.storage_wal_file_bytes),
            storage_txn_spill_bytes: self.storage_txn_spill_bytes.or(under.storage_txn_spill_bytes),
        }
    }
}

/// Settings complete and checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: IpAddr,
    pub pg_port: u16,
    pub http_port: u16,
    /// The whole budget.
    pub memory_bytes: u64,
    pub worker_threads: usize,
    pub query_niceness: u8,
    pub queries_max: usize,
    pub autoanalyze: bool,
    pub connections_max: usize,
    /// Of those, only superusers may take so many.
    pub connections_reserved: usize,
    pub authentication_timeout: Duration,
    pub authentication_delay: Duration,
    pub message_bytes_max: usize,
    pub inbox_bytes_max: usize,
    pub held_bytes_max: usize,
    /// Bytes a second; 0: no limit.
    pub background_io_rate: u64,
    /// Zero: a commit never waits for others.
    pub commit_delay: Duration,
    pub shutdown_grace: Duration,
    pub log_format: LogFormat,
    pub log: String,
    /// What sessions start with: statements in the log, files they may read.
    pub session_settings: Vec<(&'static str, String)>,
    /// `None`: connections are not encrypted.
    pub tls: Option<TlsConfig>,
    /// For tests: see docs/configuration.md.
    pub storage_memtable_bytes: Option<usize>,
    pub storage_wal_file_bytes: Option<u64>,
    pub storage_txn_spill_bytes: Option<usize>,
}

impl Config {
    /// The defaults, with free ports: for embedding.
    pub fn new(data_dir: impl Into<PathBuf>) -> Config {
        let settings = Settings {
            data_dir: Some(data_dir.into()),
            pg_port: Some(0),
            http_port: Some(0),
            memory: Some("512MB".into()),
            ..Settings::default()
        };
        Config::resolve(settings, 0, heliosdb_runtime::cores()).expect("defaults are valid")
    }

    pub(crate) fn resolve(settings: Settings, machine_bytes: u64, cores: usize) -> Result<Config> {
        let positive = |name: &str, value: usize| match value {
            0 => Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("{name} must be at least 1"))),
            value => Ok(value),
        };
        let memory = Size::parse(settings.memory.as_deref().unwrap_or("50%"))?;
        let message = match Size::parse(settings.max_message.as_deref().unwrap_or("256MB"))? {
            // A length on the wire is a signed 32-bit number.
            Size::Bytes(bytes @ 8_192..0x4000_0000) => bytes as usize,
            _ => {
                let wrong = "max_message must be between 8kB and 1GB";
                return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, wrong));
            }
        };
        let memory_bytes = memory.bytes(machine_bytes)?;
        let part = |text: Option<&str>, default: u64| match text.map(Size::parse).transpose()? {
            None => Ok::<u64, Error>(default),
            Some(Size::Bytes(bytes)) => Ok(bytes),
            Some(Size::Percent(percent)) => Ok((memory_bytes as f64 * percent / 100.0) as u64),
        };
        let inbox = part(settings.max_message_memory.as_deref(), (memory_bytes / 8).max(message as u64))?;
        if inbox < message as u64 {
            let wrong = "max_message_memory must be at least max_message";
            return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, wrong));
        }
        let held = part(settings.max_prepared_memory.as_deref(), 64 << 20)?;
        let background_io_rate = match settings.background_io_rate.as_deref().map(Size::parse).transpose()? {
            None => 0,
            Some(Size::Bytes(bytes)) if bytes == 0 || bytes >= BACKGROUND_IO_RATE_MIN => bytes,
            Some(_) => {
                let wrong = "background_io_rate must be 0 or at least 1MB";
                return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, wrong)
                    .with_hint("Slower, memory would fill faster than it is written out."));
            }
        };
        let connections_max = positive("max_connections", settings.max_connections.unwrap_or(1000))?;
        let connections_reserved = settings.reserved_connections.unwrap_or(3.min(connections_max - 1));
        if connections_reserved >= connections_max {
            let wrong = "reserved_connections must be less than max_connections";
            return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, wrong));
        }
        Ok(Config {
            data_dir: settings.data_dir.unwrap_or_else(|| "./heliosdb-data".into()),
            listen: address(settings.listen.as_deref().unwrap_or("127.0.0.1"))?,
            pg_port: settings.pg_port.unwrap_or(5432),
            http_port: settings.http_port.unwrap_or(8080),
            memory_bytes,
            worker_threads: positive("worker_threads", settings.worker_threads.unwrap_or(cores))?,
            queries_max: positive(
                "max_running_queries",
                settings.max_running_queries.unwrap_or(4 * settings.worker_threads.unwrap_or(cores)),
            )?,
            query_niceness: niceness(settings.query_niceness.unwrap_or(QUERY_NICENESS))?,
            autoanalyze: settings.autoanalyze.unwrap_or(true),
            connections_max,
            connections_reserved,
            authentication_timeout: Duration::from_secs(settings.authentication_timeout.unwrap_or(60)),
            authentication_delay: Duration::from_millis(settings.authentication_delay.unwrap_or(100)),
            message_bytes_max: message,
            inbox_bytes_max: usize::try_from(inbox).unwrap_or(usize::MAX),
            held_bytes_max: usize::try_from(held).unwrap_or(usize::MAX),
            background_io_rate,
            commit_delay: commit_delay(settings.commit_delay.unwrap_or(COMMIT_DELAY_MICROS))?,
            shutdown_grace: Duration::from_secs(settings.shutdown_grace.unwrap_or(30)),
            log_format: settings.log_format.unwrap_or_default(),
            log: settings.log.unwrap_or_else(|| "info".into()),
            session_settings: [
                ("log_min_duration_statement", settings.log_min_duration_statement.as_deref().unwrap_or("-1")),
                ("log_statement", settings.log_statement.as_deref().unwrap_or("none")),
                ("log_min_error_statement", settings.log_min_error_statement.as_deref().unwrap_or("error")),
                ("file_directories", settings.file_directories.as_deref().unwrap_or("")),
            ]
            .into_iter()
            .map(|(name, value)| Ok((name, Engine::checked_setting(name, value)?)))
            .collect::<Result<_>>()?,
            tls: TlsConfig::resolve(settings.tls.mode, settings.tls.cert, settings.tls.key, settings.tls.client_ca)?,
            storage_memtable_bytes: settings.storage_memtable_bytes,
            storage_wal_file_bytes: settings.storage_wal_file_bytes,
            storage_txn_spill_bytes: settings.storage_txn_spill_bytes,
        })
    }
}

const BACKGROUND_IO_RATE_MIN: u64 = 1 << 20;

/// Ten steps: queries get a tenth of what short statements want at the same time.
const QUERY_NICENESS: u8 = 10;

/// A few syncs of a fast disk: see docs/decisions/2026-11-22-gathering-commits.md.
const COMMIT_DELAY_MICROS: u32 = 500;

fn commit_delay(micros: u32) -> Result<Duration> {
    if micros <= 100_000 {
        return Ok(Duration::from_micros(u64::from(micros)));
    }
    Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "commit_delay must be from 0 to 100000 microseconds"))
}

fn niceness(value: u8) -> Result<u8> {
    if value <= 19 {
        return Ok(value);
    }
    Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "query_niceness must be from 0 to 19"))
}

/// An IP address; a few names everybody means the same by.
fn address(text: &str) -> Result<IpAddr> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        "*" => Ok(Ipv4Addr::UNSPECIFIED.into()),
        text => text.parse().map_err(|_| {
            Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("\"{text}\" is not an address to listen on"))
                .with_hint("Give an IP address of this machine, such as 127.0.0.1, 0.0.0.0 or ::1.")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_fills_what_flags_and_environment_leave_open() {
        let file = Settings::from_toml("pg_port = 6000\nhttp_port = 6001\nmemory = \"1GB\"\n", "x.toml").unwrap();
        let flags = Settings { pg_port: Some(7000), ..Settings::default() };
        let config = Config::resolve(flags.over(file), 8 << 30, 2).unwrap();
        assert_eq!((config.pg_port, config.http_port, config.memory_bytes), (7000, 6001, 1 << 30));
        assert_eq!((config.worker_threads, config.listen.to_string().as_str()), (2, "127.0.0.1"));
        let defaults = Config::resolve(Settings::default(), 8 << 30, 2).unwrap();
        assert_eq!((defaults.pg_port, defaults.http_port, defaults.memory_bytes), (5432, 8080, 4 << 30));
        assert_eq!(defaults.data_dir, PathBuf::from("./heliosdb-data"));
    }

    #[test]
    fn a_mistake_is_named() {
        let error = Settings::from_toml("pg_prt = 1\n", "x.toml").unwrap_err();
        assert!(error.message().contains("x.toml") && error.message().contains("pg_prt"), "{error}");
        for settings in [
            Settings { listen: Some("here".into()), ..Settings::default() },
            Settings { worker_threads: Some(0), ..Settings::default() },
            Settings { commit_delay: Some(100_001), ..Settings::default() },
            Settings { query_niceness: Some(20), ..Settings::default() },
            Settings { max_message: Some("2GB".into()), ..Settings::default() },
            Settings { memory: Some("lots".into()), ..Settings::default() },
            Settings { log_statement: Some("some".into()), ..Settings::default() },
            Settings { max_message_memory: Some("1MB".into()), ..Settings::default() },
            Settings { max_connections: Some(3), reserved_connections: Some(3), ..Settings::default() },
        ] {
            assert!(Config::resolve(settings, 8 << 30, 2).is_err());
        }
    }
}
