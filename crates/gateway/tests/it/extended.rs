//! The extended protocol.

use std::sync::atomic::Ordering;
use std::time::Duration;

use heliosdb_contracts::Notification;

use crate::mock::start;
use crate::raw::{Raw, bind, close, column, describe, execute, frame, kinds, parse, query, states, status, sync, tags};

#[tokio::test]
async fn a_client_library_prepares_and_queries() {
    let fixture = start().await;
    let client = fixture.client().await;
    let statement = client.prepare("echo int4 text").await.unwrap();
    let row = client.query_one(&statement, &[&7_i32, &"seven"]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (7, "seven"));
    assert_eq!(client.query("rows 2500", &[]).await.unwrap().len(), 2500);
    assert_eq!(client.execute("insert", &[]).await.unwrap(), 1);
    let error = client.execute("error", &[]).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().constraint(), Some("t_pkey"));
    client.execute("insert", &[]).await.unwrap();
}

#[tokio::test]
async fn replies_come_in_one_piece_at_sync() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let batch = [parse("s", "rows 3"), bind("", "s", 0, &[], 0), describe('P', ""), execute("", 0)].concat();
    raw.send(&batch).await;
    // Nothing may arrive before Sync.
    let early = tokio::time::timeout(Duration::from_millis(200), raw.socket.peek(&mut [0])).await;
    assert!(early.is_err(), "something was written before Sync");
    let messages = raw.ask(&sync()).await;
    assert_eq!(kinds(&messages), "12TDDDCZ");
    assert_eq!(fixture.log.take(), ["execute rows 3", "finish"]);
    // Flush asks for what there is.
    raw.send(&[parse("", "insert"), frame(b'H', b"")].concat()).await;
    assert_eq!(raw.next().await.unwrap().0, '1');
}

#[tokio::test]
async fn after_an_error_everything_up_to_sync_is_skipped() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let batch = [
        parse("", "error"),
        bind("", "", 0, &[], 0),
        execute("", 0),
        parse("", "insert"),
        bind("", "", 0, &[], 0),
        execute("", 0),
        query("insert"),
        sync(),
    ];
    let messages = raw.ask(&batch.concat()).await;
    assert_eq!(kinds(&messages), "12EZ");
    assert_eq!(fixture.log.take(), ["execute error", "fail 23505"]);
    assert_eq!(kinds(&raw.ask(&query("insert")).await), "CZ");
}

#[tokio::test]
async fn a_commit_that_fails_at_sync_is_an_error() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let batch = [parse("", "late"), bind("", "", 0, &[], 0), execute("", 0), sync()];
    let messages = raw.ask(&batch.concat()).await;
    assert_eq!(kinds(&messages), "12CEZ");
    assert_eq!(states(&messages), ["40001"]);
}

#[tokio::test]
async fn portals_stop_at_their_row_limit_and_go_on() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    raw.ask(&query("begin")).await;
    let first = [parse("s", "rows 2500"), bind("p", "s", 0, &[], 0), execute("p", 2000), sync()].concat();
    let messages = raw.ask(&first).await;
    assert_eq!(column(&messages).len(), 2000);
    assert!(kinds(&messages).ends_with("DsZ"));
    // Others may run in between; the portal waits.
    assert_eq!(kinds(&raw.ask(&query("insert")).await), "CZ");
    let messages = raw.ask(&[execute("p", 2000), sync()].concat()).await;
    assert_eq!(column(&messages), (2000..2500).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(tags(&messages), ["SELECT 500"]);
    assert_eq!(tags(&raw.ask(&[execute("p", 0), sync()].concat()).await), ["SELECT 0"]);
    // The transaction's end is the portal's.
    raw.ask(&query("commit")).await;
    assert_eq!(states(&raw.ask(&[execute("p", 0), sync()].concat()).await), ["34000"]);
}

#[tokio::test]
async fn outside_a_transaction_portals_end_at_sync() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let messages = raw
        .ask(&[parse("s", "rows 10"), bind("p", "s", 0, &[], 0), execute("p", 4), execute("p", 4), sync()].concat())
        .await;
    assert_eq!(kinds(&messages), "12DDDDsDDDDsZ");
    assert_eq!(states(&raw.ask(&[execute("p", 4), sync()].concat()).await), ["34000"]);
}

#[tokio::test]
async fn a_statement_that_writes_runs_to_its_end_whatever_its_row_limit() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let messages =
        raw.ask(&[parse("", "returning 5000"), bind("", "", 0, &[], 0), execute("", 1), sync()].concat()).await;
    assert_eq!(kinds(&messages), "12DsZ");
    assert_eq!(fixture.log.batches.load(Ordering::SeqCst), 5);
    let messages =
        raw.ask(&[parse("", "insert"), bind("", "", 0, &[], 0), execute("", 0), execute("", 0), sync()].concat()).await;
    assert_eq!(states(&messages), ["55000"], "a write runs once");
}

