//! sqlx: its own binary protocol code, prepared statements throughout, pools, migrations (with an advisory lock), transactions.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::{Decimal, Json, Uuid};
use sqlx::{Connection, Row};

#[derive(Debug, sqlx::FromRow, PartialEq, Clone)]
struct Book {
    id: Uuid,
    title: String,
    price: Option<Decimal>,
    printed: Option<NaiveDate>,
    added: DateTime<Utc>,
    genre: Genre,
    tags: Vec<String>,
    facts: Json<serde_json::Value>,
}

#[derive(Debug, sqlx::Type, PartialEq, Clone, Copy)]
#[sqlx(type_name = "genre", rename_all = "lowercase")]
enum Genre {
    Fact,
    Fiction,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = PgPoolOptions::new().max_connections(5).connect_with(PgConnectOptions::new()).await?;
    let step =
        |version, sql: &'static str| Migration::new(version, "step".into(), MigrationType::Simple, sql.into(), false);
    let migrator = Migrator {
        migrations: vec![
            step(
                1,
                "create type genre as enum ('fact', 'fiction');
                     create table book (id uuid primary key, title text not null, price numeric(8,2), printed date,
                         added timestamptz not null, genre genre not null, tags text[] not null, facts jsonb not null)",
            ),
            step(2, "create unique index book_title on book (lower(title))"),
        ]
        .into(),
        ..Migrator::DEFAULT
    };
    migrator.run(&pool).await?;
    migrator.run(&pool).await?;

    let book = Book {
        id: Uuid::from_u128(1),
        title: "Naive Set Theory".into(),
        price: Some(Decimal::new(2550, 2)),
        printed: NaiveDate::from_ymd_opt(1960, 1, 1),
        added: "2026-05-06T07:08:09.123456Z".parse()?,
        genre: Genre::Fact,
        tags: vec!["math".into(), "a,b".into()],
        facts: Json(serde_json::json!({"pages": 104, "more": [null, true]})),
    };
    let insert = "insert into book values ($1, $2, $3, $4, $5, $6, $7, $8)";
    let add = |book: Book| {
        sqlx::query(insert)
            .bind(book.id)
            .bind(book.title)
            .bind(book.price)
            .bind(book.printed)
            .bind(book.added)
            .bind(book.genre)
            .bind(book.tags)
            .bind(book.facts)
    };
    assert_eq!(add(book.clone()).execute(&pool).await?.rows_affected(), 1);
    let found: Book = sqlx::query_as("select * from book where genre = $1 and $2 = any(tags)")
        .bind(Genre::Fact)
        .bind("math")
        .fetch_one(&pool)
        .await?;
    assert_eq!(found, book);

    let error =
        add(Book { id: Uuid::from_u128(2), title: "NAIVE SET THEORY".into(), ..book.clone() }).execute(&pool).await;
    let error = error.expect_err("the unique index on an expression did not hold");
    assert_eq!(
        error.as_database_error().and_then(|error| error.constraint().map(str::to_owned)).as_deref(),
        Some("book_title")
    );

    let mut outer = pool.begin().await?;
    for n in 10..30u128 {
        add(Book { id: Uuid::from_u128(n), title: format!("Book {n}"), genre: Genre::Fiction, ..book.clone() })
            .execute(&mut *outer)
            .await?;
    }
    let mut inner = outer.begin().await?;
    sqlx::query("delete from book").execute(&mut *inner).await?;
    inner.rollback().await?;
    outer.commit().await?;
    let titles: Vec<String> = sqlx::query("select title from book where genre = 'fiction' order by title limit $1")
        .bind(2i64)
        .map(|row: PgRow| row.get(0))
        .fetch_all(&pool)
        .await?;
    assert_eq!(titles, ["Book 10", "Book 11"]);
    let ids: Vec<Uuid> = (10..15u128).map(Uuid::from_u128).collect();
    let count: i64 =
        sqlx::query_scalar("select count(*) from book where id = any($1)").bind(&ids).fetch_one(&pool).await?;
    assert_eq!(count, 5);
    let raised: Vec<Decimal> =
        sqlx::query_scalar("update book set price = price * 2 where id = any($1) returning price")
            .bind(&ids)
            .fetch_all(&pool)
            .await?;
    assert!(raised.len() == 5 && raised.iter().all(|price| *price == Decimal::new(5100, 2)), "{raised:?}");

    let many = futures_util::future::join_all((0..40i64).map(|n| {
        let pool = pool.clone();
        async move { sqlx::query_scalar::<_, i64>("select $1 + count(*) from book").bind(n).fetch_one(&pool).await }
    }));
    for (n, got) in many.await.into_iter().enumerate() {
        assert_eq!(got?, n as i64 + 21);
    }
    sqlx::raw_sql("drop table book, _sqlx_migrations; drop type genre").execute(&pool).await?;
    println!("ok");
    Ok(())
}
