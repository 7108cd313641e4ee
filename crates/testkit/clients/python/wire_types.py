"""Every type both ways on the wire, byte for byte: text and binary parameters and results, arrays, NULLs, the edges, COPY in its formats.

Below psycopg's own types, by libpq: what is sent and what must come back stands in wire_types.tsv (type, input, text, binary in
hexadecimal), which PostgreSQL wrote: WIRE_TYPES_REWRITE=1 with the PG* variables of one.
"""

import asyncio
import hashlib
import os
import pathlib
import re

import asyncpg
import psycopg
from psycopg import pq

EXPECTED = pathlib.Path(__file__).with_name("wire_types.tsv")
TEXT, BINARY = 0, 1

VALUES = {
    "boolean": ["true", "f"],
    '"char"': ["a", "~"],
    "smallint": ["0", "-32768", "32767"],
    "integer": ["0", "-2147483648", "2147483647"],
    "bigint": ["0", "-9223372036854775808", "9223372036854775807"],
    "real": ["0", "-0", "1.5", "NaN", "Infinity", "-Infinity", "3.4028235e38", "1e-45", "7.5000003e9"],
    "double precision": ["0", "-0", "0.1", "NaN", "Infinity", "-Infinity", "1.7976931348623157e308", "5e-324", "1e23"],
    "numeric": [
        "0", "0.00", "-1", "NaN", "Infinity", "-Infinity", "12345678901234567890.123456789", "1e-20", "10000", "0.0001",
        "1" + "0" * 200, "-0." + "0" * 100 + "70", "99999999999999999999999999999999999999.5",
    ],
    "numeric(12,2)": ["0", "-9999999999.99", "0.01", "42"],
    "numeric(30,10)": ["12345678901234567890.0123456789", "-1"],
    "text": ["", "naïve ☃ 𝔘", "a\\b'c\"d\te\nf", " pad "],
    "varchar(10)": ["", "0123456789"],
    "char(4)": ["", "ab", "naïv"],
    "name": ["n", "a name"],
    "bytea": ["", "\\x00ff", "\\xdeadbeef5c27"],
    "date": [
        "1970-01-01", "2000-01-01", "0001-01-01", "0044-03-15 BC", "4713-11-24 BC", "9999-12-31", "5874897-12-31", "infinity",
        "-infinity",
    ],
    "time": ["00:00", "24:00", "23:59:59.999999"],
    "timestamp": [
        "2000-01-01", "2026-11-21 12:30:15.123456", "0044-03-15 12:00 BC", "4713-11-24 00:00 BC", "294246-12-31 23:59:59.999999",
        "infinity", "-infinity",
    ],
    "timestamptz": [
        "2000-01-01 00:00Z", "2026-11-21 12:30:15.123456+05:30", "0044-03-15 12:00Z BC", "294246-12-31 23:59:59.999999Z",
        "infinity", "-infinity",
    ],
    "interval": [
        "0", "1 year 2 mons -3 days 04:05:06.789", "-178000000 years", "1 mon -1 day 00:00:00.000001", "2147483647 days",
        "-2562047:47:16.854775",
    ],
    "uuid": ["00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
    "json": ['{"a" : [1, 2.50, null], "a":{}}', "null", '"x"'],
    "jsonb": ['{"b": 1, "a": [1, 2.50, null, true]}', "null", "1e30", '"\\u00e9"', "[]"],
    "mood": ["sad", "happy"],
    "oid": ["0", "4294967295"],
    "regtype": ["integer", "text[]"],
    "regclass": ["pg_class"],
    "regnamespace": ["pg_catalog"],
    "regrole": ["postgres"],
}
# Their numbers are those of the database, or inside a value a type's number is.
OWN_NUMBERS = ("mood[]", "regrole")


def ask(conn, sql, value, given, wanted):
    result = conn.pgconn.exec_params(sql.encode(), [value], None, [given], wanted)
    if result.status != pq.ExecStatus.TUPLES_OK:
        raise AssertionError(f"{sql}: {result.error_message.decode()}")
    return result.get_value(0, 0)


def cases():
    """(type, input) of every value, and of an array of each type's values with a NULL, an empty one and one of two dimensions."""
    for sql_type, inputs in VALUES.items():
        for text in inputs:
            yield sql_type, text
        quoted = ['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in inputs]
        if sql_type.startswith("reg"):
            continue  # text input of their arrays is refused
        base = sql_type + "[]"
        yield base, "{" + ",".join([*quoted, "NULL"]) + "}"
        yield base, "{}"
        yield base, "[0:1][2:3]={{" + quoted[0] + ",NULL},{" + quoted[-1] + "," + quoted[0] + "}}"


def rewrite(conn):
    lines = []
    for sql_type, text in cases():
        shown = ask(conn, f"select $1::{sql_type}", text.encode(), TEXT, TEXT).decode()
        sent = ask(conn, f"select $1::{sql_type}", text.encode(), TEXT, BINARY).hex()
        lines.append("\t".join([sql_type, repr(text), repr(shown), sent]))
    EXPECTED.write_text("\n".join(lines) + "\n", encoding="utf-8")


def expected():
    for line in EXPECTED.read_text(encoding="utf-8").splitlines():
        sql_type, text, shown, sent = line.split("\t")
        yield sql_type, eval(text), eval(shown), sent  # noqa: S307 - a file of our own


def single_values(conn):
    wrong = []
    for sql_type, text, shown, sent in expected():
        try:
            one_value(conn, sql_type, text, shown, sent)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)
    for sql_type in dict.fromkeys(sql_type for sql_type, *_ in expected()):
        for given in (TEXT, BINARY):
            for wanted in (TEXT, BINARY):
                assert ask(conn, f"select $1::{sql_type}", None, given, wanted) is None, sql_type


def one_value(conn, sql_type, text, shown, sent):
    sql = f"select $1::{sql_type}"
    got = ask(conn, sql, text.encode(), TEXT, TEXT)
    assert got == shown.encode(), f"{sql_type} {text:.60}: {got[:80]!r} is shown, not {shown[:80]!r}"
    binary = ask(conn, sql, text.encode(), TEXT, BINARY)
    if sql_type not in OWN_NUMBERS:
        assert binary.hex() == sent, f"{sql_type} {text:.60}: {binary.hex()[:200]} is sent, not {sent[:200]}"
    got = ask(conn, sql, binary, BINARY, TEXT)
    assert got == shown.encode(), f"{sql_type} {text:.60}: sent in binary {got[:80]!r} is shown, not {shown[:80]!r}"
    assert ask(conn, sql, binary, BINARY, BINARY) == binary, f"{sql_type} {text:.60}: sent in binary it comes back otherwise"


def damaged(conn):
    """A binary value that is none is an error of the client's, and the connection goes on."""
    for sql_type, sent in (("integer", b"\0"), ("uuid", b"short"), ("numeric", b"\0\1"), ("integer[]", b"\0" * 7), ("jsonb", b"\2{}")):
        result = conn.pgconn.exec_params(f"select $1::{sql_type}".encode(), [sent], None, [BINARY], TEXT)
        state = result.error_field(pq.DiagnosticField.SQLSTATE)
        assert state in (b"22P03", b"08P01", b"XX000", b"22021"), f"{sql_type}: {state}"
    assert ask(conn, "select $1::int", b"1", TEXT, TEXT) == b"1"


def stored(conn):
    """In a table, in by binary parameters and out and in again by COPY."""
    columns = {}
    for sql_type, text, shown, _ in expected():
        columns.setdefault(sql_type, []).append((text, shown))
    names = [f"c{n}" for n in range(len(columns))]
    definition = ", ".join(f"{name} {sql_type}" for name, sql_type in zip(names, columns))
    for table in ("one", "two"):
        conn.execute(f"create table {table} (id int primary key, {definition})")
    depth = max(len(values) for values in columns.values())
    for row in range(depth):
        values = [
            ask(conn, f"select $1::{sql_type}", values[row][0].encode(), TEXT, BINARY) if row < len(values) else None
            for sql_type, values in columns.items()
        ]
        marks = ", ".join(f"${n + 1}" for n in range(len(values)))
        insert = f"insert into one values ({row}, {marks})"
        result = conn.pgconn.exec_params(insert.encode(), values, None, [BINARY] * len(values), TEXT)
        assert result.status == pq.ExecStatus.COMMAND_OK, result.error_message.decode()
    order = "order by id"
    plain = copied(conn, f"copy (select * from one {order}) to stdout")
    for options in ("", "(format csv)", "(format binary)"):
        out = copied(conn, f"copy one to stdout {options}")
        with conn.cursor().copy(f"copy two from stdin {options}") as copy:
            copy.write(out)
        assert copied(conn, f"copy (select * from two {order}) to stdout") == plain, options
        conn.execute("truncate two")
    numbers = ", ".join(name for name, sql_type in zip(names, columns) if sql_type not in OWN_NUMBERS)
    digests = [hashlib.sha256(plain).hexdigest()]
    digests.append(hashlib.sha256(copied(conn, f"copy (select {numbers} from one {order}) to stdout (format binary)")).hexdigest())
    digests.append(hashlib.sha256(copied(conn, f"copy (select * from one {order}) to stdout (format csv, header)")).hexdigest())
    conn.execute("drop table one, two")
    return digests


def copied(conn, sql):
    with conn.cursor().copy(sql) as copy:
        return b"".join(bytes(part) for part in copy)


# What Python's own dates, times and lengths of time cannot say.
BEYOND_PYTHON = re.compile(r"BC|0001-01-01|9999-12-31|infinity|Infinity|294246|5874897|24:00|178000000|2147483647|2562047|1 year|1 mon|NaN")


async def by_asyncpg():
    conn = await asyncpg.connect()
    await conn.execute("set timezone = 'UTC'; set search_path = wire, public")
    for sql_type, text, _, _ in expected():
        if sql_type.startswith(("date", "time", "interval")) and BEYOND_PYTHON.search(text):
            continue
        if sql_type.startswith("reg") or sql_type.startswith("jsonb") and "1e30" in text:
            continue
        value = await conn.fetchval(f"select $1::text::{sql_type}", text)
        got, want = await conn.fetchrow(
            f"select ($1::{sql_type})::text, ($2::text::{sql_type})::text", value, text
        )
        # Python's arrays begin at one place whatever PostgreSQL's did.
        want = want.split("=", 1)[1] if want.startswith("[0:1]") else want
        assert got == want, f"asyncpg {sql_type} {text:.60}: {got!r:.100} instead of {want!r:.100}"
    await conn.close()


def main():
    with psycopg.connect(autocommit=True) as conn:
        conn.execute("set timezone = 'UTC'")
        conn.execute("create schema wire; create type wire.mood as enum ('sad', 'ok', 'happy'); set search_path = wire, public")
        if os.environ.get("WIRE_TYPES_REWRITE"):
            rewrite(conn)
        single_values(conn)
        damaged(conn)
        digests = stored(conn)
        kept = EXPECTED.with_suffix(".sha256")
        if os.environ.get("WIRE_TYPES_REWRITE"):
            kept.write_text("\n".join(digests) + "\n")
        assert digests == kept.read_text().split(), digests
        asyncio.run(by_asyncpg())
        conn.execute("drop schema wire cascade")
    print("ok")


main()
