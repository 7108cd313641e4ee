//! Starting up and proving who one is.

use std::time::Duration;

use heliosdb_gateway::postgres::Options;
use tokio_postgres::error::SqlState;

use crate::mock::{start, start_with};
use crate::raw::{Raw, field, kinds, startup, states};

#[tokio::test]
async fn a_role_without_a_password_enters_from_loopback() {
    let fixture = start().await;
    let client = fixture.connect("user=postgres application_name=test").await.unwrap();
    client.simple_query("insert").await.unwrap();
}

#[tokio::test]
async fn scram_admits_the_right_password_only() {
    let fixture = start().await;
    fixture.connect("user=alice dbname=db password=secret").await.unwrap();
    let wrong = fixture.connect("user=alice dbname=db password=guess").await.err().unwrap();
    assert_eq!(wrong.code(), Some(&SqlState::INVALID_PASSWORD));
    assert!(wrong.as_db_error().unwrap().message().contains("password authentication failed for user \"alice\""));
}

#[tokio::test]
async fn an_unknown_role_looks_like_a_wrong_password() {
    let fixture = start().await;
    let unknown = fixture.connect("user=mallory dbname=db password=guess").await.err().unwrap();
    assert_eq!(unknown.code(), Some(&SqlState::INVALID_PASSWORD));
    // The salt must be the same each time, or it would tell.
    let mut salts = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(fixture.address).await;
        raw.send(&startup(196_608, &[("user", "mallory")])).await;
        assert_eq!(raw.next().await.unwrap().0, 'R');
        let first = b"n,,n=,r=abcdefgh";
        let mut body = b"SCRAM-SHA-256\0".to_vec();
        body.extend_from_slice(&(first.len() as u32).to_be_bytes());
        body.extend_from_slice(first);
        raw.send(&crate::raw::frame(b'p', &body)).await;
        let (_, answer) = raw.next().await.unwrap();
        let text = String::from_utf8_lossy(&answer[4..]).into_owned();
        salts.push(text.split(",s=").nth(1).unwrap().to_owned());
    }
    assert_eq!(salts[0], salts[1]);
}

#[tokio::test]
async fn a_missing_database_is_an_error_after_authentication() {
    let fixture = start().await;
    let error = fixture.connect("user=postgres dbname=nowhere").await.err().unwrap();
    assert_eq!(error.code(), Some(&SqlState::INVALID_CATALOG_NAME));
}

#[tokio::test]
async fn encryption_is_refused_politely_and_newer_protocols_negotiated() {
    let fixture = start().await;
    let mut raw = Raw::connect(fixture.address).await;
    for code in [80_877_103_i32, 80_877_104] {
        raw.send(&[&8_i32.to_be_bytes()[..], &code.to_be_bytes()].concat()).await;
        let mut answer = [0];
        tokio::io::AsyncReadExt::read_exact(&mut raw.socket, &mut answer).await.unwrap();
        assert_eq!(answer, *b"N");
    }
    let parameters = [("user", "postgres"), ("_pq_.wish", "1")];
    let hello = raw.ask(&startup(3 << 16 | 9, &parameters)).await;
    assert!(kinds(&hello).starts_with("vR"), "{}", kinds(&hello));
    let negotiated = &hello[0].1;
    assert_eq!(negotiated[..8], [0, 3, 0, 2, 0, 0, 0, 1]);
    assert_eq!(&negotiated[8..], b"_pq_.wish\0");
    let key = hello.iter().find(|(kind, _)| *kind == 'K').unwrap();
    assert_eq!(key.1.len(), 4 + 32, "3.2 has a long secret");
    let mut old = Raw::connect(fixture.address).await;
    let hello = old.ask(&startup(196_608, &[("user", "postgres")])).await;
    assert_eq!(hello.iter().find(|(kind, _)| *kind == 'K').unwrap().1.len(), 8);
}

#[tokio::test]
async fn wrong_startup_packets_are_explained() {
    let fixture = start().await;
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("old protocol", startup(2 << 16, &[("user", "postgres")]), "0A000"),
        ("no user", startup(196_608, &[("database", "x")]), "28000"),
        ("too long", [&20_000_u32.to_be_bytes()[..], b"xxxx"].concat(), "08P01"),
        ("too short", 7_u32.to_be_bytes().to_vec(), "08P01"),
        ("a browser", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "08P01"),
        ("replication", startup(196_608, &[("user", "postgres"), ("replication", "true")]), "0A000"),
    ];
    for (what, bytes, state) in cases {
        let mut raw = Raw::connect(fixture.address).await;
        raw.send(&bytes).await;
        let messages = raw.until_closed().await;
        assert_eq!(states(&messages), [state], "{what}");
        assert_eq!(field(&messages[0].1, 'S').unwrap(), "FATAL", "{what}");
    }
}

#[tokio::test]
async fn silence_is_cut_off() {
    let options = Options { authentication_timeout: Duration::from_millis(100), ..Options::default() };
    let fixture = start_with(options).await;
    for said in [Vec::new(), vec![0, 0], startup(196_608, &[("user", "alice")])] {
        let mut raw = Raw::connect(fixture.address).await;
        raw.send(&said).await;
        let messages = raw.until_closed().await;
        assert_eq!(states(&messages), ["57014"]);
    }
    // A session that has started may be silent for as long as it likes.
    let mut raw = Raw::login(fixture.address).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    raw.ask(&crate::raw::query("insert")).await;
}

#[tokio::test]
async fn one_session_too_many_is_told_so() {
    let fixture = start_with(Options { connections_max: 2, ..Options::default() }).await;
    let first = fixture.client().await;
    let _second = fixture.client().await;
    let third = fixture.connect("user=postgres").await.err().unwrap();
    assert_eq!(third.code(), Some(&SqlState::TOO_MANY_CONNECTIONS));
    drop(first);
    fixture
        .log
        .wait_until("the first session ends", |log| log.sessions.load(std::sync::atomic::Ordering::SeqCst) == 1)
        .await;
    // The seat is freed right after the session.
    for _ in 0..100 {
        if fixture.connect("user=postgres").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the seat was not freed");
}

#[tokio::test]
async fn wrong_passwords_are_answered_later_and_later() {
    let options = Options { failure_delay: Duration::from_millis(40), ..Options::default() };
    let fixture = start_with(options).await;
    let attempt = async |password: &str| {
        let began = std::time::Instant::now();
        let done = fixture.connect(&format!("user=alice dbname=db password={password}")).await;
        (done.is_ok(), began.elapsed())
    };
    for (nth, least) in [40, 80, 160, 320].into_iter().enumerate() {
        let (admitted, took) = attempt("guess").await;
        assert!(!admitted && took >= Duration::from_millis(least), "attempt {nth} took {took:?}");
    }
    // The right one is never late, and makes up for the others.
    assert!(attempt("secret").await.0);
    let (_, took) = attempt("guess").await;
    assert!(took >= Duration::from_millis(40) && took < Duration::from_millis(300), "{took:?}");
}
