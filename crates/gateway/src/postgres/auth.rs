//! Proving who one is: SCRAM-SHA-256, or being at home (loopback) while the role has no password.
//!
//! The exchange itself is pgwire's, from a stored verifier: what it compares is a hash of the key the proof reveals, so the
//! time of the comparison tells nothing of use. A role that does not exist runs the same exchange against a verifier made
//! up from a secret of the server, the same for each attempt, and fails at its end as a wrong password does.

use std::hash::Hasher;
use std::net::IpAddr;

use bytes::Bytes;
use heliosdb_contracts::{Credential, ScramVerifier, SqlService};
use heliosdb_types::{Error, ErrorKind, SqlState};
use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramSecret, ScramServerAuth};
use pgwire::error::PgWireError;
use pgwire::messages::startup::Authentication;

use super::failure::{Failure, Outcome, violation};
use super::frontend::{PASSWORD, sasl_initial_response};
use super::tls::Tls;
use super::wire::Wire;

const MECHANISM: &str = "SCRAM-SHA-256";
/// With channel binding: the client proves that it speaks over the TLS connection we know, not through somebody else's.
const MECHANISM_BOUND: &str = "SCRAM-SHA-256-PLUS";

/// Runs the exchange; returns when the client is who it says. Does not send AuthenticationOk.
pub(crate) async fn authenticate(
    wire: &mut Wire,
    tls: Option<&Tls>,
    service: &dyn SqlService,
    user: &str,
    server_secret: &[u8],
) -> Outcome<()> {
    let verifier = match service.credential(user).await.map_err(Failure::Fatal)? {
        Credential::NoPassword if wire.peer().is_some_and(|peer| is_loopback(peer.ip())) => return Ok(()),
        Credential::NoPassword => return Err(Failure::Fatal(no_password(user))),
        Credential::Scram(verifier) => verifier,
        Credential::Unknown => made_up(user, server_secret),
    };
    let secret = ScramSecret::Verifier {
        salt: verifier.salt,
        iterations: verifier.iterations as usize,
        stored_key: verifier.stored_key.to_vec(),
        server_key: verifier.server_key.to_vec(),
    };
    let scram = match tls {
        Some(tls) if wire.is_encrypted() => tls.scram.clone(),
        _ => ScramServerAuth::new(),
    };
    let bindable = scram.supports_channel_binding();
    let bound = bindable.then_some(MECHANISM_BOUND);
    wire.send(&Authentication::SASL(bound.into_iter().chain([MECHANISM]).map(str::to_owned).collect()));
    let initial = sasl_initial_response(password_message(wire).await?).map_err(Failure::Fatal)?;
    let binds = match initial.auth_method.as_str() {
        MECHANISM => false,
        MECHANISM_BOUND if bindable => true,
        _ => return Err(Failure::Fatal(violation("client selected an invalid SASL authentication mechanism"))),
    };
    let first = initial.data.unwrap_or_default();
    // The mechanism's name and the message's flag must say the same.
    if first.starts_with(b"p=") != binds {
        return Err(Failure::Fatal(violation("malformed SCRAM message").with_detail(if binds {
            "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data."
        } else {
            "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data."
        })));
    }
    let (server_first, waiting) =
        scram.on_client_first_message_with_secret(&first, secret).map_err(|e| refused(user, &e))?;
    wire.send(&Authentication::SASLContinue(Bytes::from(server_first)));
    let last = password_message(wire).await?;
    let server_final = waiting.on_client_final_message(&last).map_err(|e| refused(user, &e))?;
    wire.send(&Authentication::SASLFinal(Bytes::from(server_final)));
    Ok(())
}

/// The connection is one of this machine's own.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

async fn password_message(wire: &mut Wire) -> Outcome<Bytes> {
    wire.flush().await?;
    loop {
        match wire.frame()? {
            Ok((PASSWORD, body)) => return Ok(body),
            Ok((kind, _)) => {
                return Err(Failure::Fatal(violation(format!("expected SASL response, got message type {kind}"))));
            }
            Err(missing) => wire.fill(missing).await?,
        }
    }
}

fn failed(user: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        SqlState::INVALID_PASSWORD,
        format!("password authentication failed for user \"{user}\""),
    )
}

fn no_password(user: &str) -> Error {
    failed(user)
        .with_detail(format!("User \"{user}\" has no password; only connections from this machine may enter."))
        .with_hint(format!("Connect from the server's machine and run: ALTER ROLE {} PASSWORD '...';", quoted(user)))
}

fn quoted(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn refused(user: &str, error: &PgWireError) -> Failure {
    Failure::Fatal(match error {
        PgWireError::InvalidPassword(_) => failed(user),
        PgWireError::InvalidScramMessage(why) if why.starts_with("Channel binding mismatch") => {
            unbound("SCRAM channel binding check failed")
        }
        PgWireError::InvalidScramMessage(why) if why.starts_with("Channel binding downgrade") => {
            unbound("SCRAM channel binding negotiation error").with_detail(
                "The client supports SCRAM channel binding but thinks the server does not. \
                 However, this server does support channel binding.",
            )
        }
        // The text may hold what the client sent; the log of a client's own error is not worth that.
        _ => violation("malformed SCRAM message"),
    })
}

fn unbound(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message)
}

/// A verifier nobody has the password of; its salt is stable, or asking twice would tell that the role does not exist.
fn made_up(user: &str, server_secret: &[u8]) -> ScramVerifier {
    let word = |part: u8| {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(server_secret);
        hasher.write_u8(part);
        hasher.write(user.as_bytes());
        hasher.finish().to_be_bytes()
    };
    let words = |parts: [u8; 4]| {
        let mut bytes = [0; 32];
        for (chunk, part) in bytes.chunks_exact_mut(8).zip(parts) {
            chunk.copy_from_slice(&word(part));
        }
        bytes
    };
    ScramVerifier {
        iterations: SCRAM_ITERATIONS as u32,
        salt: [word(0), word(1)].concat(),
        stored_key: words([2, 3, 4, 5]),
        server_key: words([6, 7, 8, 9]),
    }
}
