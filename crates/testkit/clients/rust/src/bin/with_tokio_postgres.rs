//! tokio-postgres: typed parameters in binary, pipelining, transactions with savepoints, COPY both ways, cancel.

use std::pin::pin;
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::{SinkExt, TryStreamExt};
use rust_decimal::Decimal;
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
    every_type(&client, &std::env::args().nth(1).ok_or("the file of values")?).await?;
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

/// A value as it is on the wire.
#[derive(Debug, PartialEq)]
struct Wire(Vec<u8>);

impl tokio_postgres::types::ToSql for Wire {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(tokio_postgres::types::IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> tokio_postgres::types::FromSql<'a> for Wire {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Wire, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Wire(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A Python string literal.
fn unquoted(literal: &str) -> String {
    let mut out = String::new();
    let mut chars = literal[1..literal.len() - 1].chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(other) => other,
                None => break,
            },
            c => c,
        });
    }
    out
}

/// Every type of the file (type, input, text and binary as PostgreSQL sends them): as text by the simple protocol, in binary as a
/// result and as a parameter.
async fn every_type(client: &Client, file: &str) -> Outcome {
    client.batch_execute("create type mood as enum ('sad', 'ok', 'happy'); set timezone = 'UTC'").await?;
    let mut seen = 0;
    for line in std::fs::read_to_string(file)?.lines() {
        let [ty, input, shown, binary] = line.split('\t').collect::<Vec<_>>()[..] else { return Err(line.into()) };
        let (input, shown) = (unquoted(input), unquoted(shown));
        let literal = format!("'{}'::{ty}", input.replace('\'', "''"));
        let plain = client.simple_query(&format!("select {literal}")).await?;
        let text = plain.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        assert_eq!(text.as_deref(), Some(shown.as_str()), "{ty} {input}");
        let sent: Wire = client.query_one(&format!("select {literal}"), &[]).await?.get(0);
        // Their numbers are those of the database, or inside a value a type's number is.
        if !["mood[]", "regrole"].contains(&ty) {
            let hex: String = sent.0.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, binary, "{ty} {input}");
        }
        let row = client.query_one(&format!("select $1::{ty}, format('%s', $1::{ty}), null::{ty}"), &[&sent]).await?;
        assert_eq!(row.get::<_, Wire>(0), sent, "{ty} {input}");
        assert_eq!(row.get::<_, &str>(1), shown, "{ty} {input}");
        assert_eq!(row.get::<_, Option<Wire>>(2), None, "{ty}");
        seen += 1;
    }
    assert!(seen > 150, "{seen} values");
    client.batch_execute("drop type mood; reset timezone").await?;

    // What the library has Rust types for beside those above.
    let (at, clock) = (NaiveDate::from_ymd_opt(1999, 12, 31).and_then(|day| day.and_hms_micro_opt(23, 59, 59, 999_999)), chrono::NaiveTime::from_hms_micro_opt(1, 2, 3, 4));
    let price: Decimal = "-12345678901234567.000000001".parse()?;
    let row = client
        .query_one(
            "select $1::timestamp, $2::time, $3::numeric, $4::\"char\", $5::oid, $6::name, $7::varchar(9), $8::char(4), $9::numeric[], \
             $10::timestamptz[], $11::uuid[], $12::bytea[], $13::bool[], $14::float8[], $15::jsonb[], $16::date[], $17::int8[]",
            &[
                &at, &clock, &price, &(b'~' as i8), &u32::MAX, &"a name", &"naïve", &"ab  ", &vec![Some(price), None],
                &vec!["2026-05-06T07:08:09Z".parse::<DateTime<Utc>>()?], &vec![Uuid::from_u128(1), Uuid::max()], &vec![vec![0u8, 255], vec![]],
                &vec![true, false], &vec![f64::NEG_INFINITY, 0.1], &vec![serde_json::json!({"a": [1]})], &Vec::<NaiveDate>::new(),
                &vec![i64::MIN, i64::MAX],
            ],
        )
        .await?;
    assert!(row.get::<_, Option<chrono::NaiveDateTime>>(0) == at && row.get::<_, Option<chrono::NaiveTime>>(1) == clock);
    assert!(row.get::<_, Decimal>(2) == price && row.get::<_, i8>(3) == b'~' as i8 && row.get::<_, u32>(4) == u32::MAX);
    assert!(row.get::<_, &str>(5) == "a name" && row.get::<_, &str>(6) == "naïve" && row.get::<_, &str>(7) == "ab  ");
    assert_eq!(row.get::<_, Vec<Option<Decimal>>>(8), [Some(price), None]);
    assert_eq!(row.get::<_, Vec<DateTime<Utc>>>(9), ["2026-05-06T07:08:09Z".parse::<DateTime<Utc>>()?]);
    assert_eq!(row.get::<_, Vec<Uuid>>(10), [Uuid::from_u128(1), Uuid::max()]);
    assert_eq!(row.get::<_, Vec<Vec<u8>>>(11), [vec![0, 255], vec![]]);
    assert!(row.get::<_, Vec<bool>>(12) == [true, false] && row.get::<_, Vec<f64>>(13) == [f64::NEG_INFINITY, 0.1]);
    assert_eq!(row.get::<_, Vec<serde_json::Value>>(14), [serde_json::json!({"a": [1]})]);
    assert!(row.get::<_, Vec<NaiveDate>>(15).is_empty() && row.get::<_, Vec<i64>>(16) == [i64::MIN, i64::MAX]);
    Ok(())
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
