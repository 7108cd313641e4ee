# Keeps one embedded ClickHouse session over a folder of its own and answers one JSON line for each JSON line.
import json
import sys
import time

from chdb import session

database = session.Session(sys.argv[1])
# Standard SQL's tables and joins: a primary key is a sorted table, a row without a partner has nulls.
for setting in ["default_table_engine = 'MergeTree'", "join_use_nulls = 1", f"max_threads = {int(sys.argv[2])}"]:
    database.query(f"SET {setting}")


def answer(request):
    if request["do"] == "version":
        return {"version": str(database.query("SELECT version()", "TSV")).strip()}
    start = time.perf_counter()
    lines = ""
    # A file may hold several statements; the last one with rows is the answer.
    for statement in request["sql"].split(";"):
        if statement.strip():
            lines = str(database.query(statement, "JSONCompactEachRow")) or lines
    seconds = time.perf_counter() - start
    # Numbers as they were written: a decimal is not cut to a float.
    rows = [json.loads(line, parse_float=str, parse_int=str) for line in lines.splitlines()]
    return {"seconds": seconds, "rows": [[text(value) for value in row] for row in rows]}


serve(answer)
