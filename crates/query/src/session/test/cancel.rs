//! Cancelled, a statement says so at once, and its thread stops soon after, whatever it computes.

use std::time::{Duration, Instant};

use super::{Client, Server};

/// A debug build on a busy machine takes a good part of it for a batch; left alone, each of these statements takes many times as long.
const SOON: Duration = Duration::from_secs(2);

/// Cancels a statement when it has run for a while. How long it went on: for its client, and on the thread of statements.
fn cancelled(server: &Server, client: &mut Client, sql: &str, after: Duration) -> (Duration, Duration) {
    let canceller = client.session.canceller();
    let cancelling = std::thread::spawn(move || {
        std::thread::sleep(after);
        let at = Instant::now();
        canceller.cancel();
        at
    });
    let said = client.run(sql);
    let (told, at) = (Instant::now(), cancelling.join().unwrap());
    let end = "ERROR 57014: canceling statement due to user request\n";
    assert!(said.ends_with(end), "{sql}: {}", said.chars().take(200).collect::<String>());
    server.pool.block_on(server.pool.handle().spawn(async {})).unwrap();
    (told - at, at.elapsed())
}

fn check(setup: &str, statements: &[&str]) {
    // One thread: what runs next waits for it.
    let server = Server::with_threads(1);
    let mut client = server.client();
    let said = client.run(setup);
    assert!(!said.contains("ERROR"), "{said}");
    for sql in statements {
        for millis in [60, 700] {
            let (told, stopped) = cancelled(&server, &mut client, sql, Duration::from_millis(millis));
            assert!(told < SOON && stopped < SOON, "{sql}: told after {told:?}, stopped after {stopped:?}");
        }
        assert!(server.no_file_stays(), "{sql}");
    }
}

#[test]
fn sorts_and_groups_stop() {
    check(
        // With much less a sort of so many rows ends by itself, for lack of memory to merge its files.
        "set query_memory = '64MB'",
        &[
            "select count(*) from (select g from generate_series(1, 50000000) g order by g % 7919, -g offset 1) s",
            "select g from generate_series(1, 50000000) g order by g % 7919, -g limit 10",
            "select count(*) from (select g % 3000000, count(*) from generate_series(1, 50000000) g group by 1) s",
            "select count(*) from (select distinct g % 3000000 from generate_series(1, 50000000) g) s",
            "select sum(g::numeric / 3), count(distinct g % 1000) from generate_series(1, 50000000) g",
            "select g % 3000000 from generate_series(1, 50000000) g except select g from generate_series(1, 50000000) g",
        ],
    );
}

#[test]
fn joins_stop() {
    check(
        "create table few (k int, v int); insert into few select g % 10, g from generate_series(1, 3000) g; analyze few",
        &[
            // Building, asking, pairs of equal keys, pairs of any.
            "select count(*) from few join generate_series(1, 50000000) b on v = b",
            "select count(*) from generate_series(1, 50000000) a join generate_series(1, 50000000) b on a = b",
            "select count(*) from few a join few b using (k) join few c using (k) where a.v + b.v + c.v < 0",
            "select count(*) from few a, few b, few c where a.v + b.v * c.v < 0",
            "select count(*) from few a left join few b on a.v < b.v left join few c on c.v < b.v",
            "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b",
            "select count(*) from few a where not exists (select from few b join few c on b.v + c.v < a.v - 10000)",
            "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r",
            "with recursive r(n) as (select 1 union select n + 1 from r) select count(*) from r",
        ],
    );
}

#[test]
fn windows_stop_within_a_partition() {
    let over_rows = |rows: usize, call: &str, frame: &str| {
        format!(
            "select count(*) from (select {call} over (order by v {frame}) as w from generate_series(1, {rows}) v) s where w::text = 'none'"
        )
    };
    let over = |call: &str, frame: &str| over_rows(800_000, call, frame);
    let ahead = "rows between current row and unbounded following";
    let statements = [
        over("sum(v)", ahead),
        over("max(v::numeric / 7)", ahead),
        over("sum(v) filter (where v % 3 = 0)", ahead),
        over("sum(v::numeric / 7)", ahead),
        // Of more rows the partition does not fit, and its statement ends by itself.
        over_rows(400_000, "nth_value(md5(v::text), 3)", "range between 1000 preceding and unbounded following"),
        over("sum(v)", "groups between current row and unbounded following"),
        over("avg(v)", "range between 100 preceding and 50 following"),
    ];
    check("select 1", &statements.each_ref().map(String::as_str));
}

#[test]
fn statements_that_write_or_copy_stop() {
    check(
        "create table t (v int, s text); insert into t select g, 'row ' || g from generate_series(1, 200000) g",
        &[
            "copy (select g, repeat('x', g % 10) from generate_series(1, 50000000) g) to stdout",
            "insert into t select g, 'more' from generate_series(1, 50000000) g",
            "create table u as select g from generate_series(1, 50000000) g",
            "create index on t (s, v)",
            "update t set v = v + 1",
            "delete from t where s like '%1%'",
        ],
    );
}
