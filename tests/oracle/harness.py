"""What an oracle case is, and how one runs on a SparkSession, whichever engine is behind it.

The same code runs on real Spark (`make_oracle.py`, which writes the goldens) and on Pyrite (`run_oracle.py`, which
compares). Three kinds of case:

- `rows`: a DataFrame of the columns `k INT` (row number) and `v STRING`, a transformation, and the collected rows;
- `meta`: a function of a DataFrame that gives something printable (schema, columns, printed text);
- `stream`: Kafka records sent in steps, each fully processed before the next, and what the console or the memory sink
  shows for each.

Results are plain JSON; values whose Python type JSON lacks are tagged, such as `{"decimal": "1.50"}`.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import io
import re
import signal
import sys
import uuid
from dataclasses import dataclass, field
from typing import Any, Callable

# Each case starts from these settings; a case's own `conf` comes on top.
BASE_CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.shuffle.partitions": "2",
}

SECTION = "=== oracle section "

# A case that hangs becomes a failed case.
CASE_LIMIT_SECONDS = 120


@dataclass
class Case:
    """One case. `run` gets the context and the case's full name, and gives the result."""

    name: str
    kind: str
    run: Callable[["Context", str], dict]
    conf: dict[str, str] = field(default_factory=dict)
    # Rows and console tables are compared sorted: their order is the engine's own.
    ordered: bool = True
    # The name of the case's file, filled in when the families are collected.
    family: str = ""

    @property
    def needs_kafka(self) -> bool:
        return self.kind == "stream"


@dataclass
class Context:
    """What a running case may use."""

    spark: Any
    bootstrap: str | None
    create_topic: Callable[[str, int], None] | None = None
    send: Callable[[str, list, int], None] | None = None


class Family:
    """Collects the cases of one file: `cases = Family()`, then `cases.rows(...)`, `cases.stream(...)`."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def rows(self, name: str, values: list, *what, conf: dict | None = None, ordered: bool = True) -> None:
        """`what`: either SQL expressions for selectExpr, or one function from the input DataFrame to the result."""

        def run(context: Context, _name: str) -> dict:
            frame = context.spark.createDataFrame(
                [(index, value) for index, value in enumerate(values)], "k INT, v STRING")
            frame = what[0](frame) if callable(what[0]) else frame.selectExpr(*what)
            schema = frame.schema
            return {
                "schema": schema.simpleString(),
                "columns": [each.name for each in schema.fields],
                "rows": [encode_row(row) for row in frame.collect()],
            }

        self.cases.append(Case(name, "rows", run, conf or {}, ordered))

    def meta(self, name: str, function: Callable, conf: dict | None = None) -> None:
        """`function(spark, frame)` with an input frame of `k INT, v STRING`; what it prints is part of the result."""

        def run(context: Context, _name: str) -> dict:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                frame = context.spark.createDataFrame([(0, "x")], "k INT, v STRING")
                value = function(context.spark, frame)
            return {"value": encode(value), "printed": printed.getvalue()}

        self.cases.append(Case(name, "meta", run, conf or {}))

    def stream(self, name: str, steps: list[list], transform: Callable, mode: str = "append", *, sink: str = "console",
               options: dict | None = None, source: dict | None = None, partitions: int = 1, available_now: bool = False,
               conf: dict | None = None, ordered: bool = False) -> None:
        """`steps`: for each step the record values (str or None), or (value, partition) pairs. With `available_now` all
        records are sent first and one availableNow run reads them; else each step is sent and fully processed in turn.
        """
        spec = StreamSpec(steps, transform, mode, sink, options or {}, source or {}, partitions, available_now)
        self.cases.append(Case(name, "stream", lambda context, full_name: run_stream(full_name, spec, context), conf or {}, ordered))


@dataclass
class StreamSpec:
    steps: list
    transform: Callable
    mode: str
    sink: str
    options: dict
    source: dict
    partitions: int
    available_now: bool


def section(name: str) -> None:
    """Marks in the standard output where a case's part begins; the console sink writes between these marks."""
    sys.stdout.flush()
    print(f"{SECTION}{name}", flush=True)


def with_console(results: dict, output: str) -> dict:
    """Adds to each streaming result `console`: the text that its steps printed, one string a step."""
    name = None
    for line in output.splitlines(keepends=True):
        mark = line.find(SECTION)
        if mark >= 0:
            if name and mark > 0:
                results[name[0]]["console"][name[1]] += line[:mark]
            words = line[mark + len(SECTION):].split()
            name = (words[0], int(words[1])) if len(words) == 2 and words[0] in results else None
            if name:
                console = results[name[0]].setdefault("console", [])
                while len(console) <= name[1]:
                    console.append("")
        elif name:
            results[name[0]]["console"][name[1]] += line
    return results


