//! Garbage, lies about lengths, silence, deafness: bounded cost, a clear end, and no harm to others.

use std::sync::atomic::Ordering;
use std::time::Duration;

use heliosdb_gateway::postgres::Options;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::mock::{Fixture, start, start_with};
use crate::raw::{Raw, bind, describe, execute, frame, kinds, parse, query, startup, states, sync};

/// Another connection still works.
async fn unharmed(fixture: &Fixture) {
    let mut raw = Raw::login(fixture.address).await;
    assert_eq!(kinds(&raw.ask(&query("rows 1")).await), "TDCZ");
}

#[tokio::test]
async fn lies_about_lengths_and_unknown_types_end_the_connection() {
    let fixture = start().await;
    let cases: [(&str, Vec<u8>); 6] = [
        ("negative", [b"Q".as_slice(), &(-1_i32).to_be_bytes()].concat()),
        ("shorter than itself", [b"Q".as_slice(), &3_i32.to_be_bytes()].concat()),
        ("2 GB", [b"Q".as_slice(), &i32::MAX.to_be_bytes()].concat()),
        ("a large Sync", [b"S".as_slice(), &20_000_i32.to_be_bytes()].concat()),
        ("unknown type", frame(b'~', b"")),
        ("a password now", frame(b'p', b"x\0")),
    ];
    for (what, bytes) in cases {
        let mut raw = Raw::login(fixture.address).await;
        raw.send(&bytes).await;
        assert_eq!(states(&raw.until_closed().await), ["08P01"], "{what}");
    }
    unharmed(&fixture).await;
}

#[tokio::test]
async fn malformed_bodies_fail_their_statement_only() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    for kind in [b'P', b'B', b'D', b'E', b'C'] {
        for body in [&b""[..], b"x", b"\0", b"\0\0\xff\xff\xff\xff", &[0xff; 100]] {
            let messages = raw.ask(&[frame(kind, body), sync()].concat()).await;
            assert_eq!(kinds(&messages), "EZ", "{} {body:?}", char::from(kind));
            assert!(["08P01", "22021", "26000", "34000"].contains(&states(&messages)[0].as_str()));
        }
    }
    for body in [&b""[..], b"no end", b"two\0ends\0", b"\xff\0"] {
        let messages = raw.ask(&frame(b'Q', body)).await;
        assert_eq!(kinds(&messages), "EZ", "{body:?}");
    }
    assert_eq!(kinds(&raw.ask(&query("insert")).await), "CZ");
}

