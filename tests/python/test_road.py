"""The road itself: programs submitted to real processes, real Kafka, the real PySpark client, and answers that are known.

What a program prints is compared with what Python makes of the same records, row by row.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

import console
import log_records
from processes import PATIENCE, ROOT, Pyrite, executors_of

PROGRAMS = Path(__file__).resolve().parent / "programs"
COUNT = 300_000
# 300,000 records over 300 s of event time, a jitter within the watermark's delay.
SETTINGS = log_records.Settings(seed=7, users=400, step_micros=1_000, jitter_millis=4_000)


def load(pyrite, broker, topic: str, settings: log_records.Settings, count: int, *flags: str) -> None:
    """Sends records that `log_records` knows and waits until all are in the topic."""
    words = ["--clock", "steps", "--count", count]
    for name, value in settings.__dict__.items():
        if name == "additional_term":
            continue
        words += ["--" + name.replace("_", "-"), value]
    loadgen = pyrite.loadgen(broker.bootstrap, topic, *[str(word) for word in words], *flags)
    assert loadgen.wait(120) == 0, loadgen.story()


def job(pyrite, broker, topic: str, checkpoint: Path | None = None, shards: int = 2, master: str | None = None,
        **environment: str):
    """Submits the crash job."""
    settings = {"JOB_BROKER": broker.bootstrap, "JOB_TOPIC": topic, **environment}
    if checkpoint:
        settings["JOB_CHECKPOINT"] = str(checkpoint)
    flags = ["--conf", f"spark.sql.shuffle.partitions={shards}", "--conf", "spark.sql.session.timeZone=UTC"]
    if master is None:
        flags += ["--executors", "2", "--executor-cores", "1", "--executor-memory", "512M"]
    return pyrite.submit(PROGRAMS / "crash_job.py", master=master, flags=flags, environment=settings)


def printed(*texts: str) -> dict:
    """(window, user) -> count of all batches of one checkpoint; a batch printed twice must be the same both times, and
    an alert comes in one batch only."""
    by_batch: dict[int, dict] = {}
    for text in texts:
        for batch in console.batches(text):
            rows = {(int(row["start"]), row["user_id"]): int(row["crash_count"]) for row in batch.dicts()}
            assert by_batch.setdefault(batch.number, rows) == rows, f"batch {batch.number} printed differently"
    found: dict = {}
    for rows in by_batch.values():
        assert not found.keys() & rows.keys(), "an alert came in two batches"
        found |= rows
    return found


def expected(count: int = COUNT, settings: log_records.Settings = SETTINGS, at_least: int = 100) -> dict:
    answer = log_records.alerts(log_records.records(settings, count))
    assert len(answer) >= at_least, "the test's records hold alerts"
    return answer


@pytest.fixture(scope="module")
def answer() -> dict:
    return expected()


@pytest.fixture(scope="module")
def loaded(broker, tmp_path_factory):
    """A topic with the records, read by several tests."""
    broker.create_topic("road", 2)
    with Pyrite(tmp_path_factory.mktemp("load")) as programs:
        load(programs, broker, "road", SETTINGS, COUNT)
    return "road"


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_a_topic_read_to_its_end_gives_every_alert_once(pyrite, broker, loaded, answer, shards):
    program = job(pyrite, broker, loaded, shards=shards, master="local[2]")
    assert program.wait(120) == 0, program.story()
    assert printed(program.output()) == answer


def test_a_cluster_gives_the_same_alerts(pyrite, broker, loaded, answer):
    pyrite.master()
    pyrite.worker()
    pyrite.worker()
    program = job(pyrite, broker, loaded, shards=4)
    assert program.wait(120) == 0, program.story()
    assert printed(program.output()) == answer


def test_the_crash_monitor_prints_the_right_alerts_on_a_cluster(pyrite, broker, tmp_path):
    """Not a character changed but the broker's address."""
    # Few users at a calm pace: the script prints at most 20 rows of a batch, however many windows it closes.
    settings = log_records.Settings(seed=3, users=2, step_micros=1_000, jitter_millis=2_000)
    broker.create_topic("logs", 2)
    script = tmp_path / "crash_monitoring.py"
    script.write_text((PROGRAMS / "crash_monitoring.py").read_text().replace("kafka:9092", broker.bootstrap))
    pyrite.master()
    pyrite.worker(cores=8, memory="8G")
    pyrite.worker(cores=8, memory="8G")
    flags = ["--packages", "org.apache.spark:spark-sql-kafka-0-10_2.13:4.0.0", "--num-executors", "4",
             "--executor-cores", "4", "--executor-memory", "3G", "--conf", "spark.sql.shuffle.partitions=32",
             "--conf", "spark.streaming.backpressure.enabled=true", "--conf",
             "spark.sql.streaming.stateStore.providerClass=org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
             "--conf", "spark.sql.session.timeZone=UTC"]
    program = pyrite.submit(script, flags=flags)
    program.wait_for(r"^Batch: 0$", 60)
    count = 200_000
    load(pyrite, broker, "logs", settings, count, "--rps", "10000")
    want = expected(count, settings, at_least=20)
    deadline = time.monotonic() + 60
    while monitors_alerts(program.output()) != want and time.monotonic() < deadline and program.alive():
        time.sleep(0.1)
    assert monitors_alerts(program.output()) == want, program.story()
    assert program.interrupt(30) in (0, 1, 130, -signal.SIGINT), program.story()


