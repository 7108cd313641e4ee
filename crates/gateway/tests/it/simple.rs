//! The simple protocol.

use crate::mock::start;
use crate::raw::{Raw, column, field, kinds, query, states, status, tags};

#[tokio::test]
async fn statements_run_in_order_and_finish_precedes_the_last_completion() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let messages = raw.ask(&query("insert; rows 2; insert")).await;
    assert_eq!(kinds(&messages), "CTDDCCZ");
    assert_eq!(tags(&messages), ["INSERT 0 1", "SELECT 2", "INSERT 0 1"]);
    assert_eq!(column(&messages), ["0", "1"]);
    assert_eq!(fixture.log.take(), ["execute insert", "execute rows 2", "execute insert", "finish"]);
}

#[tokio::test]
async fn a_commit_that_fails_is_never_reported_as_success() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let messages = raw.ask(&query("insert; late")).await;
    assert_eq!(tags(&messages), ["INSERT 0 1"], "the last statement must not complete");
    assert_eq!(states(&messages), ["40001"]);
    assert_eq!(fixture.log.take(), ["execute insert", "execute late", "finish", "fail 40001"]);
}

#[tokio::test]
async fn an_error_ends_the_string_and_says_everything() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let messages = raw.ask(&query("error; insert")).await;
    assert_eq!(kinds(&messages), "EZ");
    let body = &messages[0].1;
    let expected = [
        ('S', "ERROR"),
        ('V', "ERROR"),
        ('C', "23505"),
        ('M', "duplicate key value"),
        ('D', "Key (id)=(1) already exists."),
        ('H', "Choose another."),
        ('P', "7"),
        ('s', "public"),
        ('t', "t"),
        ('c', "id"),
        ('n', "t_pkey"),
    ];
    for (code, text) in expected {
        assert_eq!(field(body, code).as_deref(), Some(text));
    }
    assert_eq!(fixture.log.take(), ["execute error", "fail 23505"]);
    let messages = raw.ask(&query("insert; syntax")).await;
    assert_eq!((kinds(&messages).as_str(), states(&messages)), ("EZ", vec!["42601".to_owned()]));
}

#[tokio::test]
async fn rows_before_an_error_arrive_and_the_session_goes_on() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let messages = raw.ask(&query("broken")).await;
    assert_eq!(kinds(&messages), "TDDDEZ");
    assert_eq!(states(&messages), ["22012"]);
    assert_eq!(kinds(&raw.ask(&query("insert")).await), "CZ");
}

#[tokio::test]
async fn the_status_byte_follows_the_transaction() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    for (sql, expected) in
        [("insert", 'I'), ("begin", 'T'), ("insert", 'T'), ("error", 'E'), ("insert", 'E'), ("commit", 'I')]
    {
        assert_eq!(status(&raw.ask(&query(sql)).await), expected, "{sql}");
    }
}

#[tokio::test]
async fn empty_strings_notices_and_parameters_are_answered() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    for empty in ["", " ; ;"] {
        assert_eq!(kinds(&raw.ask(&query(empty)).await), "IZ");
    }
    let messages = raw.ask(&query("notice")).await;
    assert_eq!(kinds(&messages), "NCZ");
    assert_eq!(field(&messages[0].1, 'M').unwrap(), "mind the gap");
    let messages = raw.ask(&query("set tester")).await;
    assert_eq!(kinds(&messages), "CSZ");
    assert_eq!(messages[1].1, b"application_name\0tester\0");
}

#[tokio::test]
async fn large_results_arrive_whole() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let messages = raw.ask(&query("rows 100000")).await;
    let values = column(&messages);
    assert_eq!(values.len(), 100_000);
    assert!(values.iter().enumerate().all(|(at, value)| *value == at.to_string()));
    assert_eq!(tags(&messages), ["SELECT 100000"]);
}

#[tokio::test]
async fn a_function_call_is_refused_and_the_session_goes_on() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let messages = raw.ask(&crate::raw::frame(b'F', &[0; 10])).await;
    assert_eq!(states(&messages), ["0A000"]);
    assert_eq!(kinds(&raw.ask(&query("insert")).await), "CZ");
}
