//! Encryption as configured: files to what the gateway installs, at start and again at SIGHUP.
//!
//! Invariant: a reload that fails leaves everything as it was.

use std::path::{Path, PathBuf};

use heliosdb_gateway::postgres::{Tls, TlsMaterial};
use heliosdb_runtime::{Disk, RealDisk};
use heliosdb_types::{Error, Result, SqlState};
use serde::Deserialize;

/// Whether clients may, or must, encrypt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    #[default]
    Off,
    Allow,
    Require,
}

impl TlsMode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            TlsMode::Off => "off",
            TlsMode::Allow => "allow",
            TlsMode::Require => "require",
        }
    }
}

/// Encryption that is not off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub client_ca: Option<PathBuf>,
    pub required: bool,
}

impl TlsConfig {
    /// Settings to configuration; `None`: off. Given certificates without a mode are meant to be used.
    pub(crate) fn resolve(
        mode: Option<TlsMode>,
        cert: Option<PathBuf>,
        key: Option<PathBuf>,
        client_ca: Option<PathBuf>,
    ) -> Result<Option<TlsConfig>> {
        let wrong =
            |message: &str, hint: &str| Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message).with_hint(hint));
        let given = if cert.is_some() || key.is_some() { TlsMode::Allow } else { TlsMode::Off };
        let mode = mode.unwrap_or(given);
        if client_ca.is_some() && mode != TlsMode::Require {
            return wrong(
                "tls.client_ca needs tls.mode = require",
                "Otherwise a client without a certificate would simply not encrypt.",
            );
        }
        match (mode, cert, key) {
            (TlsMode::Off, _, _) => Ok(None),
            (_, Some(cert), Some(key)) => {
                Ok(Some(TlsConfig { cert, key, client_ca, required: mode == TlsMode::Require }))
            }
            _ => wrong(
                &format!("tls.mode = {} needs tls.cert and tls.key", mode.name()),
                "Give both PEM files: --tls-cert server.crt --tls-key server.key.",
            ),
        }
    }

    /// Reads the files and puts them together.
    pub(crate) fn load(&self) -> Result<Tls> {
        let certificates = read(&self.cert)?;
        let key = read(&self.key)?;
        let authorities = self.client_ca.as_deref().map(read).transpose()?;
        let material = TlsMaterial {
            certificates: &certificates,
            key: &key,
            client_authorities: authorities.as_deref(),
            required: self.required,
        };
        Tls::new(&material).map_err(|error| {
            let files = format!("Certificate {}, key {}.", self.cert.display(), self.key.display());
            error.context("could not set up TLS").with_detail(files)
        })
    }
}

/// A file anywhere on the machine.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file());
    let Some(name) = name else {
        return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("file \"{shown}\" does not exist")));
    };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    RealDisk::new(dir)?.read(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_setup_is_refused() {
        let file = |name: &str| Some(PathBuf::from(name));
        assert_eq!(TlsConfig::resolve(None, None, None, None).unwrap(), None);
        let both = TlsConfig::resolve(None, file("c"), file("k"), None).unwrap().unwrap();
        assert!(!both.required);
        assert!(
            TlsConfig::resolve(Some(TlsMode::Require), file("c"), file("k"), file("ca")).unwrap().unwrap().required
        );
        assert_eq!(TlsConfig::resolve(Some(TlsMode::Off), file("c"), file("k"), None).unwrap(), None);
        for (mode, cert, key, ca) in [
            (Some(TlsMode::Allow), None, None, None),
            (None, file("c"), None, None),
            (Some(TlsMode::Require), None, file("k"), None),
            (Some(TlsMode::Allow), file("c"), file("k"), file("ca")),
        ] {
            assert!(TlsConfig::resolve(mode, cert, key, ca).is_err());
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let config = TlsConfig {
            cert: "/nowhere/server.crt".into(),
            key: "/nowhere/k".into(),
            client_ca: None,
            required: false,
        };
        assert!(config.load().unwrap_err().message().contains("/nowhere/server.crt"));
    }
}
