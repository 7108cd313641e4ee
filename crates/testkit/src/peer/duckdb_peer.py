# Keeps one DuckDB connection open and answers one JSON line for each JSON line.
import json
import sys
import time

import duckdb

connection = duckdb.connect(sys.argv[1], config={"threads": int(sys.argv[2])})
# A long statement would draw its progress into the replies.
connection.execute("SET enable_progress_bar = false")


def text(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)


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


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:
        reply = {"error": str(error)}
    print(json.dumps(reply), flush=True)
