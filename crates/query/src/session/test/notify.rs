//! LISTEN, NOTIFY and UNLISTEN.

use futures::FutureExt;

use super::{Client, Server};

impl Client {
    /// `channel:payload` of what has arrived.
    fn heard(&mut self) -> String {
        let heard = self.session.take_notifications();
        assert!(heard.iter().all(|notification| notification.pid == 42));
        heard.iter().map(|n| format!("{}:{}", n.channel, n.payload)).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn what_is_said_arrives_with_the_commit() {
    let server = Server::new();
    let (mut one, mut two) = (server.client(), server.client());
    assert_eq!(one.run("listen Aa; listen b; listen aa; select pg_listening_channels()"), "LISTEN\nLISTEN\nLISTEN\n");
    assert_eq!(one.run("select * from pg_listening_channels()"), "aa\nb\n");
    assert!(one.session.notified().unwrap().now_or_never().is_none());
    assert!(two.session.notified().is_none(), "it listens to nothing");
    two.run(
        "begin; notify aa, 'x'; notify b; notify aa, 'x'; select pg_notify('b', n::text) from generate_series(1, 2) n",
    );
    assert_eq!(one.heard(), "");
    assert_eq!(two.run("commit"), "COMMIT\n");
    assert!(one.session.notified().unwrap().now_or_never().is_some());
    assert_eq!(one.heard(), "aa:x b: b:1 b:2");
    assert_eq!(two.heard(), "");
    // One's own, between transactions only.
    one.run("begin; notify b, 'own'");
    two.run("notify b, 'other'");
    assert_eq!(one.heard(), "");
    one.run("commit; begin");
    assert_eq!(one.heard(), "");
    one.run("commit");
    assert_eq!(one.heard(), "b:other b:own");
    one.run("unlisten b");
    two.run("notify b; notify aa");
    assert_eq!(one.heard(), "aa:");
    one.run("discard all");
    assert_eq!(one.run("select count(*) from pg_listening_channels()"), "0\n");
}

#[test]
fn what_is_rolled_back_was_never_said() {
    let server = Server::new();
    let (mut one, mut two) = (server.client(), server.client());
    one.run("begin; listen a; rollback");
    assert_eq!(one.run("select count(*) from pg_listening_channels()"), "0\n");
    one.run("listen a");
    two.run(
        "begin; notify a, '1'; savepoint s; notify a, '2'; select pg_notify('a', '3'); rollback to s; notify a, '4'",
    );
    two.run("savepoint t; select pg_notify('a', '5'), 1/0; rollback to t");
    two.run("rollback to t; notify a, '2'; commit");
    assert_eq!(one.heard(), "a:1 a:4 a:2");
    two.run("begin; notify a; rollback; select pg_notify('a', 'failed'), 1/0");
    assert_eq!(one.heard(), "");
    drop(one);
    two.run("notify a");
}

#[test]
fn names_and_payloads_have_limits() {
    let server = Server::new();
    let mut client = server.client();
    let cases = [
        ("select pg_notify('', 'x')", "22023: channel name cannot be empty"),
        ("select pg_notify(null, 'x')", "22023: channel name cannot be empty"),
        ("select pg_notify(repeat('x', 64), 'x')", "22023: channel name too long"),
        ("select pg_notify('a', repeat('x', 8000))", "22023: payload string too long"),
        ("notify a, 5", "42601: syntax error at or near \"5\""),
        ("listen", "42601: syntax error at end of input"),
        ("select pg_listening_channels(1)", "42883: function pg_listening_channels(integer) does not exist"),
    ];
    for (sql, error) in cases {
        assert_eq!(client.run(sql), format!("ERROR {error}\n"), "{sql}");
    }
    assert_eq!(client.run("select pg_notify('a', repeat('x', 7999)); select pg_notification_queue_usage()"), "\n0\n");
}

#[test]
fn a_full_queue_fails_the_commit() {
    let server = Server::new();
    let (mut one, mut two) = (server.client(), server.client());
    one.run("listen a");
    let many = "select count(pg_notify('a', repeat('x', 7000) || n)) from generate_series(1, 4000) n";
    assert_eq!(two.run(many), "4000\n");
    assert_eq!(two.run(many), "4000\n");
    assert_eq!(two.run(many), "4000\nERROR 54000: too many notifications in the NOTIFY queue\n");
    assert!(two.run("select pg_notification_queue_usage() > 0.8").starts_with('t'));
    assert_eq!(one.session.take_notifications().len(), 8000);
    assert_eq!(two.run("notify a"), "NOTIFY\n");
}
