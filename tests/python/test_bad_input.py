"""What goes wrong outside of Pyrite: said once and clearly, with what to do; nothing lost, nothing hangs, no trace of ours.

Real processes, real Kafka, the real PySpark client. Where a test starts a broker of its own, it is because the broker's
absence is the test.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from contextlib import contextmanager
from pathlib import Path

import console
from kafka_broker import KafkaBroker, free_ports
from processes import BIN
from small_programs import no_trace_of_ours, rows, run, start, write

COUNT_BY_KEY = '''
from pyspark.sql.functions import col, count
counts = (
    stream(subscribe=os.environ["TOPIC"], startingOffsets="earliest")
    .groupBy(col("value").cast("string").alias("word")).agg(count("*").alias("n"))
)
query = (
    counts.writeStream.outputMode("complete").format("console").option("numRows", 100000).option("truncate", False)
    .option("checkpointLocation", os.environ["CHECKPOINT"]).trigger(availableNow=True).start()
)
query.awaitTermination()
'''


def command(*words, **environment) -> subprocess.CompletedProcess:
    """Runs one of Pyrite's programs that ends by itself."""
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60,
                          env=os.environ | environment)


def eventually(true, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, inspect.getsource(true)
        time.sleep(0.05)


def last_counts(text: str) -> dict[str, int]:
    """The last batch that `COUNT_BY_KEY` printed."""
    return {row["word"]: int(row["n"]) for row in console.batches(text)[-1].dicts()}


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, without the claims of drivers, which every start adds to."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if "terms" not in path.parts}


def test_a_wrong_command_line_is_refused_before_anything_starts(tmp_path):
    script = write(tmp_path, "")
    submit = BIN / "submit"
    refusals = [
        ([submit, "--executor-core", "4", script], "flag `--executor-core` is unknown; did you mean `--executor-cores`?"),
        ([submit, "--conf", "spark.pyrite.batch.durationMx=1s", script],
         "setting `spark.pyrite.batch.durationMx` is unknown; did you mean `spark.pyrite.batch.durationMax`?"),
        ([submit, "--supervise", script], "`--supervise` is not supported yet"),
        ([submit, "--master", "local[0]", script], "`local[0]`"),
        ([submit, tmp_path / "no.py"], f"script `{tmp_path}/no.py` is not there"),
        ([BIN / "pyrite", "master", "--conf", "spark.pyrite.x=1"], "setting `spark.pyrite.x` is unknown"),
    ]
    for words, said in refusals:
        done = command(*words)
        assert done.returncode == 1 and done.stdout == "", (words, done)
        assert said in done.stderr and len(done.stderr.splitlines()) == 1, (words, done.stderr)


def test_without_a_python_that_has_the_client_one_command_is_named(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f"#!/bin/sh\nexec {sys.executable} -S -E \"$@\"\n")
    bare.chmod(0o755)
    nowhere = {"VIRTUAL_ENV": "", "PYRITE_HOME": str(tmp_path / "nothing")}
    words = [BIN / "submit", "--master", "local[1]", write(tmp_path, "")]
    done = command(*words, PYSPARK_PYTHON="", **nowhere)
    assert done.returncode == 1 and "run `make setup`" in done.stderr, done
    # One that is named is not passed over in silence.
    done = command(*words, PYSPARK_PYTHON=str(bare), **nowhere)
    assert done.returncode == 1, done
    assert f"PYSPARK_PYTHON is `{bare}`" in done.stderr and "no package pyspark" in done.stderr, done.stderr
    assert "pip install pyspark-client" in done.stderr, done.stderr


def test_errors_of_the_program_are_the_programs(pyrite):
    failing = start(pyrite, "print('before')\nraise ValueError('boom')\n", name="failing")
    leaving = start(pyrite, "sys.exit(3)\n", name="leaving")
    assert failing.wait(60) == 1, failing.story()
    assert "before" in failing.output() and "Traceback" in failing.errors(), failing.story()
    assert failing.errors().rstrip().splitlines()[-1] == "ValueError: boom", failing.story()
    assert leaving.wait(60) == 3, leaving.story()
    for process in (failing, leaving):
        no_trace_of_ours(process)


def test_what_spark_refuses_is_refused_with_its_errors(pyrite, broker, topic):
    program = '''
def refused(name, work):
    try:
        work()
    except Exception as error:
        print("REFUSED", name, type(error).__name__, error.getCondition() or "-", " ".join(str(error).split()), flush=True)

def read(**options):
    return stream(subscribe=os.environ["TOPIC"], **options)

def run(frame, sink="console", mode="append", **options):
    query = frame.writeStream.format(sink).outputMode(mode).options(**options).start()
    query.stop()

refused("source", lambda: spark.readStream.format("kafak").load().schema)
refused("sink", lambda: run(read(), "consol"))
refused("column", lambda: read().select("valu").schema)
refused("sort", lambda: run(read().orderBy("offset")))
refused("mode", lambda: run(read().groupBy("key").count()))
refused("both", lambda: run(stream(subscribe="a", assign="{}")))
refused("none", lambda: run(stream()))
refused("start", lambda: run(read(startingOffsets="earlist")))
refused("end", lambda: run(read(endingOffsets="latest")))
refused("number", lambda: run(read(maxOffsetsPerTrigger="0")))
refused("reset", lambda: run(read(**{"kafka.auto.offset.reset": "latest"})))
refused("option", lambda: run(read(startingOffset="latest")))
refused("checkpoint", lambda: run(read(), chekpointLocation="/nowhere"))
run(read(anything="goes", **{"kafka.max.poll.recrods": "1"}), anything="goes")
print("DONE")
'''
    process = run(pyrite, program, broker.bootstrap, TOPIC=topic)
    refusals = dict(re.findall(r"^REFUSED (\w+) (.*)$", process.output(), re.MULTILINE))
    wanted = {
        "source": ("AnalysisException", "did you mean `kafka`"),
        "sink": ("AnalysisException", "did you mean `console`"),
        "column": ("AnalysisException UNRESOLVED_COLUMN.WITH_SUGGESTION", "`value`"),
        "sort": ("AnalysisException", "Sorting is not supported on streaming DataFrames"),
        "mode": ("AnalysisException", "append"),
        "both": ("IllegalArgumentException", "Only one of"),
        "none": ("IllegalArgumentException", "One of the following options must be specified"),
        "start": ("IllegalArgumentException", "did you mean `earliest`"),
        "end": ("IllegalArgumentException", "ending offset not valid in streaming queries"),
        "number": ("IllegalArgumentException", "maxOffsetsPerTrigger"),
        "option": ("IllegalArgumentException", "did you mean `startingOffsets`"),
        "checkpoint": ("IllegalArgumentException", "did you mean `checkpointLocation`"),
        "reset": ("IllegalArgumentException", "auto.offset.reset"),
    }
    assert refusals.keys() == wanted.keys(), process.story()
    for name, (kind, words) in wanted.items():
        assert refusals[name].startswith(kind) and words.lower() in refusals[name].lower(), refusals[name]
    assert "DONE" in process.output()
    # What Spark ignores is ignored; what looks like a slip of the client's options is said, as Kafka's client does.
    assert "`kafka.max.poll.recrods` is ignored; did you mean `max.poll.records`?" in process.errors()
    assert "anything" not in process.errors(), process.story()


def test_a_missing_topic_fails_the_query_with_its_name(pyrite, broker):
    process = run(pyrite, 'show(stream(subscribe="no-such-topic"))', broker.bootstrap, code=1)
    said = "topic `no-such-topic` does not exist"
    assert said in process.errors() and "UNKNOWN_TOPIC_OR_PARTITION" in process.errors(), process.story()


def test_malformed_json_gives_nulls_and_the_query_lives(pyrite, broker, topic):
    values = ['{"a":1,"b":"x"}', "{", "", "null", "[1]", '{"a":"text"}', b"\xff\xfe", None, '{"a":2}', '{"a":1}}']
    broker.send(topic, values)
    program = '''
data = from_json(col("value").cast("string"), "a INT, b STRING")
frame = stream(subscribe=os.environ["TOPIC"], startingOffsets="earliest")
show(frame.select("offset", data.alias("d")).select("offset", "d.*"))
'''
    process = run(pyrite, program, broker.bootstrap, TOPIC=topic)
    found = {row["offset"]: (row["a"], row["b"]) for row in rows(process)[0]}
    null = (None, None)
    assert found == {0: (1, "x"), 1: null, 2: null, 3: null, 4: null, 5: null, 6: null, 7: null, 8: (2, None), 9: (1, None)}


def test_a_broker_that_is_away_is_named_and_waited_for(pyrite, tmp_path):
    with KafkaBroker() as own:
        own.create_topic("late")
        own.send("late", ["a", "b", "a"])
        own.stop()
        program = """
query = stream(subscribe="late", startingOffsets="earliest").writeStream.format("console").start()
query.awaitTermination()
"""
        waiting = start(pyrite, program, own.bootstrap, name="waiting")
        stopped = start(pyrite, program, own.bootstrap, name="stopped")
        for process in (waiting, stopped):
            process.wait_for(rf"no Kafka broker answers at `{own.bootstrap}`.*trying again", 30)
        assert stopped.interrupt() in (1, 130), stopped.story()
        own.start()
        waiting.wait_for(r"^Batch: 0$", 60)
        waiting.wait_for("the Kafka brokers answer again", 10)
        # Away again, in the middle of the query.
        own.stop()
        waiting.wait_for(rf"no Kafka broker answers at `{own.bootstrap}`.*trying again", 30, count=2)
        own.start()
        own.send("late", ["c"])
        waiting.wait_for(r"^Batch: 1$", 60)
        assert waiting.interrupt() in (1, 130), waiting.story()
        batches = console.batches(waiting.output())
        assert [len(batch.rows) for batch in batches if batch.rows] == [3, 1], waiting.story()
        no_trace_of_ours(waiting)


def test_another_querys_checkpoint_is_refused_and_left_as_it_is(pyrite, broker, topic, tmp_path):
    other = f"{topic}-other"
    broker.create_topic(other)
    broker.send(topic, ["a", "b", "a"])
    checkpoint = tmp_path / "checkpoint"
    own = {"TOPIC": topic, "CHECKPOINT": str(checkpoint)}
    first = run(pyrite, COUNT_BY_KEY, broker.bootstrap, **own)
    assert last_counts(first.output()) == {"a": 2, "b": 1}
    before = files(checkpoint)
    one = 'stream(subscribe=os.environ["TOPIC"], startingOffsets="earliest")'
    keys = 'alias("word")'
    counts = re.search(r"^counts = .*?^\)", COUNT_BY_KEY, re.MULTILINE | re.DOTALL).group(0)
    assert one in COUNT_BY_KEY and keys in COUNT_BY_KEY
    wrong = {
        "other-topic": (COUNT_BY_KEY, other, (f"`{topic}`", f"Subscribe[{other}]")),
        "other-keys": (COUNT_BY_KEY.replace(keys, keys + ', "partition"'), topic, ("other stateful operators",)),
        "no-keys": (COUNT_BY_KEY.replace(counts, "counts = " + one).replace("complete", "append"), topic,
                    ("other stateful operators",)),
    }
    broken = [(start(pyrite, body, broker.bootstrap, name=name, **(own | {"TOPIC": read})), words)
              for name, (body, read, words) in wrong.items()]
    for process, words in broken:
        assert process.wait(60) == 1, process.story()
        said = [line for line in process.errors().splitlines() if "checkpoint" in line and "query failed" in line]
        assert said and all(word in said[0] for word in words), process.story()
        assert "checkpointLocation" in said[0], said[0]
        no_trace_of_ours(process)
    assert files(checkpoint) == before
    broker.send(topic, ["b", "c"])
    again = run(pyrite, COUNT_BY_KEY, broker.bootstrap, name="again", **own)
    assert last_counts(again.output()) == {"a": 2, "b": 2, "c": 1}


def master_json(pyrite) -> dict:
    # Not by way of a proxy that the environment names.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://127.0.0.1:{pyrite.web_port}/json/", timeout=10) as answer:
        return json.load(answer)


def test_an_executor_bigger_than_any_worker_waits_and_says_so(pyrite, broker, topic):
    broker.send(topic, ["a"])
    master = pyrite.master()
    pyrite.worker(cores=2, memory="1G")
    flags = ["--executors", "1", "--executor-cores", "4", "--executor-memory", "1536M", "--name", "big one"]
    program = 'show(stream(subscribe=os.environ["TOPIC"], startingOffsets="earliest").select("offset"))'
    submitted = start(pyrite, program, broker.bootstrap, master=None, flags=flags, TOPIC=topic)
    said = r"1 executor x 4 cores x 1.5 GiB; bigger than any worker, the largest has 2 cores, 1 GiB"
    submitted.wait_for("waiting for " + said, 30)
    master.wait_for(said, 10)
    applications = master_json(pyrite)["activeapps"]
    assert [(one["name"], one["state"]) for one in applications] == [("big one", "WAITING")], applications
    assert re.search(said, applications[0]["waiting"]), applications
    pyrite.worker(cores=4, memory="2G")
    assert submitted.wait(60) == 0, submitted.story()
    assert rows(submitted) == [[{"offset": 0}]]
    no_trace_of_ours(submitted)


def test_a_wrong_secret_is_refused_on_both_sides(pyrite, tmp_path):
    secret, wrong = ["--conf", "spark.authenticate.secret=right"], ["--conf", "spark.authenticate.secret=wrong"]
    pyrite.master(*secret)
    script = write(tmp_path, "print('never')\n")
    for flags in (wrong, []):
        worker = pyrite.worker(1, "512M", *flags)
        submitted = pyrite.submit(script, flags=flags)
        for process in (worker, submitted):
            assert process.wait(30) == 1, process.story()
            errors = [line for line in process.errors().splitlines() if "error:" in line]
            assert len(errors) == 1 and "secret" in errors[0], process.story()
            no_trace_of_ours(process)
        assert "never" not in submitted.output()
    worker = pyrite.worker(1, "512M", *secret)
    worker.wait_for("registered with master", 20)


def test_a_master_that_others_can_reach_wants_a_secret(pyrite):
    port, web_port = free_ports(2)
    words = [BIN / "pyrite", "master", "--host", "0.0.0.0", "--port", port, "--webui-port", web_port]
    done = command(*words)
    assert done.returncode == 1 and "spark.authenticate.secret" in done.stderr and "--insecure" in done.stderr, done
    master = pyrite.start("master", [*words, "--insecure"])
    master.wait_for(rf"spark://.*:{port}", 20)
    assert master.alive(), master.story()


def test_flags_that_apply_do(pyrite, tmp_path):
    """Files, modules, archives, a file of settings, and the names that the program and the flag give."""
    (tmp_path / "notes.txt").write_text("read me")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "one.py").write_text("value = 1\n")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("two.py", "value = 2\n")
    settings = tmp_path / "settings.conf"
    settings.write_text("spark.jars.packages a:b:1\nspark.sql.shuffle.partitions 7\nspark.x.of.file yes\n")
    body = '''
import threading
from pyspark import SparkFiles
import one, two
print("FOUND", open(SparkFiles.get("notes.txt")).read(), one.value + two.value, sys.argv[1:],
      spark.conf.get("spark.sql.shuffle.partitions"), spark.conf.get("spark.x.of.file"), spark.conf.get("spark.app.name"))
if len(sys.argv) > 1:
    SparkSession.builder.appName("named by itself").getOrCreate()
    print("NAMED", flush=True)
    threading.Event().wait()
'''
    flags = ["--files", tmp_path / "notes.txt", "--py-files", f"{tmp_path}/modules/one.py,{tmp_path}/two.zip",
             "--properties-file", settings, "--conf", "spark.sql.shuffle.partitions=3", "--name", "named by flag"]
    pyrite.master()
    script = write(tmp_path, body)
    program = pyrite.submit(script, "--like", "this", flags=flags)
    program.wait_for("^NAMED$", 60)
    assert "FOUND read me 3 ['--like', 'this'] 3 yes named by flag" in program.output(), program.story()
    assert "accepted without effect: spark.jars.packages (the Kafka connector is built in)" in program.errors()
    eventually(lambda: [one["name"] for one in master_json(pyrite)["activeapps"]] == ["named by itself"], 10)
    program.interrupt()


