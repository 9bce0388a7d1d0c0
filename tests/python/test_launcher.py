"""Programs that were written for a JVM cluster run as they are, with each of the two packages that hold the client:
`pyspark-client`, and the whole `pyspark`, which would start a JVM if it were let."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import console
import small_programs
from kafka_broker import pyrite_home

PROGRAMS = Path(__file__).resolve().parent / "programs"
CLIENTS = {"pyspark-client": pyrite_home() / "venv", "pyspark": pyrite_home() / "spark-venv"}


def python_of(client: str) -> dict[str, str]:
    """The variable that chooses this client."""
    return {"PYSPARK_PYTHON": str(CLIENTS[client] / "bin/python")}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_script_for_a_jvm_cluster_runs_unchanged(pyrite, broker, topic, client):
    severities = ["High", "Low", "High", "Critical", "High", "Low"]
    broker.send(topic, [json.dumps({"user": f"u{n}", "severity": severity}) for n, severity in enumerate(severities)])
    settings = {"JOB_BROKER": broker.bootstrap, "JOB_TOPIC": topic, "MASTER": "local[*]", **python_of(client)}
    program = pyrite.submit(PROGRAMS / "jvm_script.py", master="local[2]", environment=settings,
                            flags=["--conf", "spark.sql.shuffle.partitions=2"])
    assert program.wait(90) == 0, program.story()
    [batch] = console.batches(program.output())
    assert batch.rows == [["High", "3"], ["Low", "2"], ["Critical", "1"]]
    assert "root\n |-- user: string (nullable = true)\n |-- severity: string (nullable = true)\n" in program.output()
    assert "WARN script: the script's own logger" in program.errors(), program.story()
    assert "`spark://elsewhere:7077` is not used: submit runs it on `local[2]`" in program.errors(), program.story()


@pytest.mark.parametrize("client", CLIENTS)
def test_leftovers_of_a_jvm_cluster_are_imported_and_refused_in_words_that_help(pyrite, client):
    program = pyrite.submit(PROGRAMS / "jvm_leftovers.py", master="local[1]", environment=python_of(client))
    assert program.wait(90) == 0, program.story()


LISTENER = '''
from pyspark.sql.streaming import StreamingQueryListener


class Listener(StreamingQueryListener):
    def onQueryStarted(self, event):
        print("EVENT started")

    def onQueryProgress(self, event):
        print("EVENT progress of", event.progress.numInputRows)

    def onQueryIdle(self, event):
        pass

    def onQueryTerminated(self, event):
        print("EVENT terminated", event.exception)


spark.streams.addListener(Listener())
show(stream(subscribe=os.environ["TOPIC"], startingOffsets="earliest").selectExpr("CAST(value AS STRING) AS value"))
'''
ENDINGS = {"": 0, "sys.exit(3)": 3, "raise ValueError('on purpose')": 1, "spark.stop()": 0}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_program_with_a_listener_ends_and_its_listener_hears_all(pyrite, broker, topic, client, ending):
    broker.send(topic, ["a", "b", "c"])
    body = LISTENER + ending + "\n"
    program = small_programs.run(pyrite, body, broker.bootstrap, code=ENDINGS[ending], TOPIC=topic, **python_of(client))
    events = re.findall(r"^EVENT (.*)$", program.output(), re.MULTILINE)
    assert (events[0], events[-1]) == ("started", "terminated None") and "progress of 3" in events, program.story()
    assert "UserWarning" not in program.errors(), program.story()


def warnings_of(program) -> list[str]:
    """What `submit` warned of, without the time."""
    return re.findall(r"^\S+ \S+ WARN Submit: (.*)$", program.errors(), re.MULTILINE)


MASTERS = {
    "SparkSession.builder.master('spark://elsewhere:7077').getOrCreate()": "spark://elsewhere:7077",
    "SparkSession.builder.config(conf=SparkConf().setMaster('local[7]')).getOrCreate()": "local[7]",
    "SparkContext('yarn', 'context')": "yarn",
    "SparkSession.builder.master('local[ 1 ]').getOrCreate()": None,
    "SparkSession.builder.master('local').getOrCreate()": None,
    "SparkSession.builder.getOrCreate()": None,
}


@pytest.mark.parametrize("line", MASTERS)
def test_a_master_in_the_program_that_is_not_used_is_told_once(pyrite, line):
    script = pyrite.folder / "masters.py"
    imports = "from pyspark import SparkConf, SparkContext\nfrom pyspark.sql import SparkSession\n"
    again = "SparkSession.builder.master('local[9]').getOrCreate()\n" if MASTERS[line] else ""
    script.write_text(f"{imports}{line}\n{again}")
    program = pyrite.submit(script, master="local[1]")
    assert program.wait(60) == 0, program.story()
    expected = f"the program's master `{MASTERS[line]}` is not used: submit runs it on `local[1]`"
    told = warnings_of(program)
    assert len(told) == (1 if MASTERS[line] else 0) and all(text.startswith(expected) for text in told), program.story()


def test_executors_that_a_program_asks_for_too_late_are_told_with_the_flags(pyrite):
    pyrite.master()
    script = pyrite.folder / "executors.py"
    script.write_text(
        "import sys\nfrom pyspark.sql import SparkSession\n"
        "builder = SparkSession.builder.master(sys.argv[1]).config('spark.executor.memory', '1024m')\n"
        "builder.config('spark.executor.cores', 2).config('spark.executor.instances', '3').getOrCreate()\n"
    )
    other = pyrite.master_url.replace("spark://", "pyrite://")
    program = pyrite.submit(script, other, flags=["--executors", "3"])
    assert program.wait(60) == 0, program.story()
    told = [text for text in warnings_of(program) if "the program" in text]
    expected = ("executors were asked for before the program ran, without its "
                "`spark.executor.cores` = `2` (pass `--executor-cores 2` to submit)")
    assert told == [expected], program.story()


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
def test_a_python_that_is_named_and_cannot_run_the_program_is_an_error(pyrite, python):
    script = pyrite.folder / "never.py"
    script.write_text("print('ran')\n")
    by_variable = pyrite.submit(script, master="local[1]", environment={"PYSPARK_PYTHON": python})
    by_setting = pyrite.submit(script, master="local[1]", flags=["--conf", f"spark.pyspark.python={python}"])
    for program, setting in ((by_variable, "PYSPARK_PYTHON"), (by_setting, "spark.pyspark.python")):
        assert program.wait(60) == 1 and program.output() == "", program.story()
        expected = f"submit: error: {setting} is `{python}`, which cannot run the program: "
        assert expected in program.errors() and "pip install pyspark-client" in program.errors(), program.story()
