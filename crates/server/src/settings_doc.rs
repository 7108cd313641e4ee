//! What the settings are and where each got its value: for `heliosdb config print` and for `docs/configuration.md`.
//!
//! Invariant: everything is read from the command line's definition, so nothing can be documented that does not exist,
//! nor exist undocumented.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use toml::Table;

use crate::config::Config;
use crate::tls::TlsMode;

/// The settings among a command's arguments: not help, and not what is for tests.
fn settings(start: &Command) -> impl Iterator<Item = &Arg> {
    start.get_arguments().filter(|arg| arg.get_env().is_some() && !arg.is_hide_set())
}

/// The name in the file: `tls_cert` is `cert` of the table `tls`.
fn file_name(arg: &Arg) -> String {
    let id = arg.get_id().as_str();
    id.strip_prefix("tls_").map_or_else(|| id.to_owned(), |rest| format!("tls.{rest}"))
}

/// What a setting means, and its default, from its help.
#[cfg(test)]
fn meaning(arg: &Arg) -> (String, String) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    match help.split_once(" [default: ") {
        Some((text, default)) => (text.to_owned(), default.trim_end_matches(']').to_owned()),
        None => (help, "none".to_owned()),
    }
}

/// The table of `docs/configuration.md`.
#[cfg(test)]
pub(crate) fn table(start: &Command) -> String {
    let mut text =
        String::from("| Flag of `heliosdb start` | Environment | File | Default | Meaning |\n|---|---|---|---|---|\n");
    for arg in settings(start) {
        let (flag, env) = (arg.get_long().unwrap_or_default(), arg.get_env().unwrap_or_default().to_string_lossy());
        let (help, default) = meaning(arg);
        let file = if flag == "config" { "-".to_owned() } else { format!("`{}`", file_name(arg)) };
        text.push_str(&format!("| `--{flag}` | `{env}` | {file} | {default} | {help} |\n"));
    }
    text
}

/// The settings in force as a configuration file, each with its source.
pub(crate) fn print(start: &Command, matches: &ArgMatches, file: &Table, config: &Config) -> String {
    let mut text = String::new();
    let mut in_tls = false;
    for arg in settings(start).filter(|arg| arg.get_id() != "config") {
        let name = file_name(arg);
        let (table, key) = name.split_once('.').unwrap_or(("", &name));
        let in_file = match table {
            "" => file.contains_key(key),
            table => file.get(table).and_then(|table| table.as_table()).is_some_and(|table| table.contains_key(key)),
        };
        let source = match matches.value_source(arg.get_id().as_str()) {
            Some(ValueSource::CommandLine) => format!("flag --{}", arg.get_long().unwrap_or_default()),
            Some(ValueSource::EnvVariable) => {
                format!("environment {}", arg.get_env().unwrap_or_default().to_string_lossy())
            }
            _ if in_file => "file".to_owned(),
            _ => "default".to_owned(),
        };
        if table == "tls" && !in_tls {
            text.push_str("\n[tls]\n");
            in_tls = true;
        }
        match value(config, &name) {
            Some(value) => text.push_str(&format!("{:<40} # {source}\n", format!("{key} = {value}"))),
            None => text.push_str(&format!("{:<40} # {source}\n", format!("# {key} is not set"))),
        }
    }
    text
}

/// A setting in force, in TOML.
fn value(config: &Config, name: &str) -> Option<String> {
    let text = |text: &dyn ToString| Some(toml::Value::String(text.to_string()).to_string());
    let bytes = |bytes: usize| text(&bytes);
    let tls = config.tls.as_ref();
    match name {
        "data_dir" => text(&config.data_dir.display()),
        "listen" => text(&config.listen),
        "pg_port" => Some(config.pg_port.to_string()),
        "http_port" => Some(config.http_port.to_string()),
        "memory" => text(&config.memory_bytes),
        "worker_threads" => Some(config.worker_threads.to_string()),
        "autoanalyze" => Some(config.autoanalyze.to_string()),
        "query_niceness" => Some(config.query_niceness.to_string()),
        "max_running_queries" => Some(config.queries_max.to_string()),
        "max_connections" => Some(config.connections_max.to_string()),
        "reserved_connections" => Some(config.connections_reserved.to_string()),
        "authentication_timeout" => Some(config.authentication_timeout.as_secs().to_string()),
        "authentication_delay" => Some(config.authentication_delay.as_millis().to_string()),
        "max_message" => bytes(config.message_bytes_max),
        "max_message_memory" => bytes(config.inbox_bytes_max),
        "max_prepared_memory" => bytes(config.held_bytes_max),
        "background_io_rate" => text(&config.background_io_rate),
        "commit_delay" => Some(config.commit_delay.as_micros().to_string()),
        "shutdown_grace" => Some(config.shutdown_grace.as_secs().to_string()),
        "log_format" => text(&format!("{:?}", config.log_format).to_lowercase()),
        "log" => text(&config.log),
        "log_min_duration_statement" | "log_statement" | "log_min_error_statement" | "file_directories" => {
            config.session_settings.iter().find(|(setting, _)| *setting == name).and_then(|(_, value)| text(value))
        }
        "tls.mode" => text(&match tls {
            None => TlsMode::Off.name(),
            Some(tls) if tls.required => TlsMode::Require.name(),
            Some(_) => TlsMode::Allow.name(),
        }),
        "tls.cert" => tls.and_then(|tls| text(&tls.cert.display())),
        "tls.key" => tls.and_then(|tls| text(&tls.key.display())),
        "tls.client_ca" => tls.and_then(|tls| tls.client_ca.as_ref()).and_then(|path| text(&path.display())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    const BEGIN: &str = "<!-- settings: begin -->\n";
    const END: &str = "<!-- settings: end -->";

    #[test]
    #[allow(clippy::disallowed_methods)] // a file of the source tree
    fn the_documented_settings_are_those_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (head, rest) = text.split_once(BEGIN).unwrap();
        let (old, tail) = rest.split_once(END).unwrap();
        let new = table(&cli::start_command());
        if std::env::var_os("HELIOSDB_DOCS_REWRITE").is_some() {
            std::fs::write(path, format!("{head}{BEGIN}{new}{END}{tail}")).unwrap();
            return;
        }
        assert_eq!(old, new, "stale: HELIOSDB_DOCS_REWRITE=1 cargo test -p heliosdb-server documented_settings");
    }

    #[test]
    fn every_setting_can_be_printed_and_read_again() {
        let config = Config::new("/srv/db");
        let start = cli::start_command();
        let matches = start.clone().get_matches_from(["start", "--pg-port", "7"]);
        let text = print(&start, &matches, &Table::new(), &config);
        assert!(text.contains("pg_port = 0 ") && text.contains("# flag --pg-port"), "{text}");
        let read: Table = text.parse().unwrap();
        for arg in settings(&start).filter(|arg| arg.get_id() != "config" && !arg.get_id().as_str().starts_with("tls_"))
        {
            assert!(read.contains_key(arg.get_id().as_str()), "{} is missing in\n{text}", arg.get_id());
        }
        assert_eq!(read["tls"]["mode"].as_str(), Some("off"));
    }
}