def test_what_a_killed_submit_leaves_is_removed_by_the_next(pyrite, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    killed = start(pyrite, "print('up')\nimport time\ntime.sleep(600)\n", name="killed", TMPDIR=str(temporary))
    killed.wait_for("^up$", 30)
    (left,) = temporary.glob("pyrite-*-*")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(10)
    running = start(pyrite, "print('up')\nimport time\ntime.sleep(600)\n", name="running", TMPDIR=str(temporary))
    running.wait_for("^up$", 30)
    assert left not in temporary.iterdir()
    run(pyrite, "pass", name="third", TMPDIR=str(temporary))
    assert len(list(temporary.glob("pyrite-*-*"))) == 1, "the directory of a run that goes on stays"
    running.interrupt()
    assert list(temporary.glob("pyrite-*-*")) == []


def test_a_terminal_that_closes_stops_the_program_in_order(pyrite, broker, topic, tmp_path):
    broker.send(topic, ["a"])
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    body = '''
query = stream(subscribe=os.environ["TOPIC"], startingOffsets="earliest").select("offset").writeStream.format("console").start()
query.awaitTermination()
'''
    # Under `nohup` it would be ignored, as it should; a handler of ours is none in the process that we start.
    before = signal.signal(signal.SIGHUP, lambda *_: None)
    process = start(pyrite, body, broker.bootstrap, TOPIC=topic, TMPDIR=str(temporary))
    signal.signal(signal.SIGHUP, before)
    process.wait_for("^Batch: 0$", 60)
    process.popen.send_signal(signal.SIGHUP)
    assert process.wait(30) == 128 + signal.SIGHUP, process.story()
    assert list(temporary.iterdir()) == [], "neither its files nor its checkpoint stay"
    no_trace_of_ours(process)


@contextmanager
def small_disk(folder: Path, megabytes: int):
    """Makes `folder` a small file system where the system lets us, else has files of the commands that follow the words it
    gives stay small."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
        try:
            yield []
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    else:
        # A signal that is ignored stays so in children: a write beyond the limit is an error for them, not their end.
        yield ["bash", "-c", f"trap '' XFSZ; ulimit -f {megabytes * 512}; exec \"$@\"", "small"]


def fails_for_want_of_room(pyrite, body: str, broker: str, small: Path, flags: list, environment: dict):
    """Runs the program on a worker whose work directory has hardly any room. It must fail and say what to do."""
    pyrite.master()
    with small_disk(small, 3) as limited:
        worker = pyrite.start("worker", [*limited, BIN / "pyrite", "worker", pyrite.master_url, "--cores", 1, "--memory", "1G",
                                         "--webui-port", free_ports(1)[0], "--work-dir", small / "work"])
        failed = start(pyrite, body, broker, master=None, flags=flags, name="failed", **environment)
        assert failed.wait(180) == 1, failed.story()
        said = [line for line in failed.errors().splitlines() if "query failed" in line]
        assert said and str(small) in said[0] and "cannot be written" in said[0] and "--work-dir" in said[0], failed.story()
        no_trace_of_ours(failed)
        worker.interrupt()
    return failed


def test_a_full_work_disk_fails_the_batch_and_costs_nothing(pyrite, broker, topic, tmp_path):
    keys = [hashlib.md5(str(index).encode()).hexdigest() for index in range(100_000)]
    for _ in range(2):
        broker.send(topic, keys)
    body = '''
counts = (
    stream(subscribe=os.environ["TOPIC"], startingOffsets="earliest", maxOffsetsPerTrigger="5000")
    .groupBy(col("value").cast("string").alias("word")).agg(count("*").alias("n"))
    .filter(expr("word LIKE '00%'"))
)
counts.writeStream.outputMode("update").format("console").option("numRows", 100000).option("truncate", False) \\
    .option("checkpointLocation", os.environ["CHECKPOINT"]).trigger(availableNow=True).start().awaitTermination()
'''
    checkpoint, small = tmp_path / "checkpoint", tmp_path / "small"
    small.mkdir()
    environment = {"TOPIC": topic, "CHECKPOINT": str(checkpoint)}
    flags = ["--executors", "1", "--executor-memory", "512M", "--conf", "spark.sql.shuffle.partitions=1"]
    failed = fails_for_want_of_room(pyrite, body, broker.bootstrap, small, flags, environment)
    planned = max(int(path.name) for path in (checkpoint / "offsets").iterdir() if path.name.isdigit())
    committed = max(int(path.name) for path in (checkpoint / "commits").iterdir() if path.name.isdigit())
    assert committed == planned - 1, "the batch failed before its commit"
    pyrite.worker(1, "1G")
    again = run(pyrite, body, broker.bootstrap, seconds=180, name="again", master=None, flags=flags, **environment)
    last = {row["word"]: int(row["n"]) for text in (failed.output(), again.output()) for batch in console.batches(text)
            for row in batch.dicts()}
    assert last == {key: 2 for key in keys if key.startswith("00")}


def test_a_full_work_disk_fails_the_restore_too(pyrite, broker, topic, tmp_path):
    keys = [hashlib.md5(str(index).encode()).hexdigest() for index in range(300_000)]
    for first in range(0, len(keys), 50_000):
        broker.send(topic, keys[first:first + 50_000])
    body = '''
counts = (
    stream(subscribe=os.environ["TOPIC"], startingOffsets="earliest")
    .groupBy(col("value").cast("string").alias("word")).agg(count("*").alias("n"))
    .filter(expr("word LIKE '000%'"))
)
counts.writeStream.outputMode("update").format("console").option("numRows", 100000).option("truncate", False) \\
    .option("checkpointLocation", os.environ["CHECKPOINT"]).trigger(availableNow=True).start().awaitTermination()
'''
    small = tmp_path / "small"
    small.mkdir()
    environment = {"TOPIC": topic, "CHECKPOINT": str(tmp_path / "checkpoint")}
    flags = ["--executors", "1", "--executor-memory", "512M", "--conf", "spark.sql.shuffle.partitions=1"]
    run(pyrite, body, broker.bootstrap, seconds=180, name="first", master="local[1]", flags=flags[4:], **environment)
    broker.send(topic, keys[:50_000])
    fails_for_want_of_room(pyrite, body, broker.bootstrap, small, flags, environment)
    pyrite.worker(1, "1G")
    again = run(pyrite, body, broker.bootstrap, seconds=180, name="again", master=None, flags=flags, **environment)
    last = {row["word"]: int(row["n"]) for batch in console.batches(again.output()) for row in batch.dicts()}
    assert last == {key: 2 for key in keys[:50_000] if key.startswith("000")}