#[tokio::test]
async fn statements_and_portals_have_names_and_lives() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    assert_eq!(kinds(&raw.ask(&[parse("s", "rows 1"), describe('S', "s"), sync()].concat()).await), "1tTZ");
    let cases: [(Vec<u8>, &str); 8] = [
        (parse("s", "rows 1"), "42P05"),
        (bind("", "none", 0, &[], 0), "26000"),
        (describe('S', "none"), "26000"),
        (describe('P', "none"), "34000"),
        (execute("none", 0), "34000"),
        (describe('X', "s"), "08P01"),
        (bind("", "s", 0, &[Some(b"1")], 0), "08P01"),
        (bind("", "s", 0, &[], 2), "22023"),
    ];
    for (message, state) in cases {
        assert_eq!(states(&raw.ask(&[message, sync()].concat()).await), [state]);
    }
    let twice = [bind("p", "s", 0, &[], 0), bind("p", "s", 0, &[], 0), sync()];
    assert_eq!(states(&raw.ask(&twice.concat()).await), ["42P03"]);
    // Closing what is not there is fine.
    assert_eq!(kinds(&raw.ask(&[close('S', "s"), close('S', "s"), close('P', "p"), sync()].concat()).await), "333Z");
    assert_eq!(states(&raw.ask(&[bind("", "s", 0, &[], 0), sync()].concat()).await), ["26000"]);
    assert_eq!(kinds(&raw.ask(&[parse("", "insert"), describe('S', ""), sync()].concat()).await), "1tnZ");
}

#[tokio::test]
async fn a_simple_query_forgets_the_unnamed_statement() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    raw.ask(&[parse("", "insert"), sync()].concat()).await;
    raw.ask(&query("insert")).await;
    assert_eq!(states(&raw.ask(&[bind("", "", 0, &[], 0), sync()].concat()).await), ["26000"]);
}

#[tokio::test]
async fn a_failed_transaction_stays_failed_until_it_ends() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    raw.ask(&query("begin")).await;
    let messages = raw.ask(&[parse("", "error"), bind("", "", 0, &[], 0), execute("", 0), sync()].concat()).await;
    assert_eq!(status(&messages), 'E');
    assert_eq!(states(&raw.ask(&[parse("", "insert"), sync()].concat()).await), ["25P02"]);
    let messages = raw.ask(&[parse("", "rollback"), bind("", "", 0, &[], 0), execute("", 0), sync()].concat()).await;
    assert_eq!((tags(&messages), status(&messages)), (vec!["ROLLBACK".to_owned()], 'I'));
}

#[tokio::test]
async fn an_empty_statement_is_answered_as_one() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    assert_eq!(
        kinds(
            &raw.ask(&[parse("", ""), bind("", "", 0, &[], 0), describe('P', ""), execute("", 0), sync()].concat())
                .await
        ),
        "12nIZ"
    );
}

#[tokio::test]
async fn pipelined_batches_are_answered_in_order() {
    let fixture = start().await;
    let client = fixture.client().await;
    let statement = client.prepare("echo int4").await.unwrap();
    let queries = (0..200).map(|n| {
        let (client, statement) = (&client, &statement);
        async move { client.query_one(statement, &[&n]).await.unwrap().get::<_, i32>(0) }
    });
    assert_eq!(futures::future::join_all(queries).await, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_flushes_hears_of_an_error_before_sync() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let batch = [parse("", "error"), bind("", "", 0, &[], 0), execute("", 0), frame(b'H', b"")];
    raw.send(&batch.concat()).await;
    for expected in ['1', '2', 'E'] {
        assert_eq!(raw.next().await.unwrap().0, expected);
    }
    assert_eq!(kinds(&raw.ask(&sync()).await), "Z");
}

#[tokio::test]
async fn notifications_come_before_ready_and_while_the_client_is_idle() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let said = |payload: &str| {
        let notification = Notification { pid: 7, channel: "c".into(), payload: payload.into() };
        fixture.log.notifications.lock().push(notification);
    };
    said("idle");
    let (kind, body) = raw.next().await.unwrap();
    assert_eq!((kind, &body[..]), ('A', &b"\0\0\0\x07c\0idle\0"[..]));
    said("with a reply");
    let kinds = kinds(&raw.ask(&query("insert")).await);
    assert!(kinds == "CAZ" || kinds == "ACZ", "{kinds}");
}
