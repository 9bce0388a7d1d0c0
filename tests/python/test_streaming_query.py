"""What programs see of their queries, and plans as large as programs make them: the real PySpark client, a master, two
workers, real Kafka. The checks themselves are in `programs/`, where each says what it expects and why."""

from __future__ import annotations

import re
from pathlib import Path

import console

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
SURFACE = PROGRAMS / "query_surface.py"
CLUSTER = ["--executors", "2", "--executor-cores", "1", "--executor-memory", "512M"]


def on_a_cluster(pyrite, script: Path, **environment: str):
    """Submits a program to a master and two workers."""
    pyrite.master()
    pyrite.worker()
    pyrite.worker()
    return pyrite.submit(script, flags=CLUSTER, environment=environment)


def test_the_surface_of_streaming_queries_is_sparks(pyrite, broker, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    program = on_a_cluster(pyrite, SURFACE, SURFACE_BROKER=broker.bootstrap, SURFACE_FOLDER=str(folder),
                           SURFACE_HELPERS=str(HERE))
    code = program.wait(120)
    checks = re.findall(r"^def check_(\w+)", SURFACE.read_text(), re.MULTILINE)
    passed = re.findall(r"^ok (\w+)", program.output(), re.MULTILINE)
    assert (code, passed) == (0, checks) and len(checks) > 10, program.output() + program.errors()
    batch = console.batches(program.output())[-1]
    assert (batch.number, batch.dicts()) == (0, [{"v": "first", "offset": "0"}, {"v": "second", "offset": "1"}])


def test_deep_and_wide_plans_run_and_too_deep_ones_are_refused(pyrite, broker, topic):
    for partition in range(2):
        broker.send(topic, [str(number) for number in range(partition, 10, 2)], partition)
    program = on_a_cluster(pyrite, PROGRAMS / "deep_plans.py", JOB_BROKER=broker.bootstrap, JOB_TOPIC=topic)
    assert program.wait(120) == 0, program.story()
    found = re.findall(r"^ok check_(\w+)", program.output(), re.MULTILINE)
    assert found == ["chains", "wide_expressions", "too_deep"], program.story()
