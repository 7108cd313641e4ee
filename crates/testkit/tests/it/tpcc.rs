//! The TPC-C-like mix, small: its conditions hold at every isolation level and after kill -9, and break when they should.

use std::time::Duration;

use heliosdb_testkit::server::{Server, ServerOptions};
use heliosdb_testkit::tpcc::{self, Acknowledged, Kind, LEVELS, Mistake, Scale, Terminal, TerminalReport};

const SCALE: Scale = Scale { warehouses: 2, items: 60, districts: 3, customers: 20 };

/// Three terminals at a level; what they did, and whether the server went away meanwhile.
async fn work(server: &Server, level: &str, time: Duration) -> Vec<tokio::task::JoinHandle<TerminalReport>> {
    let mut working = Vec::new();
    for number in 0..3 {
        let client = server.connect().await.unwrap();
        let terminal = Terminal::new(client, SCALE, 42, number, level);
        working.push(tokio::spawn(async move {
            match terminal.work(time).await {
                Ok(report) => report,
                Err(Mistake::Gone(report)) => *report,
                Err(Mistake::Wrong(why)) => panic!("{why}"),
            }
        }));
    }
    working
}

async fn gather(working: Vec<tokio::task::JoinHandle<TerminalReport>>) -> TerminalReport {
    let mut whole = TerminalReport::default();
    for terminal in working {
        whole.merge(terminal.await.unwrap());
    }
    whole
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mix_keeps_its_conditions_at_every_level_and_after_kill_9() {
    let place = tempfile::tempdir().unwrap();
    let options = ServerOptions::new(place.path().join("data")).env("HELIOSDB_LOG", "warn");
    let mut server = Server::start(&options).await.unwrap();
    let client = server.connect().await.unwrap();
    tpcc::load(&client, SCALE, 1).await.unwrap();
    let mut acknowledged = Acknowledged::default();
    tpcc::check(&client, SCALE, &acknowledged).await.unwrap();
    for level in LEVELS {
        let report = gather(work(&server, level, Duration::from_millis(1500)).await).await;
        assert!(report.kind(Kind::NewOrder).committed > 0 && report.kind(Kind::Payment).committed > 0, "{report:?}");
        acknowledged.merge(report.acknowledged);
        let client = server.connect().await.unwrap();
        tpcc::check(&client, SCALE, &acknowledged).await.unwrap();
        let working = work(&server, level, Duration::from_secs(60)).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.kill().unwrap();
        acknowledged.merge(gather(working).await.acknowledged);
        server = Server::start(&options).await.unwrap();
        let client = server.connect().await.unwrap();
        tpcc::check(&client, SCALE, &acknowledged).await.unwrap();
    }
    // Each condition notices what it is there for.
    let client = server.connect().await.unwrap();
    for (damage, condition) in [
        ("UPDATE warehouse SET w_ytd = w_ytd + 0.01 WHERE w_id = 2", "condition 1:"),
        ("UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = 1 AND d_id = 3", "condition 2:"),
        ("INSERT INTO new_order VALUES (1, 1, -5)", "condition 3:"),
        ("DELETE FROM order_line WHERE ol_w_id = 2 AND ol_d_id = 1 AND ol_o_id = 7 AND ol_number = 1", "condition 4:"),
        (
            "DELETE FROM orders WHERE o_w_id = 1 AND o_d_id = 1 AND o_id = 1;
          DELETE FROM order_line WHERE ol_w_id = 1 AND ol_d_id = 1 AND ol_o_id = 1",
            "no order is missing",
        ),
        ("DELETE FROM history WHERE h_w_id = 1 AND h_d_id = 1", "condition 9:"),
    ] {
        let script = format!("BEGIN; {damage}");
        client.batch_execute(&script).await.unwrap();
        let found = tpcc::check(&client, SCALE, &acknowledged).await.unwrap_err();
        assert!(found.contains(condition), "{damage}: {found}");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
    tpcc::check(&client, SCALE, &acknowledged).await.unwrap();
    acknowledged.orders.insert((1, 1), 1_000_000);
    assert!(tpcc::check(&client, SCALE, &acknowledged).await.unwrap_err().contains("acknowledged"));
}
