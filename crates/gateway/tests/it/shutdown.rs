//! Cancelling, hanging up, stopping.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::mock::start;
use crate::raw::{Raw, kinds, query, startup, states};

#[tokio::test]
async fn a_cancel_request_stops_the_running_statement_only() {
    let fixture = start().await;
    let client = fixture.client().await;
    let token = client.cancel_token();
    for statement in ["slow", "wait"] {
        let running = client.simple_query(statement);
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            token.cancel_query(tokio_postgres::NoTls).await.unwrap();
        };
        let (result, ()) = tokio::join!(running, cancel);
        assert_eq!(result.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED), "{statement}");
        client.simple_query("insert").await.unwrap();
    }
    assert_eq!(fixture.server.counters().cancel_requests.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_wrong_secret_cancels_nothing() {
    let fixture = start().await;
    let mut raw = Raw::connect(fixture.address).await;
    let hello = raw.ask(&startup(196_608, &[("user", "postgres")])).await;
    let key = hello.iter().find(|(kind, _)| *kind == 'K').unwrap().1.clone();
    let request = |pid: &[u8], secret: &[u8]| {
        let len = (8 + pid.len() + secret.len()) as u32;
        [&len.to_be_bytes()[..], &80_877_102_i32.to_be_bytes(), pid, secret].concat()
    };
    let wrong: Vec<u8> = key[4..].iter().map(|b| b ^ 1).collect();
    for (pid, secret) in
        [(&key[..4], &wrong[..]), (&[0, 0, 0, 1], &key[4..]), (&key[..4], &key[4..7]), (&key[..2], &[])]
    {
        let mut other = Raw::connect(fixture.address).await;
        other.send(&request(pid, secret)).await;
        other.until_closed().await;
    }
    assert_eq!(fixture.log.cancels.load(Ordering::SeqCst), 0);
    let mut other = Raw::connect(fixture.address).await;
    other.send(&request(&key[..4], &key[4..])).await;
    assert_eq!(kinds(&other.until_closed().await), "");
    assert_eq!(fixture.log.cancels.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_its_statement() {
    let fixture = start().await;
    for statement in ["slow", "wait"] {
        let mut raw = Raw::login(fixture.address).await;
        raw.send(&query(statement)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = fixture.log.cancels.load(Ordering::SeqCst);
        drop(raw);
        fixture.log.wait_until("cancelled", |log| log.cancels.load(Ordering::SeqCst) > before).await;
        fixture.log.wait_until("session dropped", |log| log.sessions.load(Ordering::SeqCst) == 0).await;
    }
}

#[tokio::test]
async fn stopping_lets_statements_end_and_tells_the_idle() {
    let fixture = start().await;
    let mut idle = Raw::login(fixture.address).await;
    let mut busy = Raw::login(fixture.address).await;
    busy.send(&query("pause 300")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let left = fixture.server.shutdown(Duration::from_secs(10)).await;
    assert_eq!(left, 0);
    assert_eq!(states(&idle.until_closed().await), ["57P01"]);
    let messages = busy.until_closed().await;
    assert_eq!(kinds(&messages), "CZE", "the statement ended, then the session");
    assert_eq!(fixture.log.cancels.load(Ordering::SeqCst), 0);
    assert!(tokio::net::TcpStream::connect(fixture.address).await.is_err(), "it no longer listens");
}

#[tokio::test]
async fn stopping_cancels_what_does_not_end() {
    let fixture = start().await;
    let mut slow = Raw::login(fixture.address).await;
    slow.send(&query("slow")).await;
    // One that never reads what it asked for.
    let mut deaf = Raw::login(fixture.address).await;
    deaf.send(&query("big 10000")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stop = fixture.server.shutdown(Duration::from_millis(100));
    let left = tokio::time::timeout(Duration::from_secs(10), stop).await.expect("it stops in time");
    assert_eq!(left, 0);
    let messages = slow.until_closed().await;
    assert_eq!(states(&messages), ["57P01"]);
}
