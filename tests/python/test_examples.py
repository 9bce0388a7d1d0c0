"""The programs of `examples/` as a newcomer runs them, against a real broker with records whose answer is known."""

from __future__ import annotations

import json
import time

import console
from processes import ROOT

EXAMPLES = ROOT / "examples"


def records(*rows: dict) -> list[str]:
    """Records as `pyrite loadgen` makes them, with what a test says of each."""
    usual = {"timestamp": "2026-01-01T12:00:05Z", "status": "OK", "severity": "Low", "source_ip": "10.0.0.1",
             "user_id": "user_0", "content": "Request ok"}
    return [json.dumps(usual | row) for row in rows]


def run(pyrite, broker, topic: str, name: str, *arguments: str):
    """Submits an example to an engine in one process."""
    return pyrite.submit(EXAMPLES / name, *arguments, master="local[2]",
                         flags=["--conf", "spark.sql.session.timeZone=UTC", "--conf", "spark.sql.shuffle.partitions=2"],
                         environment={"KAFKA_BROKER": broker.bootstrap, "KAFKA_TOPIC": topic})


def rows_of(program) -> list[dict[str, str]]:
    """All rows that a program has printed."""
    return [row for batch in console.batches(program.output()) for row in batch.dicts()]


def wait_for_rows(program, count: int, seconds: float = 60) -> list[dict[str, str]]:
    deadline = time.monotonic() + seconds
    while len(rows_of(program)) < count:
        assert program.alive() and time.monotonic() < deadline, program.story()
        time.sleep(0.05)
    return rows_of(program)


def test_every_example_is_tested():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {"crash_monitoring.py", "errors_per_minute.py", "replay_to_the_end.py", "severity_counts.py"}


def test_the_crash_monitor_tells_of_the_user_who_crashed_three_times(pyrite, broker, topic):
    program = run(pyrite, broker, topic, "crash_monitoring.py")
    program.wait_for(r"^Batch: 0$", 60)
    crash = {"content": "App Crash in x1", "severity": "High"}
    crashes = [crash | {"user_id": user} for user in ("user_1", "user_1", "user_2", "user_2", "user_1")]
    quiet = [crash | {"severity": "Low"}, {"severity": "Critical"}] * 3
    broker.send(topic, records(*crashes, *quiet), 0)
    # A crash a minute later takes the watermark past the end of the first ones' window.
    broker.send(topic, records(crash | {"user_id": "user_3", "timestamp": "2026-01-01T12:01:00Z"}), 1)
    assert wait_for_rows(program, 1) == [
        {"window": "{2026-01-01 12:00:00, 2026-01-01 12:00:10}", "user_id": "user_1", "crash_count": "3"}]
    program.interrupt()


def test_errors_per_minute_prints_the_windows_that_change_and_goes_on_after_a_restart(pyrite, broker, topic, tmp_path):
    checkpoint = str(tmp_path / "checkpoint")
    program = run(pyrite, broker, topic, "errors_per_minute.py", checkpoint)
    program.wait_for(r"^Batch: 0$", 60)
    broker.send(topic, records({"status": "OK"}, {"status": "ERROR"}, {"status": "WARN"}, {"status": "FAILED"}))

    def windows(requests: int, failed: int) -> list[dict[str, str]]:
        """The six windows that 12:00:05 is in."""
        starts = [f"2026-01-01 11:59:{second}" for second in range(10, 60, 10)] + ["2026-01-01 12:00:00"]
        return [{"start": start, "end": start.replace("12:00", "12:01").replace("11:59", "12:00"),
                 "requests": str(requests), "failed": str(failed), "share": str(failed / requests)} for start in starts]

    assert sorted(wait_for_rows(program, 6), key=lambda row: row["start"]) == windows(4, 2)
    program.interrupt()
    broker.send(topic, records({"status": "FAILED"}), 1)
    again = run(pyrite, broker, topic, "errors_per_minute.py", checkpoint)
    assert sorted(wait_for_rows(again, 6), key=lambda row: row["start"]) == windows(5, 3)
    again.interrupt()


def test_replay_to_the_end_ends_and_next_time_prints_only_what_is_new(pyrite, broker, topic, tmp_path):
    crash = {"content": "Out of memory CRASH", "severity": "Critical"}
    seven = [crash | {"user_id": f"user_{n}"} for n in range(7)]
    broker.send(topic, records(*seven, crash | {"severity": "High"}, {}), 1)
    checkpoint = str(tmp_path / "checkpoint")
    first = run(pyrite, broker, topic, "replay_to_the_end.py", checkpoint)
    assert first.wait(60) == 0, first.story()
    [batch] = console.batches(first.output())
    assert batch.dicts() == [{"user_id": f"user_{n}", "content": "Out of memory CRASH", "severity": "Critical",
                              "partition": "1", "offset": str(n)} for n in range(5)]
    assert batch.footer == "only showing top 5 rows"
    broker.send(topic, records(crash | {"user_id": "user_new"}), 1)
    second = run(pyrite, broker, topic, "replay_to_the_end.py", checkpoint)
    assert second.wait(60) == 0, second.story()
    [batch] = console.batches(second.output())
    assert [(row["user_id"], row["offset"]) for row in batch.dicts()] == [("user_new", "9")] and batch.number == 1


def test_severity_counts_prints_the_whole_table_most_first(pyrite, broker, topic):
    severities = ["Low"] * 4 + ["High"] * 2 + ["Critical"] * 3
    broker.send(topic, records(*[{"severity": severity} for severity in severities]), 0)
    program = run(pyrite, broker, topic, "severity_counts.py")
    first = wait_for_rows(program, 3)
    assert [(row["severity"], row["count"]) for row in first] == [("Low", "4"), ("Critical", "3"), ("High", "2")]
    broker.send(topic, records(*[{"severity": "High"}] * 5), 1)
    both = wait_for_rows(program, 6)
    assert [(row["severity"], row["count"]) for row in both[3:]] == [("High", "7"), ("Low", "4"), ("Critical", "3")]
    program.interrupt()
