//! Encryption: what a certificate and its key become, and how they are replaced while connections run.
//!
//! Invariants: files are the caller's, bytes are ours; nothing is installed that could not complete a handshake; a
//! connection keeps what it was accepted with, new ones take what is installed then. TLS 1.2 and 1.3 by rustls on ring.
//! No session is ever resumed (as PostgreSQL: a session's memory would outlive its connection).

use std::fmt;
use std::sync::Arc;

use heliosdb_types::{Error, Result, SqlState};
use parking_lot::RwLock;
use pgwire::api::auth::sasl::scram::ScramServerAuth;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

/// The protocol a client that begins with TLS at once must name (PostgreSQL 17's `sslnegotiation=direct`).
pub(crate) const ALPN: &[u8] = b"postgresql";

/// What encryption is made of, as PEM.
pub struct TlsMaterial<'a> {
    /// The server's certificate, then those between it and its authority.
    pub certificates: &'a [u8],
    pub key: &'a [u8],
    /// With it, a client must show a certificate one of these authorities signed.
    pub client_authorities: Option<&'a [u8]>,
    /// Sessions without encryption are refused.
    pub required: bool,
}

/// Encryption, ready to be installed.
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) required: bool,
    /// Knows the certificate's hash, for channel binding.
    pub(crate) scram: ScramServerAuth,
}

impl Tls {
    /// Checks and assembles. Errors say which part is wrong; the caller knows which file it came from.
    pub fn new(material: &TlsMaterial<'_>) -> Result<Tls> {
        let provider = Arc::new(crypto::ring::default_provider());
        let chain = certificates(material.certificates, "the server's certificate file")?;
        let key = PrivateKeyDer::from_pem_slice(material.key)
            .map_err(|e| wrong(format!("the server's key file holds no PEM private key: {e}")))?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(format!("TLS cannot be set up: {e}")))?;
        let builder = match material.client_authorities {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(pem, "the client authorities' file")? {
                    roots
                        .add(authority)
                        .map_err(|e| wrong(format!("a client authority's certificate is unusable: {e}")))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|e| wrong(format!("client certificates cannot be checked: {e}")))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|e| wrong(format!("the server's certificate and key do not work together: {e}")))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let mut scram = ScramServerAuth::new();
        if scram.configure_certificate(material.certificates).is_err() {
            tracing::warn!(
                "the certificate's signature has no hash for channel binding; SCRAM-SHA-256-PLUS is not offered"
            );
        }
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), required: material.required, scram })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("required", &self.required).finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong(format!("{what} holds no PEM certificate"))),
        Err(e) => Err(wrong(format!("{what} is not valid PEM: {e}"))),
    }
}

fn wrong(message: String) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// Where connections look for encryption when they begin. Empty: there is none.
#[derive(Clone, Debug, Default)]
pub struct TlsSlot(Arc<RwLock<Option<Arc<Tls>>>>);

impl TlsSlot {
    /// From the next connection on.
    pub fn install(&self, tls: Tls) {
        *self.0.write() = Some(Arc::new(tls));
    }

    pub(crate) fn get(&self) -> Option<Arc<Tls>> {
        self.0.read().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_pem_is_refused_by_name() {
        let material = |certificates, key| TlsMaterial { certificates, key, client_authorities: None, required: false };
        let message = |certificates, key| Tls::new(&material(certificates, key)).unwrap_err().message().to_owned();
        assert!(message(b"hello", b"").contains("no PEM certificate"));
        let bad = b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
        assert!(message(bad, b"").contains("certificate file is not valid PEM"));
        let empty = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(message(empty, b"none").contains("no PEM private key"));
    }
}
