"""psycopg 3: types in text and binary, server-side parameters, transactions, COPY, errors, cancel, pipeline, cursors."""

import datetime as dt
import decimal
import ipaddress  # noqa: F401  (psycopg registers it; we only need the import to work)
import threading
import time
import uuid

import psycopg
from psycopg import errors
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Json, Jsonb

VALUES = {
    "boolean": [True, False],
    "smallint": [-32768, 32767],
    "integer": [-(2**31), 2**31 - 1],
    "bigint": [-(2**63), 2**63 - 1],
    "real": [1.5, -0.0, float("inf")],
    "double precision": [1e300, -2.5, float("-inf")],
    "numeric": [decimal.Decimal("12345678901234567890.123456789"), decimal.Decimal("NaN")],
    "numeric(12,2)": [decimal.Decimal("-1234567890.12"), decimal.Decimal("0.00")],
    "text": ["", "naïve ☃ \\ ' \"", "x" * 100_000],
    "varchar(10)": ["0123456789"],
    "bytea": [b"", bytes(range(256))],
    "date": [dt.date(1, 1, 1), dt.date(9999, 12, 31)],
    "time": [dt.time(0, 0), dt.time(23, 59, 59, 999999)],
    "timestamp": [dt.datetime(2026, 11, 21, 12, 30, 15, 123456)],
    "timestamptz": [dt.datetime(2026, 11, 21, 12, 30, 15, 123456, tzinfo=dt.timezone.utc)],
    "interval": [dt.timedelta(days=3, seconds=5, microseconds=7), dt.timedelta(0)],
    "uuid": [uuid.UUID(int=0), uuid.uuid4()],
    "integer[]": [[], [1, 2, 3], [None, 4]],
    "text[]": [["a", 'b "quoted"', "c,d", "NULL", None, ""]],
    "uuid[]": [[uuid.UUID(int=1)]],
    "timestamptz[]": [[dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)]],
    "numeric[]": [[decimal.Decimal("1.50"), None]],
}


def types(conn):
    for sql_type, values in VALUES.items():
        for value in [*values, None]:
            for binary in (False, True):
                cur = conn.cursor(binary=binary)
                for placeholder in ("%s", "%b", "%t") if value is not None else ("%s",):
                    got = cur.execute(f"select {placeholder}::{sql_type}", (value,)).fetchone()[0]
                    same = got == value or (value != value and got != got)
                    if isinstance(value, decimal.Decimal) and value.is_nan():
                        same = got.is_nan()
                    assert same, f"{sql_type} {placeholder} binary={binary}: sent {value!r:.60}, got {got!r:.60}"
    document = {"a": [1, 2.5, None, True], "b": {"c": "d"}}
    for wrap, sql_type in ((Json, "json"), (Jsonb, "jsonb")):
        for binary in (False, True):
            got = conn.cursor(binary=binary).execute(f"select %s::{sql_type}", (wrap(document),)).fetchone()[0]
            assert got == document, got
    # Stored, and through the table's types.
    columns = ", ".join(f"c{i} {name}" for i, name in enumerate(VALUES))
    conn.execute(f"create table every_type ({columns}, j json, b jsonb)")
    row = [values[-1] for values in VALUES.values()]
    row[6] = decimal.Decimal("-0.000001")
    marks = ", ".join(["%s"] * (len(row) + 2))
    conn.execute(f"insert into every_type values ({marks})", [*row, Json(document), Jsonb(document)])
    for binary in (False, True):
        got = conn.cursor(binary=binary).execute("select * from every_type").fetchone()
        assert list(got) == [*row, document, document], got
    conn.execute("drop table every_type")


def transactions(conn):
    conn.execute("create table account (id int primary key, balance numeric(10,2) not null check (balance >= 0))")
    conn.execute("insert into account values (1, 100), (2, 0)")
    with conn.transaction():
        conn.execute("update account set balance = balance - 40 where id = 1")
        try:
            with conn.transaction():  # a savepoint
                conn.execute("update account set balance = balance - 400 where id = 1")
        except errors.CheckViolation as error:
            assert error.diag.constraint_name == "account_balance_check", error.diag.constraint_name
            assert error.diag.table_name == "account", error.diag.table_name
        else:
            raise AssertionError("the check did not hold")
        conn.execute("update account set balance = balance + 40 where id = 2")
    rows = conn.execute("select id, balance from account order by id").fetchall()
    assert rows == [(1, 60), (2, 40)], rows
    try:
        with conn.transaction():
            conn.execute("delete from account")
            raise RuntimeError("changed my mind")
    except RuntimeError:
        pass
    assert conn.execute("select count(*) from account").fetchone() == (2,)
    conn.execute("drop table account")


