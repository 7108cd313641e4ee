//! Writers and an analytical stream at once, small: answers are PostgreSQL's before and after, and invariants hold inside every
//! statement meanwhile.

use std::sync::Arc;
use std::time::Duration;

use heliosdb_testkit::htap;
use heliosdb_testkit::peer::{Postgres, PostgresVersion};
use heliosdb_testkit::server::{Server, ServerOptions, connect};
use heliosdb_testkit::tpcc::{self, Acknowledged, Kind, Pace, Scale, Terminal, TerminalReport};
use tokio_postgres::Client;

const SCALE: Scale = Scale { warehouses: 2, items: 400, districts: 3, customers: 80 };

/// Trade between two of 62 nations and a nation's best sellers are rare at this scale.
const MAY_BE_EMPTY: [&str; 4] = ["Q07", "Q08", "Q09", "Q21"];

async fn same_answers(ours: &Client, peer: &Client) {
    let empty = htap::compare(ours, peer).await.unwrap();
    assert!(empty.iter().all(|name| MAY_BE_EMPTY.contains(name)), "no rows: {empty:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analytical_statements_see_one_snapshot_while_others_write() {
    let place = tempfile::tempdir().unwrap();
    let options = ServerOptions::new(place.path().join("data")).env("HELIOSDB_LOG", "warn");
    let server = Server::start(&options).await.unwrap();
    let version = PostgresVersion::system().unwrap();
    let postgres = Postgres::start(&version, &place.path().join("pg"), &[]).await.unwrap();
    let (client, peer) = (server.connect().await.unwrap(), connect(postgres.port).await.unwrap());
    for side in [&client, &peer] {
        htap::load(side, SCALE, 1).await.unwrap();
        side.batch_execute("ANALYZE").await.unwrap();
    }
    same_answers(&client, &peer).await;

    let pace = Arc::new(Pace::new(None));
    let mut working = Vec::new();
    for number in 0..2 {
        let terminal = Terminal::new(server.connect().await.unwrap(), SCALE, 7, number, "READ COMMITTED");
        let pace = Arc::clone(&pace);
        working.push(tokio::spawn(async move { terminal.keep(&pace).await }));
    }
    let (analyst, writer) = (server.connect().await.unwrap(), server.connect().await.unwrap());
    let reader = server.connect().await.unwrap();
    let time = Duration::from_secs(2);
    let (report, tries) =
        tokio::try_join!(htap::stream(&analyst, 0, time), htap::freshness(&writer, &reader, time, 20)).unwrap();
    assert!(pace.stop().is_empty());
    assert!(report.queries() >= 22 && report.invariants == report.queries() && tries >= 20, "{report:?}, {tries}");
    let mut done = TerminalReport::default();
    for terminal in working {
        done.merge(terminal.await.unwrap().unwrap());
    }
    assert!(done.kind(Kind::NewOrder).committed > 0 && done.kind(Kind::Delivery).committed > 0, "{done:?}");
    assert_eq!(done.moments.len() as u64, done.kinds.iter().map(|kind| kind.committed + kind.rolled_back).sum::<u64>());
    tpcc::check(&client, SCALE, &done.acknowledged).await.unwrap();

    htap::copy_all(&client, &peer).await.unwrap();
    tpcc::check(&peer, SCALE, &Acknowledged::default()).await.unwrap();
    same_answers(&client, &peer).await;

    // Each invariant notices what it is there for.
    for (damage, invariants) in [
        ("UPDATE warehouse SET w_ytd = w_ytd + 0.01 WHERE w_id = 2", &[0, 2][..]),
        ("UPDATE district SET d_ytd = d_ytd - 0.01 WHERE d_w_id = 2 AND d_id = 1", &[0, 3]),
        ("DELETE FROM order_line WHERE ol_w_id = 2 AND ol_d_id = 1 AND ol_o_id = 80 AND ol_number = 1", &[1]),
        ("UPDATE customer SET c_balance = c_balance + 1 WHERE c_w_id = 1 AND c_d_id = 1 AND c_id = 1", &[4]),
        ("UPDATE customer SET c_payment_cnt = 0 WHERE c_w_id = 1 AND c_d_id = 1 AND c_id = 1", &[5]),
        ("UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = 1 AND d_id = 3", &[6, 8]),
        ("INSERT INTO new_order VALUES (1, 1, 1)", &[7, 9]),
    ] {
        client.batch_execute(&format!("BEGIN; {damage}")).await.unwrap();
        for number in 0..htap::INVARIANTS.len() {
            let found = htap::check_one(&client, number).await;
            if invariants.contains(&number) {
                let name = htap::INVARIANTS[number].0;
                assert!(found.as_ref().is_err_and(|why| why.contains(name)), "{damage}: {name}: {found:?}");
            }
        }
        client.batch_execute("ROLLBACK").await.unwrap();
    }
    for number in 0..htap::INVARIANTS.len() {
        htap::check_one(&client, number).await.unwrap();
    }
}
