//! Where to connect and as whom: flags, libpq's environment variables, defaults.

use std::path::PathBuf;

use clap::Args;

use crate::error::Failure;
use crate::protocol::Connection;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SslMode {
    Disable,
    /// Encrypts if the server does.
    #[default]
    Prefer,
    Require,
    /// Encrypts, and checks whose certificate it is.
    VerifyFull,
}

/// Where to connect.
#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    /// Server's address
    #[arg(long, short = 'H', value_name = "HOST", env = "PGHOST", default_value = "127.0.0.1")]
    pub host: String,

    /// Server's port
    #[arg(long, short, value_name = "N", env = "PGPORT", default_value_t = 5432)]
    pub port: u16,

    /// Role to log in as
    #[arg(long, short = 'U', value_name = "NAME", env = "PGUSER", default_value = "postgres")]
    pub user: String,

    /// Database
    #[arg(long, short, value_name = "NAME", env = "PGDATABASE", default_value = "postgres")]
    pub dbname: String,

    /// Encryption
    #[arg(long, value_name = "MODE", env = "PGSSLMODE", value_enum, default_value_t = SslMode::Prefer)]
    pub sslmode: SslMode,

    /// Authorities that sign the server's certificate, PEM; for verify-full
    #[arg(long, value_name = "FILE", env = "PGSSLROOTCERT")]
    pub sslrootcert: Option<PathBuf>,

    /// The password; better in the environment than on the command line
    #[arg(long, value_name = "TEXT", env = "PGPASSWORD", hide_env_values = true)]
    pub password: Option<String>,
}

impl ConnectArgs {
    /// The authorities to check against: given ones, or the system's.
    pub(crate) fn authorities(&self) -> Result<Option<PathBuf>, Failure> {
        if self.sslmode != SslMode::VerifyFull {
            return Ok(self.sslrootcert.clone().filter(|_| self.sslmode != SslMode::Disable));
        }
        let system = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
        let found = system.iter().map(PathBuf::from).find(|path| path.is_file());
        match self.sslrootcert.clone().or(found) {
            Some(path) => Ok(Some(path)),
            None => Err(Failure::Usage("verify-full needs --sslrootcert".to_owned())),
        }
    }

    /// Connects; asks for a password if the server wants one and `ask` may.
    pub(crate) fn connect(&self, ask: impl FnOnce() -> Option<String>) -> Result<Connection, Failure> {
        Connection::open(self, ask)
    }
}
