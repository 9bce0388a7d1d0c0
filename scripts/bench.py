"""The benchmark: the crash monitor over the benchmark topic on Pyrite and, where it is installed, on real Spark.

    scripts/setup.sh --bench
    scripts/bench.py [--records N] [--live-seconds S] [--rounds N]      with the Python of scripts/setup.sh

Starts a real Kafka, loads the topic with `pyrite loadgen --profile benchmark`, reads it once to warm the page cache,
then runs the engines in turn and prints one table. Compare figures of one run only: machines and days differ. CPU time
is that of all the engine's processes, sampled from /proc; peak memory is the largest resident size that one of them had
(Pyrite's `submit` with `local[2]`, which is driver and executor in one, or its executor on a cluster, or Spark's JVM), and
the largest sum of all, the Python client among them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "python"))

from kafka_broker import KafkaBroker, free_ports, java, pyrite_home, tail  # noqa: E402

SAMPLE_SECONDS = 0.05
TIME_LIMIT_SECONDS = 1800
LIVE_RECORDS_PER_SECOND = 10_000
# The first batches of a live run warm up: they are left out where there are more.
LIVE_WARM_UP_BATCHES = 20
ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Run:
    """One run of the job on one engine."""

    report: dict
    cpu_seconds: float
    peak_bytes: int
    """Of all processes together."""
    engine_peak_bytes: int
    """Of the largest process."""

    def rows(self) -> int:
        return sum(each["numInputRows"] for each in self.report["progress"])

    def batch_millis(self) -> list[float]:
        """Durations of the batches that read something, without the first ones."""
        durations = [each["durationMs"].get("triggerExecution", 0) for each in self.report["progress"] if each["numInputRows"]]
        return durations[LIVE_WARM_UP_BATCHES:] or durations


def session_processes(session: int) -> dict[int, tuple[float, int]]:
    """Process id -> (CPU seconds, resident bytes) of the living processes of a session."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            found[int(entry)] = ((int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * PAGE)
    return found


