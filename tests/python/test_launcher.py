"""Programs that were written for a JVM cluster run as they are, with each of the two packages that hold the client:
`pyspark-client`, and the whole `pyspark`, which would start a JVM if it were let."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import console
from kafka_broker import pyrite_home

PROGRAMS = Path(__file__).resolve().parent / "programs"
# The whole `pyspark` is there after `scripts/setup.sh --oracle`.
CLIENTS = {"pyspark-client": pyrite_home() / "venv", "pyspark": pyrite_home() / "spark-venv"}
INSTALLED = [name for name, environment in CLIENTS.items() if (environment / "bin/python").exists()]


@pytest.mark.parametrize("client", INSTALLED)
def test_a_script_for_a_jvm_cluster_runs_unchanged(pyrite, broker, topic, client):
    severities = ["High", "Low", "High", "Critical", "High", "Low"]
    broker.send(topic, [json.dumps({"user": f"u{n}", "severity": severity}) for n, severity in enumerate(severities)])
    settings = {"JOB_BROKER": broker.bootstrap, "JOB_TOPIC": topic, "MASTER": "local[*]",
                "PYSPARK_PYTHON": str(CLIENTS[client] / "bin/python")}
    program = pyrite.submit(PROGRAMS / "jvm_script.py", master="local[2]", environment=settings,
                            flags=["--conf", "spark.sql.shuffle.partitions=2"])
    assert program.wait(90) == 0, program.story()
    [batch] = console.batches(program.output())
    assert batch.rows == [["High", "3"], ["Low", "2"], ["Critical", "1"]]
    assert "root\n |-- user: string (nullable = true)\n |-- severity: string (nullable = true)\n" in program.output()
    assert "WARN script: the script's own logger" in program.errors(), program.story()
