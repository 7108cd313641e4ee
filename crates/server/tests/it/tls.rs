//! Encrypted connections of a real server: psql as people use it, a driver, and raw TLS where both are too polite.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::authority::Authority;
use crate::process::Process;
use crate::tls_client::{Rustls, client_config};

fn start(authority: &Authority, dir: &std::path::Path, more: &[&str]) -> Process {
    let (cert, key) = (authority.show("server.crt"), authority.show("server.key"));
    Process::start(dir, &[&["--tls-cert", &cert, "--tls-key", &key], more].concat())
}

/// What psql prints, with `sesame` as password.
fn psql(server: &Process, settings: &str, sql: &str) -> Output {
    let settings = format!("host=localhost port={} user=postgres dbname=postgres {settings}", server.pg_port);
    let mut command = Command::new("psql");
    command.args(["-X", "-A", "-t", "-v", "VERBOSITY=verbose", "-f", "-", &settings]).env("PGPASSWORD", "sesame");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("HOME", "/nonexistent");
    let mut child = command.spawn().unwrap();
    // One that could not connect reads nothing.
    let _ = child.stdin.take().unwrap().write_all(format!("{sql}\n;\n").as_bytes());
    child.wait_with_output().unwrap()
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn answered(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn with_password(server: &Process) {
    server.sql("", "ALTER ROLE postgres PASSWORD 'sesame'").unwrap();
}

#[test]
fn psql_verifies_binds_and_may_still_go_without() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("server");
    let server = start(&authority, dir.path(), &[]);
    assert!(server.banner.contains("(TLS)"), "{}", server.banner);
    with_password(&server);
    let root = authority.show("ca.crt");
    let full = format!("sslmode=verify-full sslrootcert={root}");
    assert_eq!(answered(&psql(&server, &full, "SELECT 1")), "1");
    assert_eq!(answered(&psql(&server, &format!("{full} channel_binding=require"), "SELECT 2")), "2");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let settings = format!("{full} ssl_min_protocol_version={version} ssl_max_protocol_version={version}");
        let conninfo = answered(&psql(&server, &settings, "\\conninfo"));
        assert!(conninfo.contains(version), "{conninfo}");
    }
    // More than any buffer holds, both ways.
    let long = "x".repeat(300_000);
    let length = format!("SELECT length('{long}'), repeat('y', 3000000)");
    let text = answered(&psql(&server, &full, &length));
    assert!(text.starts_with("300000|yyy") && text.len() == 7 + 3_000_000);
    assert_eq!(answered(&psql(&server, "sslmode=disable", "SELECT 3")), "3");
    let stranger = Authority::new();
    let wrong =
        refused(&psql(&server, &format!("sslmode=verify-full sslrootcert={}", stranger.show("ca.crt")), "SELECT 1"));
    assert!(wrong.contains("certificate verify failed"), "{wrong}");
    let unbound = refused(&psql(&server, "sslmode=disable channel_binding=require", "SELECT 1"));
    assert!(unbound.contains("channel binding"), "{unbound}");
    let (_, metrics) = server.get("/metrics");
    assert!(!metrics.contains("heliosdb_tls_connections_total 0"), "{metrics}");
}

#[test]
fn required_encryption_refuses_the_rest() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("server");
    let server = start(&authority, dir.path(), &["--tls-mode", "require"]);
    let refusal = refused(&psql(&server, "sslmode=disable", "SELECT 1"));
    assert!(refusal.contains("no encryption") && refusal.contains("sslmode=require"), "{refusal}");
    assert_eq!(answered(&psql(&server, "sslmode=prefer", "SELECT 1")), "1");
}

#[test]
fn client_certificates_are_demanded_and_checked() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("server");
    authority.sign("postgres");
    let root = authority.show("ca.crt");
    let server = start(&authority, dir.path(), &["--tls-mode", "require", "--tls-client-ca", &root]);
    let bare = refused(&psql(&server, "sslmode=require", "SELECT 1"));
    assert!(bare.contains("certificate required") || bare.contains("alert"), "{bare}");
    let shown = |authority: &Authority| {
        let (cert, key) = (authority.show("postgres.crt"), authority.show("postgres.key"));
        Command::new("chmod").args(["600", &key]).status().unwrap();
        format!("sslmode=verify-full sslrootcert={root} sslcert={cert} sslkey={key}")
    };
    assert_eq!(answered(&psql(&server, &shown(&authority), "SELECT 1")), "1");
    let stranger = Authority::new();
    stranger.sign("postgres");
    refused(&psql(&server, &shown(&stranger), "SELECT 1"));
}

