"""Small PySpark programs for tests: a common beginning, and what each test adds to it.

The common beginning makes the session and `stream(...)`, which reads Kafka with the options given to it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

BEGINNING = '''
import json, os, sys
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, count, expr, from_json

spark = SparkSession.builder.getOrCreate()


def stream(**options):
    """A stream of the test's broker; option names with dots are given as `**{"kafka.x": ...}`."""
    reader = spark.readStream.format("kafka").option("kafka.bootstrap.servers", os.environ["BROKER"])
    for name, value in options.items():
        reader = reader.option(name, value)
    return reader.load()


def show(frame, table="rows", **trigger):
    """Runs a query into a table in memory to its end and prints its rows as one line of JSON."""
    query = frame.writeStream.format("memory").queryName(table).trigger(**(trigger or {"availableNow": True})).start()
    query.awaitTermination()
    found = [row.asDict(True) for row in spark.table(table).collect()]
    print("ROWS", json.dumps(found, default=lambda value: bytes(value).decode()))
    return query
'''


def write(folder: Path, body: str, name: str = "program") -> Path:
    """The program as a file."""
    path = Path(folder) / f"{name}.py"
    path.write_text(BEGINNING + body)
    return path


def start(pyrite, body: str, broker: str = "", *, name: str = "program", master: str | None = "local[1]", flags=(),
          **environment: str):
    """Submits the program; to the master that runs when `master` is None."""
    path = write(pyrite.folder, body, name)
    return pyrite.submit(path, master=master, flags=list(flags), environment={"BROKER": broker, **environment})


def run(pyrite, body: str, broker: str = "", *, code: int = 0, seconds: float = 60, **more):
    """Submits the program, waits for its end, and gives the process. It must end with `code` and without a trace of ours."""
    process = start(pyrite, body, broker, **more)
    found = process.wait(seconds)
    assert found == code, f"ended with {found}, not {code}\n{process.story()}"
    no_trace_of_ours(process)
    return process


def no_trace_of_ours(process) -> None:
    """What goes wrong outside is told in words, not by a panic."""
    text = process.output() + process.errors()
    assert not re.search(r"panicked at|stack backtrace|RUST_BACKTRACE|INTERNAL_ERROR", text), process.story()


def rows(process) -> list[list[dict]]:
    """What each `show` of the program printed."""
    return [json.loads(line[5:]) for line in process.output().splitlines() if line.startswith("ROWS ")]
