//! The command line.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode as ProcessExit;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use heliosdb_client::{BackupArgs, Failure as ClientFailure, ImportArgs, SqlArgs};
use heliosdb_runtime::{Disk, RealDisk, cores, failpoints_from_env, memory_bytes};
use heliosdb_types::{Error, Result, SqlState};

use crate::banner;
use crate::check::{self, CheckArgs};
use crate::config::{Config, Settings};
use crate::exit::{ExitCode, Failure};
use crate::inspect::{self, InspectArgs};
use crate::logging;
use crate::node::Node;
use crate::restore::{self, RestoreArgs};
use crate::settings_doc;
use crate::signals::{Request, Signals};

const EXAMPLES: &str = "\
Examples:
  heliosdb start                                  the database in ./heliosdb-data, on 127.0.0.1:5432
  heliosdb start --data-dir /srv/db --memory 8GB  elsewhere, with a fixed memory budget
  heliosdb start --pg-port 0 --http-port 0        on free ports, printed at start
  heliosdb start --config heliosdb.toml           settings from a file
  heliosdb sql                                    connect; so does: psql -h 127.0.0.1 -U postgres postgres
  heliosdb sql -c \"SELECT 1\" --format json        run one statement
  heliosdb import orders.csv                      a file becomes the table \"orders\"
  heliosdb config print --memory 8GB              settings in force, and where each comes from
  heliosdb completions bash                       what a shell needs to complete these commands";

const PRECEDENCE: &str = "\
Every setting can come from a flag, from the environment variable shown with it, or from the configuration file under
the flag's name (data_dir = \"/srv/db\"). Flags win over the environment, the environment over the file.

Exit codes: 0 stopped cleanly, 1 failed, 2 wrong settings, 3 data directory in use, 4 port not available, 5 data damaged,
6 public address without a password, 7 data directory unusable, 130 stopped at once by a second signal.";

#[derive(Parser)]
#[command(name = "heliosdb", version, about = "A database for transactions and analytics on the same fresh rows")]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const SQL_EXAMPLES: &str = "\
Examples:
  heliosdb sql                                     a prompt; \\? shows its commands
  heliosdb sql -c \"SELECT now()\" -c \"SELECT 1\"     run statements
  heliosdb sql -f schema.sql                       run a file
  echo \"SELECT * FROM t\" | heliosdb sql --format csv > t.csv
  PGPASSWORD=... heliosdb sql -H db.example.com --sslmode verify-full --sslrootcert ca.crt

Exit codes: 0 all well, 1 wrong arguments, 2 no connection, 3 a statement failed.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  heliosdb import orders.csv                        guess columns and types, make the table \"orders\", load it
  heliosdb import events.jsonl --table log          one JSON object a line
  heliosdb import data.txt --delimiter \"|\" --no-header
  heliosdb import orders.csv --dry-run              show the CREATE TABLE only

All rows are loaded, or none. Exit codes are those of heliosdb sql.";

const BACKUP_EXAMPLES: &str = "\
Examples:
  heliosdb backup /backups/monday                   everything committed by now, while the server is in use
  heliosdb backup - | zstd > monday.tar.zst         as a tar archive
  heliosdb restore /backups/monday /srv/db          a new data directory from it
  zstd -dc monday.tar.zst | heliosdb restore - /srv/db

The role must be a superuser or have REPLICATION. Exit codes are those of heliosdb sql.";

const RESTORE_EXAMPLES: &str = "\
Examples:
  heliosdb restore /backups/monday /srv/db
  heliosdb restore monday.tar /srv/db

Every file is compared with the backup's checksums; an incomplete or damaged backup is refused (exit code 5), and so is a
directory that is not empty (exit code 7).";

const CHECK_EXAMPLES: &str = "\
Examples:
  heliosdb check /srv/db                            a stopped database: files, catalog, rows, constraints, indexes
  heliosdb check                                    a running one, over a connection, beside its users
  heliosdb check --table orders --table lines       some tables of it

Nothing is changed. What is wrong is named: rule, relation, file, place. Exit codes: 0 sound, 5 damaged, 3 in use, 1 failed.";

const INSPECT_EXAMPLES: &str = "\
Examples:
  heliosdb inspect /srv/db                          manifest, formats, log, tables and indexes of a stopped database
  heliosdb inspect /srv/db --table orders           each segment and column of a table
  heliosdb inspect /srv/db/shard-0/segments/000000000012.seg
  heliosdb inspect /srv/db --json

A running server shows the same in the views helios_relations and helios_segments.";

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)] // one of them, once
enum Command {
    /// Runs the database until it is told to stop (SIGTERM, SIGINT)
    #[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{PRECEDENCE}"))]
    Start(StartArgs),
    /// Runs statements: a prompt, a file, or the command line
    #[command(after_help = SQL_EXAMPLES)]
    Sql(SqlArgs),
    /// Loads a file into a table, which it makes if there is none
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// Copies a running server's data, consistently, to a directory or as a tar archive
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Makes a data directory from a backup
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Verifies everything stored: checksums, invariants, indexes, constraints
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Shows what a stopped database is made of
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Shows settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints what a shell needs to complete commands: heliosdb completions bash > /etc/bash_completion.d/heliosdb
    Completions { shell: Shell },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Prints the settings `heliosdb start` would run with, as a configuration file, each with its source
    Print(StartArgs),
}

