//! The first packets of a connection: encryption requests, cancel requests, the startup message.

use bytes::{Buf, Bytes};
use heliosdb_types::{Error, ErrorKind, SqlState};
use pgwire::messages::response::{GssEncResponse, SslResponse};
use pgwire::messages::startup::{GssEncRequest, NegotiateProtocolVersion, SslRequest, Startup};

use super::failure::{Failure, Outcome, violation};
use super::frontend::startup_parameters;
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

pub(crate) async fn open(wire: &mut Wire) -> Outcome<Opening> {
    // A client may ask for TLS and for GSSAPI once each before it starts.
    let (mut asked_ssl, mut asked_gss) = (false, false);
    loop {
        let mut body = packet(wire).await?;
        let code = body.get_i32();
        match code {
            SslRequest::BODY_MAGIC_NUMBER if !asked_ssl => {
                asked_ssl = true;
                wire.send(&SslResponse::Refuse);
                wire.flush().await?;
            }
            GssEncRequest::BODY_MAGIC_NUMBER if !asked_gss => {
                asked_gss = true;
                wire.send(&GssEncResponse::Refuse);
                wire.flush().await?;
            }
            CANCEL_REQUEST_CODE => {
                let pid = body.try_get_i32().map_err(|_| fatal("invalid length of cancel request packet"))?;
                return Ok(Opening::Cancel { pid, secret: body });
            }
            _ => return hello(wire, code, body).map(Opening::Session),
        }
    }
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