def copying(conn):
    conn.execute("create table reading (at timestamptz, sensor int, value float8, note text)")
    start = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    rows = [(start + dt.timedelta(seconds=i), i % 7, i / 3, None if i % 5 else "tab\tand\nline") for i in range(5000)]
    with conn.cursor().copy("copy reading from stdin") as copy:
        for row in rows:
            copy.write_row(row)
    with conn.cursor().copy("copy reading from stdin (format binary)") as copy:
        copy.set_types(["timestamptz", "int4", "float8", "text"])
        for row in rows:
            copy.write_row(row)
    for how in ("", "(format binary)"):
        with conn.cursor().copy(f"copy (select * from reading order by at, note) to stdout {how}") as copy:
            copy.set_types(["timestamptz", "int4", "float8", "text"])
            got = list(copy.rows())
        assert len(got) == 10_000 and got[0] == rows[0] == got[1], got[:2]
    try:
        with conn.cursor().copy("copy reading from stdin") as copy:
            copy.write("not a time\t1\t2\tx\n")
    except errors.InvalidDatetimeFormat as error:
        assert 'COPY reading, line 1, column at: "not a time"' in error.diag.context, error.diag.context
    else:
        raise AssertionError("COPY took a bad row")
    assert conn.execute("select count(*), count(note) from reading").fetchone() == (10_000, 2000)
    conn.execute("drop table reading")


def statements(conn):
    conn.execute("create table item (id bigserial primary key, name text, price numeric(8,2))")
    with conn.cursor(row_factory=dict_row) as cur:
        cur.executemany(
            "insert into item (name, price) values (%s, %s) returning id",
            [("pen", 1), ("ink", 2), ("pad", 3)],
            returning=True,
        )
        ids = [cur.fetchone()["id"]]
        while cur.nextset():
            ids.append(cur.fetchone()["id"])
        assert ids == [1, 2, 3], ids

    class Item:
        def __init__(self, id, name, price):
            self.id, self.name, self.price = id, name, price

    cur = conn.cursor(row_factory=class_row(Item))
    assert cur.execute("select * from item where id = %s", (2,)).fetchone().name == "ink"
    # Prepared automatically after five executions; then the table changes under it.
    for n in range(10):
        assert conn.execute("select name from item where price = %s", (n % 3 + 1,), prepare=True).rowcount == 1
    conn.execute("alter table item add column note text default 'new'")
    assert conn.execute("select * from item where id = %s", (1,), prepare=True).fetchone()[3] == "new"
    assert conn.execute("select name from item where id = any(%s) order by 1", ([1, 3],)).fetchall() == [("pad",), ("pen",)]
    with conn.pipeline():
        a = conn.execute("select 1")
        b = conn.execute("select 2")
    assert (a.fetchone(), b.fetchone()) == ((1,), (2,))
    with conn.transaction(), conn.cursor("streamed") as named:
        named.itersize = 100
        named.execute("select generate_series(1, 1000)")
        assert sum(value for (value,) in named) == 500_500
    notices = []
    conn.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary))
    conn.execute("drop table if exists never_was")
    assert notices == ['table "never_was" does not exist, skipping'], notices
    conn.execute("drop table item")


def mistakes(conn):
    expected = [
        ("select * from nowhere", errors.UndefinedTable),
        ("select nothing", errors.UndefinedColumn),
        ("selec 1", errors.SyntaxError),
        ("select 1/0", errors.DivisionByZero),
        ("select 'x'::int", errors.InvalidTextRepresentation),
        ("select 2147483647 + 1", errors.NumericValueOutOfRange),
        ("select no_such(1)", errors.UndefinedFunction),
        ("select 'a' || chr(0)", errors.ProgramLimitExceeded),
    ]
    for sql, kind in expected:
        try:
            conn.execute(sql)
        except kind as error:
            assert error.sqlstate == kind.sqlstate
        else:
            raise AssertionError(f"{sql} did not fail")
    try:
        conn.execute("select one,\n       two")
    except errors.UndefinedColumn as error:
        assert error.diag.statement_position == "8", error.diag.statement_position


def cancelling(conn):
    timer = threading.Timer(0.3, conn.cancel)
    timer.start()
    began = time.monotonic()
    try:
        conn.execute("select pg_sleep(30)")
    except errors.QueryCanceled:
        assert time.monotonic() - began < 5
    else:
        raise AssertionError("nothing was cancelled")
    assert conn.execute("select 1").fetchone() == (1,)


def main():
    with psycopg.connect(autocommit=True) as conn:
        for part in (types, transactions, copying, statements, mistakes, cancelling):
            part(conn)
    print("ok")


main()