#[tokio::test]
async fn a_claimed_length_costs_nothing() {
    let fixture = start().await;
    // Two hundred clients promise 200 MB each. Were memory taken by the promise, this would need 40 GB.
    let mut liars = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::login(fixture.address).await;
        raw.send(&[b"Q".as_slice(), &200_000_000_i32.to_be_bytes(), b"select"].concat()).await;
        liars.push(raw);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let resident = resident_bytes();
    assert!(resident < 400 << 20, "{resident} bytes resident");
    unharmed(&fixture).await;
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_and_one_below_is_not() {
    let fixture = start_with(Options { message_bytes_max: 1 << 20, ..Options::default() }).await;
    let mut raw = Raw::login(fixture.address).await;
    let long = format!("insert;{}", " ".repeat(1_000_000));
    assert_eq!(kinds(&raw.ask(&query(&long)).await), "CZ");
    raw.send(&[b"Q".as_slice(), &(2_i32 << 20).to_be_bytes()].concat()).await;
    assert_eq!(states(&raw.until_closed().await), ["08P01"]);
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_own_result() {
    let fixture = start().await;
    let mut deaf = Raw::login(fixture.address).await;
    deaf.send(&query("big 100000")).await;
    let batches = || fixture.log.batches.load(Ordering::SeqCst);
    // The stream stops as soon as the buffers of both sockets are full.
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if batches() == last {
            break;
        }
        last = batches();
    }
    assert!(last < 2_000, "{last} batches of 200 KB are on the way");
    unharmed(&fixture).await;
    drop(deaf);
    fixture.log.wait_until("session dropped", |log| log.sessions.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_defect_of_the_engine_ends_one_connection() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    raw.send(&query("panic")).await;
    assert_eq!(states(&raw.until_closed().await), ["XX000"]);
    assert_eq!(fixture.server.counters().panics.load(Ordering::Relaxed), 1);
    unharmed(&fixture).await;
}

#[tokio::test]
async fn a_query_may_arrive_byte_by_byte() {
    let fixture = start().await;
    let mut raw = Raw::connect(fixture.address).await;
    let talk = [startup(196_608, &[("user", "postgres")]), query("rows 2"), parse("", "insert"), sync()].concat();
    raw.socket.set_nodelay(true).unwrap();
    for byte in talk {
        raw.send(&[byte]).await;
    }
    raw.until_ready().await;
    assert_eq!(kinds(&raw.until_ready().await), "TDDCZ");
    assert_eq!(kinds(&raw.until_ready().await), "1Z");
}

/// Says `bytes` after a login (or instead of one) and reads until the server has nothing more to say.
async fn say(fixture: &Fixture, login: bool, bytes: &[u8]) {
    let mut raw = if login { Raw::login(fixture.address).await } else { Raw::connect(fixture.address).await };
    // The server may close while we still speak.
    let _ = raw.socket.write_all(bytes).await;
    let _ = raw.socket.shutdown().await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), raw.socket.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the server neither answered nor closed after {bytes:?}");
}

/// Messages a client may send, some of them damaged.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        Just(query("rows 3")),
        Just(query("begin; error")),
        Just(query("copyin")),
        Just(parse("", "echo int4 text")),
        Just(parse("s", "rows 5")),
        Just(bind("", "", 1, &[Some(&[0, 0, 0, 1]), Some(b"x")], 1)),
        Just(bind("p", "s", 0, &[], 0)),
        Just(describe('S', "")),
        Just(describe('P', "p")),
        Just(execute("", 0)),
        Just(execute("p", 2)),
        Just(frame(b'd', b"1\tx\n")),
        Just(frame(b'c', b"")),
        Just(frame(b'f', b"no\0")),
        Just(sync()),
        (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(kind, body)| frame(kind, &body)),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let damage = (any::<prop::sample::Index>(), any::<u8>(), 0..10_u8);
    (whole, damage).prop_map(|(mut bytes, (at, byte, chance))| {
        if chance == 0 && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

#[test]
fn any_stream_of_messages_ends_well() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let fixture = runtime.block_on(start());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = (any::<bool>(), prop::collection::vec(messages(), 0..30));
    let result = runner.run(&strategy, |(login, messages)| {
        runtime.block_on(say(&fixture, login, &messages.concat()));
        Ok(())
    });
    result.unwrap();
    assert_eq!(fixture.server.counters().panics.load(Ordering::Relaxed), 0);
    runtime.block_on(unharmed(&fixture));
}

#[tokio::test]
async fn long_messages_of_all_connections_together_are_bounded() {
    let fixture =
        start_with(Options { inbox_bytes_max: 3 << 20, message_bytes_max: 8 << 20, ..Options::default() }).await;
    // Unfinished messages: each claims 4 MB and sends two.
    let head = [&b"Q"[..], &(4_u32 << 20).to_be_bytes()].concat();
    let mut first = Raw::login(fixture.address).await;
    first.send(&head).await;
    first.send(&vec![b' '; 2 << 20]).await;
    let mut second = Raw::login(fixture.address).await;
    second.send(&head).await;
    let half = vec![b' '; 2 << 20];
    let refused = async {
        // It may be cut off while it still sends.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut second.socket, &half).await;
        second.until_closed().await
    };
    assert_eq!(states(&refused.await), ["53200"]);
    // Short messages go on meanwhile, and once the first has finished there is room again.
    let mut third = Raw::login(fixture.address).await;
    third.ask(&query("insert")).await;
    drop(first);
    let long = format!("insert{}", " ".repeat(2 << 20));
    for _ in 0..50 {
        let mut fourth = Raw::login(fixture.address).await;
        if tokio::io::AsyncWriteExt::write_all(&mut fourth.socket, &query(&long)).await.is_ok()
            && fourth.next().await.is_some_and(|(kind, _)| kind == 'C')
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the room was not given back");
}