def run_stream(name: str, spec: StreamSpec, context: Context) -> dict:
    """Runs one streaming case. The console's text is cut out of the output afterwards, by the section marks."""
    topic = f"oracle-{uuid.uuid4().hex[:12]}"
    context.create_topic(topic, spec.partitions)
    reader = context.spark.readStream.format("kafka").option("kafka.bootstrap.servers", context.bootstrap) \
        .option("subscribe", topic).option("startingOffsets", "earliest")
    for key, value in spec.source.items():
        reader = reader.option(key, value)
    frame = spec.transform(reader.load())
    writer = frame.writeStream.format(spec.sink).outputMode(spec.mode)
    for key, value in spec.options.items():
        writer = writer.option(key, value)
    table = "t_" + uuid.uuid4().hex[:12]
    if spec.sink == "memory":
        writer = writer.queryName(table)
    result: dict = {"schema": frame.schema.simpleString(), "steps": len(spec.steps)}
    # A step's records appear at once (the runner's producer sends them as one batch), and the first step's before the
    # start: so the cut into batches is the same in each run.
    waiting = spec.steps if spec.available_now else spec.steps[:1]
    for step in waiting:
        send(context, topic, step)
    section(f"{name} 0")
    if spec.available_now:
        query = writer.trigger(availableNow=True).start()
        finish(query, lambda: query.awaitTermination(CASE_LIMIT_SECONDS))
        tables = [collected(context, spec, table)]
    else:
        query = writer.start()
        tables = []
        try:
            for index, step in enumerate(spec.steps):
                if index > 0:
                    section(f"{name} {index}")
                    send(context, topic, step)
                query.processAllAvailable()
                tables.append(collected(context, spec, table))
        finally:
            query.stop()
    if spec.sink == "memory":
        result["tables"] = tables
    section("end")
    return result


def collected(context: Context, spec: StreamSpec, table: str) -> list:
    """The memory sink's rows; none for other sinks."""
    return [encode_row(row) for row in context.spark.table(table).collect()] if spec.sink == "memory" else []


def finish(query: Any, wait: Callable) -> None:
    try:
        if not wait():
            raise RuntimeError("the query did not end within its time")
    finally:
        query.stop()


def send(context: Context, topic: str, step: list) -> None:
    by_partition: dict[int, list] = {}
    for record in step:
        value, partition = record if isinstance(record, tuple) else (record, 0)
        by_partition.setdefault(partition, []).append(value)
    for partition, values in sorted(by_partition.items()):
        context.send(topic, values, partition)


def run_case(case: Case, context: Context) -> dict:
    """Runs a case under its settings; an error becomes part of the result."""
    def too_long(*_args):
        raise TimeoutError(f"not done within {CASE_LIMIT_SECONDS} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(CASE_LIMIT_SECONDS)
    try:
        for key, value in (BASE_CONF | case.conf).items():
            context.spark.conf.set(key, value)
        return case.run(context, case.name)
    except Exception as error:  # the error is the result
        if case.kind == "stream":
            section("end")
        return {"error": describe_error(error)}
    finally:
        signal.alarm(0)
        for key in case.conf:
            if key not in BASE_CONF:
                context.spark.conf.unset(key)


# Classes that only wrap the one that names the cause.
WRAPPERS = {None, "", "STREAM_FAILED", "FAILED_EXECUTE_UDF", "TASK_WRITE_FAILED"}


def describe_error(error: Exception) -> dict:
    """The Spark error class that names the cause: that of the exception, or of a failed job or query the innermost
    one that its text names. `named` holds all of them: engines wrap a cause in different numbers of layers."""
    text = str(error)
    condition = None
    for name in ("getCondition", "getErrorClass"):
        if hasattr(error, name):
            with contextlib.suppress(Exception):
                condition = getattr(error, name)()
            break
    named = []
    for each in re.findall(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\]", text):
        if each not in WRAPPERS and each not in named:
            named.append(each)
    if condition in WRAPPERS:
        condition = named[-1] if named else condition
    first_line = text.strip().splitlines()[0] if text.strip() else ""
    described = {"class": condition or None, "type": type(error).__name__, "message": first_line[:300]}
    if len(named) > 1 or (named and named != [condition]):
        described["named"] = named
    return described


# ---- values as JSON -------------------------------------------------------------------------------------------

def encode_row(row: Any) -> list:
    return [encode(value) for value in row]


def encode(value: Any) -> Any:
    """A collected value as JSON; see the module's text for the tags."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return {"double": repr(value)}
    if isinstance(value, decimal.Decimal):
        return {"decimal": format(value, "f")}
    if isinstance(value, datetime.datetime):
        return {"timestamp": value.isoformat(sep=" ")}
    if isinstance(value, datetime.date):
        return {"date": value.isoformat()}
    if isinstance(value, datetime.timedelta):
        return {"interval": str(value)}
    if isinstance(value, (bytes, bytearray)):
        return {"binary": bytes(value).hex()}
    if isinstance(value, dict):
        return {"map": [[encode(key), encode(each)] for key, each in value.items()]}
    if hasattr(value, "__fields__"):
        return {"struct": [[name, encode(each)] for name, each in zip(value.__fields__, value)]}
    if isinstance(value, (list, tuple)):
        return [encode(each) for each in value]
    raise TypeError(f"no JSON form for {type(value)}")