def measured(command: list[str], environment: dict[str, str], folder: Path) -> tuple[float, int, int]:
    """Runs a command in a session of its own; gives its processes' CPU seconds and peaks of resident bytes: of all
    together, and of the largest one."""
    log = folder / "log"
    cpu: dict[int, float] = {}
    peak = engine_peak = 0
    with open(log, "wb") as out:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + TIME_LIMIT_SECONDS
    try:
        while process.poll() is None:
            living = session_processes(process.pid)
            for pid, (seconds, _) in living.items():
                cpu[pid] = seconds
            sizes = [resident for _, resident in living.values()]
            peak, engine_peak = max(peak, sum(sizes)), max(engine_peak, *sizes, 0)
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: not done within {TIME_LIMIT_SECONDS} s:\n{tail(log)}")
            time.sleep(SAMPLE_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
    if process.returncode != 0:
        raise SystemExit(f"bench: `{' '.join(command[:3])} ...` ended with {process.returncode}:\n{tail(log, 60)}")
    return sum(cpu.values()), peak, engine_peak


def pyrite_submit(shards: int) -> list[str]:
    return [str(ROOT / "bin" / "submit"), "--conf", f"spark.sql.shuffle.partitions={shards}",
            "--conf", f"spark.sql.streaming.stateStore.providerClass={ROCKSDB}"]


def pyrite_environment() -> dict[str, str]:
    return os.environ | {"PYSPARK_PYTHON": str(pyrite_home() / "venv/bin/python")}


def pyrite_command(shards: int) -> tuple[list[str], dict[str, str]]:
    """How the job is handed to Pyrite: driver and executor in one process."""
    return pyrite_submit(shards) + ["--master", "local[2]"], pyrite_environment()


def cluster_command(shards: int) -> tuple[list[str], dict[str, str]]:
    """The same with a master, a worker and one executor, which is the largest of the processes."""
    master, page = free_ports(2)
    words = pyrite_submit(shards) + ["--master", f"spark://127.0.0.1:{master}", "--executors", "1",
                                     "--executor-cores", "2", "--executor-memory", "1G"]
    script = f"""
        trap 'kill $(jobs -p); wait' EXIT
        '{ROOT}/bin/pyrite' master --host 127.0.0.1 --port {master} --webui-port {page} &
        '{ROOT}/bin/pyrite' worker spark://127.0.0.1:{master} --cores 2 --memory 2G --webui-port 0 --work-dir work &
        "$@"
    """
    return ["bash", "-c", script, "cluster"] + words, pyrite_environment()


def spark_command(shards: int) -> tuple[list[str], dict[str, str]]:
    """How the job is handed to real Spark: two cores, RocksDB state with changelogs."""
    jars = ",".join(str(jar) for jar in sorted((pyrite_home() / "spark-jars").glob("*.jar")))
    settings = {"spark.master": "local[2]", "spark.driver.memory": "2g", "spark.jars": jars, "spark.ui.enabled": "false",
                "spark.sql.shuffle.partitions": str(shards), "spark.sql.streaming.stateStore.providerClass": ROCKSDB,
                "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true"}
    words = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    python = str(pyrite_home() / "spark-venv/bin/python")
    environment = {key: value for key, value in os.environ.items() if key not in ("SPARK_REMOTE", "SPARK_HOME")}
    environment |= {"PYSPARK_SUBMIT_ARGS": " ".join(words + ["pyspark-shell"]), "SPARK_LOCAL_IP": "127.0.0.1",
                    "PYSPARK_PYTHON": python}
    return [python], environment


ENGINES = {"Pyrite": pyrite_command, "Pyrite cluster": cluster_command, "Spark": spark_command}


def run_job(engine: str, bootstrap: str, topic: str, shards: int, *flags: str) -> Run:
    """Runs the job once."""
    command, environment = ENGINES[engine](shards)
    with tempfile.TemporaryDirectory(prefix="pyrite-bench-") as folder:
        out = Path(folder) / "out.json"
        words = [str(ROOT / "scripts" / "bench_job.py"), "--bootstrap", bootstrap, "--topic", topic, "--out", str(out), *flags]
        cpu, peak, engine_peak = measured(command + words, environment, Path(folder))
        return Run(json.loads(out.read_text()), cpu, peak, engine_peak)


def run_live(engine: str, broker: KafkaBroker, shards: int, seconds: float) -> Run:
    """Runs the job while records come at a fixed rate."""
    topic = f"live-{engine.lower().replace(' ', '-')}-{shards}"
    broker.create_topic(topic, 2)
    load = subprocess.Popen([str(ROOT / "bin/pyrite"), "loadgen", "--broker", broker.bootstrap, "--topic", topic, "--rps",
                             str(LIVE_RECORDS_PER_SECOND), "--event-time", "millis"], stdout=subprocess.DEVNULL)
    try:
        return run_job(engine, broker.bootstrap, topic, shards, "--seconds", str(seconds))
    finally:
        load.terminate()
        load.wait(30)


def load_topic(broker: KafkaBroker, records: int) -> None:
    """Fills the benchmark topic and reads its files once."""
    subprocess.run([str(ROOT / "bin/pyrite"), "loadgen", "--broker", broker.bootstrap, "--topic", "bench", "--profile",
                    "benchmark", "--count", str(records)], check=True)
    for file in (broker.folder / "logs").rglob("*.log"):
        with open(file, "rb") as data:
            while data.read(1 << 24):
                pass


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def table(runs: dict[str, list[Run]], lives: dict[str, Run], records: int) -> str:
    """One table in Markdown: medians over the rounds."""
    lines = ["| engine | rows/s | rows per CPU-second | peak memory, MB: engine | with the client | first batch, s | live batches | "
             "live median, ms | live p95, ms | alerts |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for engine, each in runs.items():
        middle = statistics.median
        live = lives[engine].batch_millis() if engine in lives else []
        lines.append("| {} | {:,.0f} | {:,.0f} | {:,.0f} | {:,.0f} | {:.1f} | {} | {} | {} | {:,} |".format(
            f"{engine} {each[0].report['version']}" if engine == "Spark" else engine,
            middle(records / run.report["seconds"] for run in each),
            middle(records / run.cpu_seconds for run in each),
            middle(run.engine_peak_bytes / 1e6 for run in each),
            middle(run.peak_bytes / 1e6 for run in each),
            middle(run.report["first_batch_seconds"] for run in each),
            f"{len(live):,}" if live else "-",
            f"{statistics.median(live):,.0f}" if live else "-",
            f"{percentile(live, 0.95):,.0f}" if live else "-",
            sum(max(progress["output"], 0) for progress in each[0].report["progress"])))
    return "\n".join(lines)


def has_java() -> bool:
    try:
        return bool(java())
    except RuntimeError:
        return False


def machine() -> str:
    """The machine in words."""
    memory = os.sysconf("SC_PHYS_PAGES") * PAGE / 2**30
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, {platform.system()} {platform.release()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=20_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--live-seconds", type=float, default=60.0, help="0 leaves the live part out")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--engines", default="Pyrite,Pyrite cluster,Spark")
    arguments = parser.parse_args()
    engines = arguments.engines.split(",")
    if "Spark" in engines and (not (pyrite_home() / "spark-jars").exists() or not has_java()):
        print("bench: real Spark is not installed (scripts/setup.sh --bench); Pyrite alone", file=sys.stderr)
        engines.remove("Spark")
    runs: dict[str, list[Run]] = {engine: [] for engine in engines}
    lives: dict[str, Run] = {}
    with KafkaBroker() as broker:
        load_topic(broker, arguments.records)
        for number in range(arguments.rounds):
            for engine in engines:
                print(f"bench: round {number + 1}, {engine}", file=sys.stderr, flush=True)
                run = run_job(engine, broker.bootstrap, "bench", arguments.shards)
                if run.rows() != arguments.records:
                    raise SystemExit(f"bench: {engine} read {run.rows()} of {arguments.records} records")
                runs[engine].append(run)
        for engine in engines if arguments.live_seconds else []:
            print(f"bench: live, {engine}", file=sys.stderr, flush=True)
            lives[engine] = run_live(engine, broker, arguments.shards, arguments.live_seconds)
    print(f"\n{arguments.records:,} records, {arguments.shards} shards, {arguments.rounds} round(s); {machine()}\n")
    print(table(runs, lives, arguments.records))


if __name__ == "__main__":
    main()
