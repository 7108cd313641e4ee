"""psycopg2: the driver most Python code still uses. Client-side parameters, simple protocol, named cursors, copy_expert."""

import datetime as dt
import decimal
import io
import uuid

import psycopg2
import psycopg2.extras
from psycopg2 import errors, sql

psycopg2.extras.register_uuid()


def main():
    conn = psycopg2.connect("")
    with conn, conn.cursor() as cur:
        cur.execute(
            """create table person (
                   id serial primary key, name varchar(40) not null, born date, height numeric(3,2),
                   seen timestamptz, tags text[], extra jsonb, token uuid, photo bytea, alive boolean)"""
        )
        rows = [
            ("Ada", dt.date(1815, 12, 10), decimal.Decimal("1.65"), dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.timezone.utc),
             ["math", "it's"], psycopg2.extras.Json({"k": [1, {"z": None}]}), uuid.UUID(int=7), b"\x00\xff'\\", False),
            ("Grace", None, None, None, [], None, None, None, True),
        ]
        psycopg2.extras.execute_values(
            cur,
            "insert into person (name, born, height, seen, tags, extra, token, photo, alive) values %s returning id",
            rows,
        )
        assert [row[0] for row in cur.fetchall()] == [1, 2]
    with conn, conn.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cur:
        cur.execute("select * from person where name = %(name)s", {"name": "Ada"})
        ada = cur.fetchone()
        assert ada["tags"] == ["math", "it's"] and ada["extra"] == {"k": [1, {"z": None}]}, ada
        assert bytes(ada["photo"]) == b"\x00\xff'\\" and ada["token"] == uuid.UUID(int=7), ada
        assert ada["height"] == decimal.Decimal("1.65") and ada["seen"] == rows[0][3], ada
        cur.execute(sql.SQL("select count(*) as n from {} where {} = any(%s)").format(
            sql.Identifier("person"), sql.Identifier("name")), (["Ada", "Grace", "Alan"],))
        assert cur.fetchone()["n"] == 2
    # An error aborts the transaction until rollback; a savepoint rescues it.
    with conn.cursor() as cur:
        cur.execute("savepoint s")
        try:
            cur.execute("insert into person (name) values (null)")
        except errors.NotNullViolation as error:
            assert error.diag.column_name == "name" and error.pgcode == "23502"
        try:
            cur.execute("select 1")
        except errors.InFailedSqlTransaction:
            pass
        cur.execute("rollback to savepoint s")
        cur.execute("insert into person (name) values ('Edsger')")
    conn.commit()
    # A named cursor is a server-side cursor.
    with conn, conn.cursor("walk", scrollable=True) as cur:
        cur.itersize = 10
        cur.execute("select i, i * i from generate_series(1, 95) i")
        assert sum(square for _, square in cur) == 290_320
        cur.scroll(0, mode="absolute")
        assert cur.fetchone() == (1, 1)
    with conn, conn.cursor() as cur:
        cur.copy_expert("copy person (name, tags) from stdin with csv", io.StringIO('Barbara,"{a,b}"\nKen,\n'))
        out = io.StringIO()
        cur.copy_expert("copy (select name, tags from person order by id) to stdout with csv header", out)
        assert out.getvalue() == "name,tags\nAda,\"{math,it's}\"\nGrace,{}\nEdsger,\nBarbara,\"{a,b}\"\nKen,\n", out.getvalue()
        cur.copy_to(out := io.StringIO(), "person", columns=("id", "name"))
        assert out.getvalue().startswith("1\tAda\n2\tGrace\n"), out.getvalue()
    conn.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with conn, conn.cursor() as cur:
        cur.execute("show transaction_isolation")
        assert cur.fetchone() == ("repeatable read",)
        try:
            cur.execute("delete from person")
        except errors.ReadOnlySqlTransaction:
            pass
        else:
            raise AssertionError("a read-only transaction wrote")
    conn.set_session(isolation_level="DEFAULT", readonly="DEFAULT")
    conn.autocommit = True
    with conn.cursor() as cur:
        cur.execute("drop table person")
    print("ok")


main()
