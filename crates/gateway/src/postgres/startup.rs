//! The first packets of a connection: encryption requests, cancel requests, the startup message.

use bytes::{Buf, Bytes};
use heliosdb_types::{Error, ErrorKind, SqlState};
use pgwire::messages::response::{GssEncResponse, SslResponse};
use pgwire::messages::startup::{GssEncRequest, NegotiateProtocolVersion, SslRequest, Startup};

use super::counters::{Counters, add};
use super::failure::{Failure, Outcome, violation};
use super::frontend::startup_parameters;
use super::tls::{ALPN, Tls};
use super::wire::Wire;

/// As PostgreSQL's MAX_STARTUP_PACKET_LENGTH; shared by every message of this stage.
const PACKET_BYTES_MAX: usize = 10_000;
/// Length and code.
const PACKET_BYTES_MIN: usize = 8;
const CANCEL_REQUEST_CODE: i32 = 80_877_102;
/// The newest minor version we speak: 3.2 has longer cancel secrets.
const NEWEST_MINOR: u16 = 2;

/// What a new connection wants.
pub(crate) enum Opening {
    Session(Hello),
    Cancel { pid: i32, secret: Bytes },
}

/// A startup message.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) user: String,
    pub(crate) database: String,
    /// All others.
    pub(crate) parameters: Vec<(String, String)>,
    /// The protocol's minor version as agreed.
    pub(crate) minor: u16,
}

impl Hello {
    /// Bytes of the cancel secret: 4 before version 3.2.
    pub(crate) fn secret_len(&self) -> usize {
        if self.minor >= 2 { 32 } else { 4 }
    }
}

/// The first byte of a TLS handshake; a packet's length never begins so.
const TLS_HANDSHAKE: u8 = 0x16;

/// Everything before authentication. With `tls`, the client may, or must, encrypt first.
pub(crate) async fn open(wire: &mut Wire, tls: Option<&Tls>, counters: &Counters) -> Outcome<Opening> {
    if let Some(tls) = tls
        && wire.peek().await? == TLS_HANDSHAKE
        && encrypt(wire, tls, counters).await?.as_deref() != Some(ALPN)
    {
        return Err(fatal("received direct SSL connection request without ALPN protocol negotiation extension"));
    }
    // A client may ask for TLS and for GSSAPI once each before it starts.
    let (mut asked_ssl, mut asked_gss) = (false, false);
    loop {
        let mut body = packet(wire).await?;
        let code = body.get_i32();
        match code {
            SslRequest::BODY_MAGIC_NUMBER if !asked_ssl && !wire.is_encrypted() => {
                asked_ssl = true;
                if let Some(tls) = tls {
                    wire.send(&SslResponse::Accept);
                    wire.flush().await?;
                    encrypt(wire, tls, counters).await?;
                    continue;
                }
                wire.send(&SslResponse::Refuse);
                wire.flush().await?;
            }
            GssEncRequest::BODY_MAGIC_NUMBER if !asked_gss && !wire.is_encrypted() => {
                asked_gss = true;
                wire.send(&GssEncResponse::Refuse);
                wire.flush().await?;
            }
            CANCEL_REQUEST_CODE => {
                let pid = body.try_get_i32().map_err(|_| fatal("invalid length of cancel request packet"))?;
                return Ok(Opening::Cancel { pid, secret: body });
            }
            _ => {
                let hello = hello(wire, code, body)?;
                if tls.is_some_and(|tls| tls.required) && !wire.is_encrypted() {
                    return Err(Failure::Fatal(unencrypted(wire, &hello)));
                }
                return Ok(Opening::Session(hello));
            }
        }
    }
}

/// The handshake; the protocol agreed on, if any. Its failure is told by TLS itself, if at all.
async fn encrypt(wire: &mut Wire, tls: &Tls, counters: &Counters) -> Outcome<Option<Vec<u8>>> {
    if !wire.pending().is_empty() {
        let wrong = violation("received unencrypted data after SSL request").with_detail(
            "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
        );
        return Err(Failure::Fatal(wrong));
    }
    match wire.encrypt(tls).await {
        Ok(protocol) => {
            add(&counters.tls_connections, 1);
            Ok(protocol)
        }
        Err(error) => {
            add(&counters.tls_failures, 1);
            tracing::info!(%error, peer = ?wire.peer(), "could not accept a TLS connection");
            Err(Failure::Gone)
        }
    }
}

/// 28000, with the words by which clients recognise that they should encrypt.
fn unencrypted(wire: &Wire, hello: &Hello) -> Error {
    let host = wire.peer().map_or_else(|| "unknown".to_owned(), |peer| peer.ip().to_canonical().to_string());
    let (user, database) = (&hello.user, &hello.database);
    Error::new(
        ErrorKind::Invalid,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        format!("connection from host \"{host}\", user \"{user}\", database \"{database}\" refused, no encryption"),
    )
    .with_hint("This server accepts encrypted connections only: connect with sslmode=require or stricter.")
}

fn fatal(message: &str) -> Failure {
    Failure::Fatal(violation(message))
}

/// One packet without its length: at least four bytes.
async fn packet(wire: &mut Wire) -> Outcome<Bytes> {
    let length = loop {
        match wire.pending().first_chunk::<4>() {
            Some(length) => break u32::from_be_bytes(*length) as usize,
            None => wire.fill(PACKET_BYTES_MIN).await?,
        }
    };
    if !(PACKET_BYTES_MIN..=PACKET_BYTES_MAX).contains(&length) {
        return Err(fatal("invalid length of startup packet"));
    }
    while wire.pending().len() < length {
        wire.fill(length).await?;
    }
    let mut packet = wire.take(length);
    packet.advance(4);
    Ok(packet)
}

fn hello(wire: &mut Wire, code: i32, body: Bytes) -> Outcome<Hello> {
    let (major, minor) = ((code as u32) >> 16, code as u16);
    if major != u32::from(Startup::PG_PROTOCOL_LATEST) {
        return Err(Failure::Fatal(Error::invalid(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{NEWEST_MINOR}"),
        )));
    }
    let all = startup_parameters(body).map_err(Failure::Fatal)?;
    let (options, named): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| name.starts_with("_pq_."));
    let agreed = minor.min(NEWEST_MINOR);
    if minor > NEWEST_MINOR || !options.is_empty() {
        let version = i32::from(Startup::PG_PROTOCOL_LATEST) << 16 | i32::from(agreed);
        let unknown = options.into_iter().map(|(name, _)| name).collect();
        wire.send(&NegotiateProtocolVersion::new(version, unknown));
    }
    let (mut user, mut database, mut parameters) = (String::new(), String::new(), Vec::new());
    for (name, value) in named {
        match name.as_str() {
            "user" => user = value,
            "database" => database = value,
            "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
            "replication" => return Err(Failure::Fatal(Error::unsupported("a replication connection"))),
            _ => parameters.push((name, value)),
        }
    }
    if user.is_empty() {
        return Err(Failure::Fatal(Error::new(
            ErrorKind::Invalid,
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "no PostgreSQL user name specified in startup packet",
        )));
    }
    if database.is_empty() {
        database.clone_from(&user);
    }
    Ok(Hello { user, database, parameters, minor: agreed })
}
