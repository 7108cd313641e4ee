"""ADBC: Arrow in, Arrow out. The driver reads and writes by binary COPY and looks types up in pg_type."""

import datetime as dt
import os

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

HOST, PORT = os.environ.get("PGHOST", "127.0.0.1"), os.environ.get("PGPORT", "5432")
USER, DATABASE = os.environ.get("PGUSER", "postgres"), os.environ.get("PGDATABASE", "postgres")


def main():
    with adbc.connect(f"postgresql://{USER}@{HOST}:{PORT}/{DATABASE}") as conn, conn.cursor() as cur:
        table = pa.table({
            "id": pa.array(range(10_000), pa.int64()),
            "small": pa.array([n % 100 for n in range(10_000)], pa.int16()),
            "name": [None if n % 10 == 0 else f"name {n}" for n in range(10_000)],
            "ratio": [n / 7 for n in range(10_000)],
            "ok": [n % 2 == 0 for n in range(10_000)],
            "at": pa.array([dt.datetime(2026, 1, 1) + dt.timedelta(seconds=n) for n in range(10_000)], pa.timestamp("us")),
            "day": pa.array([dt.date(2026, 1, 1)] * 10_000, pa.date32()),
            "raw": [b"\x00\xff"] * 10_000,
        })
        assert cur.adbc_ingest("arrow_table", table, mode="create") == 10_000
        conn.commit()
        cur.execute("select * from arrow_table order by id")
        back = cur.fetch_arrow_table()
        assert back.equals(table), (back.schema, table.schema)
        cur.execute("select count(*) as n, sum(ratio) as s from arrow_table where small < $1", (10,))
        assert cur.fetchone()[0] == 1000
        cur.execute("select array_agg(id order by id) as ids, '12.50'::numeric(6,2) as price from arrow_table where id < 3")
        ids, price = cur.fetchone()
        assert list(ids) == [0, 1, 2] and str(price) == "12.50", (ids, price)
        cur.adbc_ingest("arrow_table", table.slice(0, 10), mode="append")
        conn.rollback()
        cur.execute("select count(*) from arrow_table")
        assert cur.fetchone() == (10_000,)
        assert conn.adbc_get_table_schema("arrow_table").names == table.schema.names
        depth = conn.adbc_get_objects(depth="tables", table_name_filter="arrow_table").read_all().to_pylist()
        names = [t["table_name"] for c in depth for s in (c["catalog_db_schemas"] or []) for t in (s["db_schema_tables"] or [])]
        assert names == ["arrow_table"], names
        try:
            cur.execute("select * from not_there")
        except adbc.ProgrammingError as error:
            assert error.sqlstate == "42P01", error.sqlstate
        else:
            raise AssertionError("a missing table was found")
        conn.rollback()
        cur.execute("drop table arrow_table")
        conn.commit()
    print("ok")


main()
