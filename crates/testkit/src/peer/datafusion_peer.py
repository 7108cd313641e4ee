# Keeps one DataFusion session over a folder of Parquet files and answers one JSON line for each JSON line.
import pathlib
import sys
import time

import datafusion

config = datafusion.SessionConfig().with_target_partitions(int(sys.argv[2]))
session = datafusion.SessionContext(config)
for file in pathlib.Path(sys.argv[1]).glob("*.parquet"):
    session.register_parquet(file.stem, str(file))


def answer(request):
    if request["do"] == "version":
        return {"version": datafusion.__version__}
    start = time.perf_counter()
    batches = None
    # A file may hold several statements; the last one with rows is the answer.
    for statement in request["sql"].split(";"):
        if statement.strip():
            found = session.sql(statement).collect()
            batches = found if found or batches is None else batches
    seconds = time.perf_counter() - start
    rows = [[text(value) for value in row.values()] for batch in batches for row in batch.to_pylist()]
    return {"seconds": seconds, "rows": rows}


serve(answer)