#[test]
fn a_new_certificate_counts_from_sighup_on_and_a_bad_one_never() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("server");
    let server = start(&authority, dir.path(), &[]);
    let other = Authority::new();
    other.sign("server");
    let trusts = |authority: &Authority| {
        let settings = format!("sslmode=verify-full sslrootcert={}", authority.show("ca.crt"));
        psql(&server, &settings, "SELECT 1").status.success()
    };
    assert!(trusts(&authority) && !trusts(&other));
    std::fs::write(authority.path("server.crt"), "nonsense").unwrap();
    server.signal("HUP");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(trusts(&authority), "what cannot be read changes nothing");
    for file in ["server.crt", "server.key"] {
        std::fs::copy(other.path(file), authority.path(file)).unwrap();
    }
    server.signal("HUP");
    for _ in 0..100 {
        if trusts(&other) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the new certificate is not used");
}

#[tokio::test]
async fn a_driver_binds_the_channel() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("server");
    let server = start(&authority, dir.path(), &["--tls-mode", "require"]);
    let connect = async |settings: &str| {
        let settings = format!("host=127.0.0.1 port={} user=postgres sslmode=require {settings}", server.pg_port);
        let tls = Rustls(client_config(&authority.path("ca.crt"), &[]));
        let (client, connection) = tokio_postgres::connect(&settings, tls).await?;
        tokio::spawn(connection);
        Ok::<_, tokio_postgres::Error>(client)
    };
    let client = connect("").await.unwrap();
    client.batch_execute("ALTER ROLE postgres PASSWORD 'sesame'").await.unwrap();
    let client = connect("password=sesame channel_binding=require").await.unwrap();
    assert_eq!(client.query_one("SELECT 41 + $1::int", &[&1]).await.unwrap().get::<_, i32>(0), 42);
    let wrong = connect("password=guess channel_binding=require").await.err().unwrap();
    assert_eq!(wrong.code(), Some(&tokio_postgres::error::SqlState::INVALID_PASSWORD));
    // Cancelling works over a second, encrypted connection.
    let cancel = client.cancel_token();
    let tls = Rustls(client_config(&authority.path("ca.crt"), &[]));
    let slow =
        client.batch_execute("SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b");
    let cancelled = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        cancel.cancel_query(tls).await.unwrap();
    };
    let (slow, ()) = tokio::join!(slow, cancelled);
    assert_eq!(slow.unwrap_err().code(), Some(&tokio_postgres::error::SqlState::QUERY_CANCELED));
}

/// A startup message for the superuser.
fn startup() -> Vec<u8> {
    let body = [&196_608_i32.to_be_bytes()[..], b"user\0postgres\0\0"].concat();
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}

#[tokio::test]
async fn tls_at_once_needs_its_name_and_nothing_slips_in_before() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("server");
    let server = start(&authority, dir.path(), &[]);
    let dial = async || TcpStream::connect(("127.0.0.1", server.pg_port)).await.unwrap();
    let name = || ServerName::try_from("localhost").unwrap();
    let direct = async |alpn: &[&[u8]]| {
        let connector = TlsConnector::from(client_config(&authority.path("ca.crt"), alpn));
        let mut tls = connector.connect(name(), dial().await).await.unwrap();
        tls.write_all(&startup()).await.unwrap();
        tls.flush().await.unwrap();
        let mut answer = [0; 64];
        let got = tls.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..got]).into_owned()
    };
    assert!(direct(&[b"postgresql"]).await.starts_with('R'));
    let unnamed = direct(&[]).await;
    assert!(unnamed.starts_with('E') && unnamed.contains("08P01"), "{unnamed}");
    // A packet slipped in behind the request, before encryption, must not be taken for the client's.
    let mut socket = dial().await;
    let request = [&8_u32.to_be_bytes()[..], &80_877_103_u32.to_be_bytes(), &startup()].concat();
    socket.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("received unencrypted data after SSL request"));
    // GSSAPI is declined and TLS still offered.
    let mut socket = dial().await;
    for (code, expected) in [(80_877_104_u32, b'N'), (80_877_103, b'S')] {
        socket.write_all(&[8_u32.to_be_bytes(), code.to_be_bytes()].concat()).await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), expected);
    }
}

#[test]
fn half_a_setup_is_refused_at_start() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("server");
    let file = dir.path().join("heliosdb.toml");
    let start = |config: &str| {
        std::fs::write(&file, config).unwrap();
        let mut command = crate::process::heliosdb();
        command.arg("start").arg("--config").arg(&file).args(["--pg-port", "0", "--http-port", "0", "--data-dir"]);
        let output = crate::process::run(command.arg(dir.path().join("data")));
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(start("[tls]\nmode = \"require\"\n").contains("needs tls.cert and tls.key"));
    let missing = start("[tls]\ncert = \"/nowhere/a.crt\"\nkey = \"/nowhere/a.key\"\n");
    assert!(missing.contains("/nowhere/a.crt"), "{missing}");
    let (cert, key) = (authority.show("server.crt"), authority.show("ca.key"));
    let mismatch = start(&format!("[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n"));
    assert!(mismatch.contains("do not work together"), "{mismatch}");
    assert!(start("[tls]\nceert = \"x\"\n").contains("ceert"));
}
