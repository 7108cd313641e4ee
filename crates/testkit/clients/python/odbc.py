"""ODBC: pyodbc over psqlodbc, as Excel, Power BI and Tableau reach a database."""

import datetime as dt
import decimal
import glob
import os
import uuid

import pyodbc

driver = next(iter(glob.glob("/usr/lib/*/odbc/psqlodbcw.so")), "PostgreSQL Unicode")
text = (
    f"DRIVER={driver};SERVER={os.environ.get('PGHOST', '127.0.0.1')};PORT={os.environ.get('PGPORT', '5432')};"
    f"DATABASE={os.environ.get('PGDATABASE', 'postgres')};UID={os.environ.get('PGUSER', 'postgres')};"
    f"PWD={os.environ.get('PGPASSWORD', '')};SSLmode=prefer;UseServerSidePrepare=1;UseDeclareFetch=%d;Fetch=50"
)


def work(conn):
    cur = conn.cursor()
    cur.execute(
        """create table sale (id integer primary key, at timestamp, day date, amount numeric(10,2), ratio float8,
                              item varchar(50), big bigint, ok boolean, code uuid, raw bytea)"""
    )
    conn.commit()
    row = (1, dt.datetime(2026, 1, 2, 3, 4, 5, 123456), dt.date(2026, 1, 2), decimal.Decimal("12.50"), 0.25, "Stift ü",
           2**40, True, str(uuid.UUID(int=5)), b"\x00\x01\xff")
    cur.execute("insert into sale values (?,?,?,?,?,?,?,?,?,?)", row)
    cur.executemany("insert into sale (id, item, amount) values (?, ?, ?)",
                    [(n, f"item {n}", decimal.Decimal(n)) for n in range(2, 300)])
    conn.commit()
    got = tuple(cur.execute("select * from sale where id = ?", 1).fetchone())
    assert got[:5] == row[:5] and got[5:7] == row[5:7] and got[9] == row[9], got
    assert str(got[8]).lower() == row[8] and got[7] in (True, "1"), got
    counted = cur.execute("select count(*), sum(amount) from sale where id > ?", 1).fetchone()
    assert tuple(counted) == (298, sum(range(2, 300))), counted
    assert len(cur.execute("select * from sale order by id").fetchall()) == 299
    assert [c.column_name for c in cur.columns(table="sale")][:3] == ["id", "at", "day"]
    assert [k.column_name for k in cur.primaryKeys("sale")] == ["id"]
    assert "sale" in [t.table_name for t in cur.tables(tableType="TABLE")]
    try:
        cur.execute("insert into sale (id) values (1)")
    except pyodbc.IntegrityError as error:
        assert error.args[0] == "23505", error.args
    else:
        raise AssertionError("a duplicate key went in")
    conn.rollback()
    cur.execute("delete from sale where id = 1")
    conn.rollback()
    assert cur.execute("select count(*) from sale").fetchone()[0] == 299
    cur.execute("drop table sale")
    conn.commit()


for declare_fetch in (0, 1):
    connection = pyodbc.connect(text % declare_fetch)
    work(connection)
    connection.close()
print("ok")
