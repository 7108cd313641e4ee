//! COPY in and out.

use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};
use std::pin::pin;

use crate::mock::start;
use crate::raw::{Raw, bind, execute, frame, kinds, parse, query, states, sync, tags};

#[tokio::test]
async fn data_goes_in_through_a_client_library() {
    let fixture = start().await;
    let client = fixture.client().await;
    let mut sink = pin!(client.copy_in("copyin").await.unwrap());
    for _ in 0..1000 {
        sink.send(Bytes::from_static(b"1\tone\n")).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 1000);
    assert_eq!(fixture.log.copied.lock().len(), 6000);
    client.simple_query("insert").await.unwrap();
}

#[tokio::test]
async fn data_comes_out() {
    let fixture = start().await;
    let client = fixture.client().await;
    let chunks: Vec<Bytes> = client.copy_out("copyout 50000").await.unwrap().try_collect().await.unwrap();
    let text: String = chunks.iter().map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
    assert_eq!(text.lines().count(), 50_000);
    assert_eq!(text.lines().next_back(), Some("49999"));
    let mut raw = Raw::login(fixture.address).await;
    let messages = raw.ask(&query("copyout 2")).await;
    assert_eq!(kinds(&messages), "HddcCZ");
    assert_eq!(tags(&messages), ["COPY 2"]);
}

#[tokio::test]
async fn a_bad_row_ends_the_copy_and_what_still_comes_is_ignored() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    // psql keeps sending until it has seen the error.
    let data = [frame(b'd', b"1\tx\n"), frame(b'd', b"bad\n"), frame(b'd', b"2\ty\n"), frame(b'c', b"")].concat();
    raw.send(&query("copyin")).await;
    assert_eq!(raw.next().await.unwrap(), ('G', vec![0, 0, 2, 0, 0, 0, 0]));
    let messages = raw.ask(&data).await;
    assert_eq!((kinds(&messages).as_str(), states(&messages)), ("EZ", vec!["22P04".to_owned()]));
    assert_eq!(fixture.log.take(), ["execute copyin", "fail 22P04"]);
    assert_eq!(kinds(&raw.ask(&query("insert")).await), "CZ");
}

#[tokio::test]
async fn a_client_may_give_up() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    raw.send(&query("copyin")).await;
    raw.next().await.unwrap();
    let messages = raw.ask(&[frame(b'd', b"1\tx\n"), frame(b'f', b"changed my mind\0")].concat()).await;
    assert_eq!(states(&messages), ["57014"]);
    assert_eq!(fixture.log.take(), ["execute copyin", "abandon changed my mind", "fail 57014"]);
}

#[tokio::test]
async fn in_the_extended_protocol_early_syncs_do_not_count() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    raw.send(&[parse("", "copyin"), bind("", "", 0, &[], 0), execute("", 0), sync()].concat()).await;
    for expected in ['1', '2', 'G'] {
        assert_eq!(raw.next().await.unwrap().0, expected);
    }
    let messages = raw.ask(&[frame(b'd', b"1\tx\n"), frame(b'c', b""), sync()].concat()).await;
    assert_eq!((kinds(&messages).as_str(), tags(&messages)), ("CZ", vec!["COPY 1".to_owned()]));
}

#[tokio::test]
async fn another_message_or_a_lost_connection_abandons_the_copy() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    raw.send(&query("copyin")).await;
    raw.next().await.unwrap();
    assert_eq!(states(&raw.ask(&query("insert")).await), ["08P01"]);
    raw.send(&query("copyin")).await;
    raw.next().await.unwrap();
    drop(raw);
    let seen = |call: &str, log: &crate::mock::Log| log.take().iter().any(|c| c == call);
    fixture.log.wait_until("abandon", |log| seen("abandon connection lost during COPY from stdin", log)).await;
}