#[derive(Args)]
struct StartArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "HELIOSDB_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,
}

/// Runs the program with its arguments (the first is its own name) and returns how it ended.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ProcessExit {
    let usage = |error: clap::Error| {
        // Help and version come this way too.
        let _ = error.print();
        ProcessExit::from(u8::try_from(error.exit_code()).unwrap_or(ExitCode::Usage as u8))
    };
    let matches = match Cli::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => return usage(error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return usage(error),
    };
    let done = match cli.command {
        Command::Start(args) => start(args),
        Command::Config(ConfigCommand::Print(args)) => print_config(args, &matches),
        Command::Sql(args) => return client(heliosdb_client::sql(args)),
        Command::Backup(args) => return client(heliosdb_client::backup(&args)),
        Command::Restore(args) => restore::restore(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Check(args) => match check::check(&args) {
            Ok(code) => return ProcessExit::from(code as u8),
            Err(failure) => Err(failure),
        },
        Command::Import(args) => return client(heliosdb_client::import(&args)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "heliosdb", &mut std::io::stdout());
            Ok(())
        }
    };
    match done {
        Ok(()) => ProcessExit::from(ExitCode::Clean as u8),
        Err(failure) => {
            complain(&failure.error);
            ProcessExit::from(failure.code as u8)
        }
    }
}

/// The client's own exit codes; what a statement got wrong it has shown already, with its place.
fn client(done: Result<(), ClientFailure>) -> ProcessExit {
    let Err(failure) = done else { return ProcessExit::SUCCESS };
    if !failure.is_shown() {
        let _ = writeln!(std::io::stderr(), "heliosdb: {failure}");
    }
    ProcessExit::from(failure.exit_code())
}

/// The definition of `heliosdb start`.
pub(crate) fn start_command() -> clap::Command {
    let mut all = Cli::command();
    all.find_subcommand_mut("start").cloned().expect("defined above")
}

fn print_config(args: StartArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let file = match &args.config {
        Some(path) => read_file(path).map_err(Failure::usage)?.parse().unwrap_or_default(),
        None => toml::Table::new(),
    };
    let config = resolve(args).map_err(Failure::usage)?;
    let inner = matches.subcommand_matches("config").and_then(|config| config.subcommand_matches("print"));
    let text = settings_doc::print(&start_command(), inner.unwrap_or(matches), &file, &config);
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn start(args: StartArgs) -> Result<(), Failure> {
    let config = resolve(args).map_err(Failure::usage)?;
    logging::init(&config).map_err(Failure::usage)?;
    failpoints_from_env().map_err(Failure::usage)?;
    let grace = config.shutdown_grace;
    let node = Node::start(config.clone())?;
    let mut signals = {
        let handle = node.pool().handle();
        let _inside = handle.enter();
        Signals::new()?
    };
    let mut out = std::io::stdout().lock();
    // Nobody may be reading; the database runs all the same.
    let _ = out.write_all(banner::text(&config, &node).as_bytes()).and_then(|()| out.flush());
    drop(out);
    let name = loop {
        match node.pool().block_on(signals.next()) {
            Request::Stop(name) => break name,
            Request::Reload => match node.reload() {
                Ok(()) => tracing::info!("certificates read again"),
                Err(error) => tracing::error!(%error, detail = error.detail(), "reload failed, nothing changed"),
            },
        }
    };
    tracing::info!(signal = name, "stopping; once more to stop at once");
    let impatient = node.pool().spawner().task(async move {
        let name = signals.stop().await;
        tracing::warn!(signal = name, "stopping at once; the next start recovers");
        std::process::exit(ExitCode::Forced as i32);
    });
    node.stop(grace)?;
    drop(impatient);
    tracing::info!("stopped");
    Ok(())
}

fn resolve(args: StartArgs) -> Result<Config> {
    let file = match &args.config {
        Some(path) => Settings::from_toml(&read_file(path)?, &path.display().to_string())?,
        None => Settings::default(),
    };
    Config::resolve(args.settings.over(file), memory_bytes(), cores())
}

/// A configuration file's text.
fn read_file(path: &Path) -> Result<String> {
    let shown = path.display().to_string();
    let wrong =
        |what: &str| Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("configuration file {shown} {what}"));
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file());
    let name = name.ok_or_else(|| wrong("does not exist"))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let bytes = RealDisk::new(dir)?.read(name)?;
    String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))
}

/// An error for people, on standard error.
fn complain(error: &Error) {
    let mut text = format!("heliosdb: {error}\n");
    for (label, part) in [("detail", error.detail()), ("hint", error.hint())] {
        if let Some(part) = part {
            text.push_str(&format!("  {label}: {part}\n"));
        }
    }
    // There is nowhere left to complain to.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let help = Cli::command().find_subcommand_mut("start").unwrap().render_long_help().to_string();
        for word in ["--data-dir", "HELIOSDB_PG_PORT", "--log-format", "Exit codes", "psql -h"] {
            assert!(help.contains(word), "{word}");
        }
    }
}
