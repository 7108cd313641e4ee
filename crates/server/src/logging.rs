//! Logs: one line an event, on standard error.

use heliosdb_types::{Error, Result, SqlState};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Sets up logging for the process. A filter that cannot be read is an error, not silence.
pub(crate) fn init(config: &Config) -> Result<()> {
    // Statements are logged because a setting asks for them; a filter that names the target decides otherwise.
    let filter = EnvFilter::try_new(format!("statements=info,{}", config.log)).map_err(|e| {
        Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("invalid log filter \"{}\": {e}", config.log))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match config.log_format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    set.map_err(|e| Error::internal(format!("could not start logging: {e}")))
}
