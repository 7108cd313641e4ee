//! The tables random statements run over: every type, NULLs, edges, and keys that join.

use super::ty::Ty::{self, *};

/// A table and its columns.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [(&'static str, Ty)],
}

const NUM: Table = Table {
    name: "num",
    columns: &[
        ("id", Int4),
        ("i2", Int2),
        ("i4", Int4),
        ("i8", Int8),
        ("f4", Float4),
        ("f8", Float8),
        ("n", Numeric),
        ("m", Numeric),
        ("b", Bool),
    ],
};

const TXT: Table = Table {
    name: "txt",
    columns: &[
        ("id", Int4),
        ("t", Text),
        ("v", Varchar),
        ("c", Bpchar),
        ("by", Bytea),
        ("u", Uuid),
        ("mo", Mood),
        ("k", Int4),
    ],
};

const TIM: Table = Table {
    name: "tim",
    columns: &[("id", Int4), ("d", Date), ("t", Time), ("ts", Timestamp), ("tz", Timestamptz), ("iv", Interval)],
};

const DOC: Table = Table {
    name: "doc",
    columns: &[("id", Int4), ("j", Jsonb), ("jj", Json), ("ia", IntArray), ("na", NumArray), ("ta", TextArray)],
};

const BIG: Table = Table {
    name: "big",
    columns: &[("id", Int4), ("g", Int4), ("x", Numeric), ("label", Text), ("day", Date), ("flag", Bool)],
};

pub const TABLES: &[Table] = &[NUM, TXT, TIM, DOC, BIG];

/// Those of about ten rows.
pub const SMALL: &[Table] = &[NUM, TXT, TIM, DOC];

/// Creates and fills them; one statement a line.
pub const SETUP: &[&str] = &[
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
    "CREATE TABLE num (id integer PRIMARY KEY, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric, m numeric(12,2) DEFAULT 7.5, b boolean)",
    "INSERT INTO num VALUES (1, 1, 10, 100, 1.5, 1.5, 1.10, 1.10, true), (2, -1, -10, -100, -0.25, -1.5, -1.1, -1.10, false), (3, 0, 0, 0, 0, 0, 0, 0, NULL), \
     (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (5, 32767, 2000000000, 9000000000000000000, 16777216, 1e15, 123456789012345678901234567890.123456789, 9999999999.99, true), \
     (6, -32768, -2000000000, -9000000000000000000, -0.5, -0.03125, 0.000000000000000000001, -9999999999.99, false), (7, 7, 42, 42, 0.1, 0.1, 42, 42, true), \
     (8, 8, 42, 43, 42, 0.25, 42.0, 42.42, false), (9, 9, 1000, 1000, 3, 3, 1000.5, 0.01, true), (10, 10, 5, 5, 5, 5, 5, 5, NULL)",
    "CREATE TABLE txt (id integer PRIMARY KEY, t text, v varchar(12), c char(4), by bytea, u uuid, mo mood DEFAULT 'ok', k integer)",
    "INSERT INTO txt VALUES (1, 'abc', 'abc', 'abc', '\\x00ff', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'happy', 1), (2, 'ABC', 'x', 'ab', '\\xdeadbeef', '00000000-0000-0000-0000-000000000000', 'sad', 2), \
     (3, '', '', '', '', NULL, 'ok', 3), (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (5, 'Hello, World', 'Hello', 'Hell', '\\x41', '12345678-1234-5678-1234-567812345678', 'ok', 42), \
     (6, 'naïve ☃', 'naïve', 'ï', '\\xc3af', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'happy', 5), (7, ' lead and trail ', ' v ', ' c', '\\x20', NULL, NULL, 42), \
     (8, 'a%b_c', '100%', 'a%b', '\\x25', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', 'sad', 1000), (9, '12345', '12.5', '12', '\\x3132', NULL, 'sad', -10)",
    "CREATE TABLE tim (id integer PRIMARY KEY, d date DEFAULT '2020-01-01', t time, ts timestamp, tz timestamptz, iv interval)",
    "INSERT INTO tim VALUES (1, '2024-02-29', '23:59:59.999999', '2024-02-29 23:59:59.999999', '2024-03-31 02:30:00+02', '1 day'), (2, '1999-12-31', '12:00', '1999-12-31 12:00', '2000-01-01 00:00Z', '1 year 2 mons -3 days 04:05:06.789'), \
     (3, '1970-01-01', '00:00', '1970-01-01', '1970-01-01 00:00Z', '00:00:00'), (4, NULL, NULL, NULL, NULL, NULL), (5, '2026-11-21', '05:30:15.5', '2026-11-21 05:30:15.5', '2026-10-25 01:30:00Z', '-01:30:00'), \
     (6, '0001-01-01', '10:00', '0044-03-15 10:00', '1900-01-01 00:00Z', '30 days'), (7, '2100-06-15', '18:45', '2100-06-15 18:45', '2100-06-15 18:45-05', '1 mon')",
    "CREATE TABLE doc (id integer PRIMARY KEY, j jsonb, jj json, ia integer[], na numeric[], ta text[])",
    "INSERT INTO doc VALUES (1, '{\"a\": 1, \"b\": [1, 2, 3]}', '{\"b\" : [1, 2],  \"a\":1}', '{1,2,3}', '{1.5,2}', '{a,b}'), (2, '{\"a\": \"x\", \"b\": {\"c\": null}}', '{\"a\": null}', '{}', '{}', '{}'), \
     (3, '[1, \"a\", null, true]', '[1, \"a\" , {}]', '{NULL,5}', '{NULL,0.50}', '{\"x,y\",NULL,\"\"}'), \
     (4, NULL, NULL, NULL, NULL, NULL), (5, '3.50', '3.50', '{42}', '{42,42.0}', '{abc}'), (6, '{\"b\": 2, \"a\": {\"a\": [\"deep\"]}, \"long key\": 1e3}', '{\"a\": {\"a\": [\"deep\"]}, \"a\": 2}', '{3,2,1,0}', '{1e3}', '{Hello,World}')",
    "CREATE TABLE big (id integer PRIMARY KEY, g integer, x numeric(10,3), label text, day date, flag boolean)",
    "INSERT INTO big SELECT i, CASE WHEN i % 11 = 0 THEN NULL ELSE i % 7 END, (i * 37 % 1009) / 8.0, 'label ' || (i % 23), date '2024-01-01' + i % 400, CASE i % 3 WHEN 0 THEN true WHEN 1 THEN false END FROM generate_series(1, 300) i",
];
