"""Vortex or DuckDB (the argument says which), asked by the benchmark in JSON lines: a question a line, an answer a line.

CPU seconds are of this process, all threads (Vortex gets none but this one, DuckDB one). What a scan gives is summed up
after the clock was stopped, to compare answers.
"""

import importlib.metadata
import json
import os
import statistics
import sys
import time
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if sys.argv[1] == "duckdb":
    import duckdb
else:
    import vortex as vx
    import vortex.expr as ve

    vx.set_worker_threads(0)
files = {}
connections = {}


def timed(run):
    begun = time.process_time()
    result = run()
    return result, (time.process_time() - begun) * 1e3


def path(ask, name):
    return os.path.join(ask["dir"], name)


def read(ask):
    """The table, as the benchmark wrote it."""
    return pq.read_table(ask["parquet"])


def open_vortex(file):
    # The cache holds all of it after the first read: no disk is between it and the clock.
    return vx.open(file, segment_cache=vx.SegmentCache(4 << 30), cache_key=file)


def write_vortex(ask):
    table = read(ask)
    options = vx.io.VortexWriteOptions.compact() if ask["file"] == "compact" else vx.io.VortexWriteOptions.default()
    target = path(ask, "peer." + ask["file"])
    _, ms = timed(lambda: options.write(table, target))
    files[ask["file"]] = open_vortex(target)
    return {"bytes": os.path.getsize(target), "cpu_ms": ms}


def write_duckdb(ask):
    target = path(ask, "peer.duckdb")
    connection = duckdb.connect(target)
    connection.execute("set threads = 1")
    create = f"create table t as select * from read_parquet('{ask['parquet']}')"
    _, ms = timed(lambda: (connection.execute(create), connection.execute("checkpoint")))
    connections["t"] = connection
    return {"bytes": os.path.getsize(target), "cpu_ms": ms}


def cents(column):
    """Money with two decimals as whole numbers."""
    return pc.cast(pc.multiply(pc.cast(column, pa.decimal128(20, 2)), Decimal(100)), pa.int64())


def answer(question, table):
    price, discount = cents(table["l_extendedprice"]), cents(table["l_discount"])
    if question == "q6":
        return pc.sum(pc.multiply(price, discount)).as_py()
    weighed = pc.add(pc.multiply(price, 16), discount)
    return pc.sum(table["l_orderkey"]).as_py() + pc.sum(weighed).as_py()


COLUMNS = {"q6": ["l_extendedprice", "l_discount"], "scan3": ["l_orderkey", "l_extendedprice", "l_discount"]}


def scan(ask):
    question, bounds = ask["question"], ask["bounds"]
    columns = COLUMNS[question]
    if ask["file"] == "duckdb":
        where = {
            "q6": "l_shipdate >= date '1970-01-01' + {from} and l_shipdate < date '1970-01-01' + {to}"
            " and l_discount between {low} / 100.0 and {high} / 100.0 and l_quantity < {quantity} / 100.0",
            "scan3": "l_shipdate >= date '1970-01-01' + {from}",
        }[question].format(**bounds)
        query = f"select {', '.join(columns)} from t where {where}"
        table, ms = timed(lambda: connections["t"].sql(query).to_arrow_table())
    else:
        file = files[ask["file"]]
        expression = filters(question, bounds)
        table, ms = timed(lambda: file.to_arrow(columns, expr=expression).read_all())
    return {"cpu_ms": ms, "rows": table.num_rows, "sum": answer(question, table)}


def date(days):
    return ve.literal(vx.date("days"), days)


def money(value):
    return ve.literal(vx.decimal(precision=15, scale=2), Decimal(value).scaleb(-2))


def filters(question, bounds):
    shipped = ve.column("l_shipdate")
    since = shipped >= date(bounds["from"])
    if question == "scan3":
        return since
    discount = ve.column("l_discount")
    return ve.and_collect(
        [
            since,
            shipped < date(bounds["to"]),
            discount >= money(bounds["low"]),
            discount <= money(bounds["high"]),
            ve.column("l_quantity") < money(bounds["quantity"]),
        ]
    )


def rows(ask):
    """Single rows of all columns by position, in the two ways Vortex has: taken by index into Arrow, and as a value of a
    scan prepared once, which is faster."""
    file = files[ask["file"]]
    prepared = file.to_repeated_scan()
    wanted = [(row, vx.array(pa.array([row], pa.uint64()))) for row in ask["rows"]]

    def take(row, index):
        return file.scan(indices=index).read_all().to_arrow_array()

    def value(row, index):
        return prepared.scalar_at(row)

    keys = [take(*one).field(0)[0].as_py() for one in wanted]
    assert keys == [value(*one).as_py()["l_orderkey"] for one in wanted]
    return {"keys": keys, "take_ns": median_ns(take, wanted), "value_ns": median_ns(value, wanted)}


def median_ns(read, wanted):
    times = []
    for one in wanted:
        begun = time.perf_counter_ns()
        read(*one)
        times.append(time.perf_counter_ns() - begun)
    return statistics.median(times)


ASKED = {"vortex": write_vortex, "duckdb": write_duckdb, "scan": scan, "rows": rows}
# Answers have standard output to themselves: DuckDB draws a progress bar there when a statement takes long.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
package = {"vortex": "vortex-data", "duckdb": "duckdb"}[sys.argv[1]]
print(json.dumps(f"{package} {importlib.metadata.version(package)}"), file=answers, flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    print(json.dumps(ASKED[ask["do"]](ask)), file=answers, flush=True)