def monitors_alerts(text: str) -> dict:
    """What the crash monitor printed: (start of the window in milliseconds, user) -> count."""
    found: dict = {}
    for batch in console.batches(text):
        for row in batch.dicts():
            start = datetime.strptime(row["window"][1:20], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
            key = (round(start.timestamp() * 1000), row["user_id"])
            assert key not in found, f"{key} was printed twice"
            found[key] = int(row["crash_count"])
    return found


def test_a_killed_run_continues_to_the_same_alerts(pyrite, broker, loaded, answer, tmp_path):
    """`kill -9` of everything in the middle, then another master, another number of shards and of executors."""
    checkpoint = tmp_path / "checkpoint"
    first = job(pyrite, broker, loaded, checkpoint, shards=2, master="local[2]", JOB_MAX_OFFSETS="2000")
    first.wait_for(r"^Batch: 5$", 60)
    first.kill()
    pyrite.master()
    pyrite.worker()
    second = job(pyrite, broker, loaded, checkpoint, shards=7, JOB_MAX_OFFSETS="2000")
    second.wait_for(r"^Batch: \d+$", 60, count=3)
    second.kill()
    third = job(pyrite, broker, loaded, checkpoint, shards=1, master="local[1]")
    assert third.wait(120) == 0, third.story()
    assert printed(first.output(), second.output(), third.output()) == answer


def test_an_executor_that_dies_in_a_batch_costs_no_row(pyrite, broker, loaded, answer, tmp_path):
    pyrite.master()
    pyrite.worker()
    pyrite.worker()
    checkpoint = tmp_path / "checkpoint"
    program = job(pyrite, broker, loaded, checkpoint, shards=4, JOB_MAX_OFFSETS="1000")
    for batch in (20, 100):
        program.wait_for(rf"^Batch: {batch}$", 60)
        executors = executors_of(tmp_path)
        assert executors, "executors run as processes of their own"
        # Stopped first, so that it dies in the middle of a batch, which waits for it, and not between two.
        os.kill(executors[0], signal.SIGSTOP)
        time.sleep(1)
        os.kill(executors[0], signal.SIGKILL)
    assert program.wait(180) == 0, program.story()
    assert printed(program.output()) == answer
    last = max(int(path.name) for path in (checkpoint / "commits").iterdir() if path.name.isdigit())
    commit = (checkpoint / "commits" / str(last)).read_text()
    assert int(re.search(r'"attempt":{"term":\d+,"epoch":(\d+)}', commit).group(1)) > last + 1, f"no batch was tried again: {commit}"


def test_a_second_driver_on_a_checkpoint_takes_over_and_the_first_says_so(pyrite, broker, topic, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    load(pyrite, broker, topic, SETTINGS, 50_000)
    first = job(pyrite, broker, topic, checkpoint, master="local[1]", JOB_TRIGGER="default", JOB_MAX_OFFSETS="10000")
    first.wait_for(r"^Batch: 2$", 60)
    second = job(pyrite, broker, topic, checkpoint, master="local[1]", JOB_TRIGGER="default", JOB_MAX_OFFSETS="10000")
    wait_for_term(checkpoint, 2)
    load(pyrite, broker, topic, log_records.Settings(**{**SETTINGS.__dict__, "seed": 8}), 20_000)
    assert first.wait(60) != 0, first.story()
    assert "query is run by" in first.errors(), first.story()
    mine = re.findall(r"^Batch: (\d+)$", first.output(), re.MULTILINE)
    wait_for_commit(checkpoint, int(mine[-1]) + 2)
    assert second.alive(), second.story()
    printed(first.output(), second.output())


def test_many_shards_all_get_their_snapshots_and_close_at_ctrl_c(pyrite, broker, topic, tmp_path):
    """One snapshot is made at a time, so each shard must get its turn, and the end must wait for the databases."""
    checkpoint, shards = tmp_path / "checkpoint", 20
    pyrite.loadgen(broker.bootstrap, topic, "--rps", "2000")
    program = job(pyrite, broker, topic, checkpoint, shards=shards, master="local[2]", JOB_TRIGGER="default")
    for shard in range(shards):
        wait_for_file(checkpoint / "state" / "snap" / "0" / str(shard))
    assert program.interrupt() == 130, program.story()


def wait_for_term(checkpoint: Path, term: int) -> None:
    """Waits until a driver has claimed the checkpoint with this term."""
    wait_for_file(checkpoint / "terms" / str(term))


def wait_for_commit(checkpoint: Path, batch: int) -> None:
    """Waits until the batch is committed."""
    wait_for_file(checkpoint / "commits" / str(batch))


def wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + 60 * PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come: {sorted(path.parent.parent.glob('*/*'))}"
        time.sleep(0.05)


def test_the_demo_shows_alerts_and_ends_by_itself(tmp_path):
    environment = os.environ | {"DEMO_SECONDS": "100", "TMPDIR": str(tmp_path)}
    done = subprocess.run([ROOT / "scripts/demo.sh"], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    alerts = re.findall(r"^    \{.*\}  (user_\d+)  (\d+)$", done.stdout, re.MULTILINE)
    assert alerts and all(int(crashes) > 2 for _, crashes in alerts), done.stdout
    assert re.search(r"^rates: [\d,]+ records/s in", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^demo: [\d,]+ records, \d+ batches, [1-9]\d* alerts printed", done.stdout, re.MULTILINE), done.stdout
    assert executors_of(tmp_path) == []
