//! tokio-postgres: typed parameters in binary, pipelining, transactions with savepoints, COPY both ways, cancel.

use std::pin::pin;
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::{SinkExt, TryStreamExt};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn env(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.into())
}

#[tokio::main]
async fn main() -> Outcome {
    let mut config = tokio_postgres::Config::new();
    config.host(env("PGHOST", "127.0.0.1")).port(env("PGPORT", "5432").parse()?);
    config.user(env("PGUSER", "postgres")).dbname(env("PGDATABASE", "postgres")).password(env("PGPASSWORD", ""));
    let (mut client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    types(&client).await?;
    transactions(&mut client).await?;
    copying(&client).await?;
    cancelling(&client).await?;
    println!("ok");
    Ok(())
}

async fn types(client: &Client) -> Outcome {
    let at: DateTime<Utc> = "2026-05-06T07:08:09.123456Z".parse()?;
    let day = NaiveDate::from_ymd_opt(2026, 2, 28).ok_or("a date")?;
    let (id, json) = (Uuid::from_u128(7), serde_json::json!({"a": [1, null, {"b": "c"}]}));
    let row = client
        .query_one(
            "select $1::bool, $2::int2, $3::int4, $4::int8, $5::float4, $6::float8, $7::text, $8::bytea, $9::timestamptz, \
             $10::date, $11::uuid, $12::jsonb, $13::text[], $14::int4[], $15::json, $16::int8",
            &[
                &true, &i16::MIN, &i32::MAX, &i64::MIN, &1.5f32, &-1e300f64, &"naïve ☃", &&[0u8, 255][..], &at, &day, &id, &json,
                &vec![Some("a"), None], &vec![1, 2, 3], &json, &None::<i64>,
            ],
        )
        .await?;
    assert!(row.get::<_, bool>(0) && row.get::<_, i16>(1) == i16::MIN && row.get::<_, i32>(2) == i32::MAX);
    assert!(row.get::<_, i64>(3) == i64::MIN && row.get::<_, f32>(4) == 1.5 && row.get::<_, f64>(5) == -1e300);
    assert!(
        row.get::<_, &str>(6) == "naïve ☃"
            && row.get::<_, &[u8]>(7) == [0, 255]
            && row.get::<_, DateTime<Utc>>(8) == at
    );
    assert!(
        row.get::<_, NaiveDate>(9) == day
            && row.get::<_, Uuid>(10) == id
            && row.get::<_, serde_json::Value>(11) == json
    );
    assert!(
        row.get::<_, Vec<Option<String>>>(12) == [Some("a".to_owned()), None]
            && row.get::<_, Vec<i32>>(13) == [1, 2, 3]
    );
    assert!(row.get::<_, serde_json::Value>(14) == json && row.get::<_, Option<i64>>(15).is_none());

    client.batch_execute("create type shade as enum ('dark', 'light')").await?;
    let statement = client.prepare("select $1::shade, 'light'::shade > $1").await?;
    assert_eq!(statement.params()[0].name(), "shade");
    let row = client.query_one("select 'dark'::shade::text, $1::shade < 'light'", &[&Shade("dark")]).await?;
    assert!(row.get::<_, &str>(0) == "dark" && row.get::<_, bool>(1));
    client.batch_execute("drop type shade").await?;
    Ok(())
}

/// An enum's label, sent as text is.
#[derive(Debug)]
struct Shade(&'static str);

impl tokio_postgres::types::ToSql for Shade {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(tokio_postgres::types::IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(ty.kind(), tokio_postgres::types::Kind::Enum(_))
    }

    tokio_postgres::types::to_sql_checked!();
}

async fn transactions(client: &mut Client) -> Outcome {
    client.batch_execute("create table seat (id int primary key, holder text unique)").await?;
    let insert = client.prepare("insert into seat values ($1, $2)").await?;
    // Pipelined: all sent before the first answer is read.
    let sent = (0..50).map(|n| {
        let (client, insert) = (&*client, &insert);
        async move { client.execute(insert, &[&n, &format!("holder {n}")]).await }
    });
    for done in futures_util::future::join_all(sent).await {
        assert_eq!(done?, 1);
    }
    let mut outer = client.transaction().await?;
    outer.execute("delete from seat where id < 10", &[]).await?;
    let inner = outer.savepoint("nested").await?;
    let error = inner.execute("insert into seat values (10, 'x')", &[]).await.expect_err("a duplicate key went in");
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION));
    assert_eq!(error.as_db_error().and_then(|error| error.constraint()), Some("seat_pkey"));
    inner.rollback().await?;
    let portal = outer.bind("select id from seat order by id", &[]).await?;
    let first = outer.query_portal(&portal, 3).await?;
    assert_eq!(first.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [10, 11, 12]);
    assert_eq!(outer.query_portal(&portal, 0).await?.len(), 37);
    outer.rollback().await?;
    assert_eq!(client.query_one("select count(*) from seat", &[]).await?.get::<_, i64>(0), 50);
    client.batch_execute("drop table seat").await?;
    Ok(())
}

async fn copying(client: &Client) -> Outcome {
    client.batch_execute("create table event (id int8, name text, at timestamptz)").await?;
    let mut sink = pin!(client.copy_in::<_, std::io::Cursor<Vec<u8>>>("copy event from stdin").await?);
    for n in 0..100 {
        sink.send(std::io::Cursor::new(format!("{n}\tevent {n}\t2026-01-01 00:00:00Z\n").into_bytes())).await?;
    }
    assert_eq!(sink.as_mut().finish().await?, 100);
    let sink = client.copy_in("copy event from stdin binary").await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::INT8, Type::TEXT, Type::TIMESTAMPTZ]));
    for n in 100i64..1000 {
        writer.as_mut().write(&[&n, &None::<&str>, &"2026-01-01T00:00:00Z".parse::<DateTime<Utc>>()?]).await?;
    }
    assert_eq!(writer.as_mut().finish().await?, 900);
    let chunks: Vec<_> =
        client.copy_out("copy (select id, name from event order by id limit 2) to stdout").await?.try_collect().await?;
    assert_eq!(chunks.concat(), b"0\tevent 0\n1\tevent 1\n");
    client.batch_execute("drop table event").await?;
    Ok(())
}

async fn cancelling(client: &Client) -> Outcome {
    let token = client.cancel_token();
    let began = Instant::now();
    let (slept, cancelled) = tokio::join!(client.batch_execute("select pg_sleep(30)"), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel_query(NoTls).await
    });
    cancelled?;
    let error = slept.expect_err("nothing was cancelled");
    assert!(error.code() == Some(&SqlState::QUERY_CANCELED) && began.elapsed() < Duration::from_secs(5), "{error}");
    Ok(())
}
