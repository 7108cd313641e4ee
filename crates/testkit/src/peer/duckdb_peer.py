# Keeps one DuckDB connection open and answers one JSON line for each JSON line.
import sys
import time

import duckdb

connection = duckdb.connect(sys.argv[1], config={"threads": int(sys.argv[2])})
# A long statement would draw its progress into the replies.
connection.execute("SET enable_progress_bar = false")


def answer(request):
    if request["do"] == "version":
        return {"version": duckdb.__version__}
    start = time.perf_counter()
    if request["do"] == "execute":
        connection.execute(request["sql"])
        return {"seconds": time.perf_counter() - start}
    rows = connection.execute(request["sql"]).fetchall()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "rows": [[text(value) for value in row] for row in rows]}


serve(answer)
