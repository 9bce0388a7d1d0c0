"""Runs the oracle's cases on real Apache Spark and writes what it answered to `golden/<family>.json`.

    scripts/setup.sh --oracle
    tests/oracle/make_oracle.py [family ...]                    makes the goldens
    tests/oracle/make_oracle.py --check-connect [family ...]    asks Spark again, through Spark Connect, and compares

Needs Java; runs with the Python of `scripts/setup.sh --test`. The goldens name the version that made them; change a
case and make its family again. They are made with Spark's own session; what its Connect server answers otherwise is in
`through_connect`, and counts as right too: the client that Pyrite's users have can see no more than that.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "python"))

from cases import families  # noqa: E402
from compare import differences  # noqa: E402
from harness import with_console  # noqa: E402
from kafka_broker import KafkaBroker, pyrite_home  # noqa: E402

TIME_LIMIT_SECONDS = 3600


def spark_settings(scratch: Path) -> list[str]:
    """The settings under which Spark answers: two cores, RocksDB state with changelogs, no UI."""
    jars = ",".join(str(jar) for jar in sorted((pyrite_home() / "spark-jars").glob("*.jar")))
    if not jars:
        raise SystemExit("make_oracle: real Spark is missing; run scripts/setup.sh --oracle")
    return [
        "spark.master=local[2]",
        "spark.driver.memory=2g",
        f"spark.jars={jars}",
        "spark.ui.enabled=false",
        f"spark.sql.warehouse.dir={scratch / 'warehouse'}",
        "spark.sql.shuffle.partitions=2",
        "spark.sql.streaming.stateStore.providerClass="
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
        "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled=true",
    ]


def run_on_spark(names: list[str], bootstrap: str | None, scratch: Path, connect: bool) -> dict:
    """Runs the named cases on real Spark and gives their results with the console's text in them."""
    (scratch / "names").write_text("\n".join(names))
    python = pyrite_home() / "spark-venv" / "bin" / "python"
    settings = [word for setting in spark_settings(scratch) for word in ("--conf", setting)]
    environment = {key: value for key, value in os.environ.items() if key not in ("SPARK_REMOTE", "SPARK_HOME")}
    environment |= {"PYSPARK_SUBMIT_ARGS": " ".join(settings + ["pyspark-shell"]), "SPARK_LOCAL_IP": "127.0.0.1",
                    "PYSPARK_PYTHON": str(python), "TZ": "UTC"}
    if connect:
        # Without a master of its own: the client starts the server that it then speaks to.
        environment |= {"SPARK_REMOTE": "local[2]", "SPARK_CONF_DIR": str(scratch / "conf")}
        (scratch / "conf").mkdir()
        defaults = [setting.replace("=", " ", 1) for setting in spark_settings(scratch) if "spark.master" not in setting]
        (scratch / "conf" / "spark-defaults.conf").write_text("\n".join(defaults) + "\n")
        environment.pop("PYSPARK_SUBMIT_ARGS")
    command = [str(python), str(HERE / "runner.py"), "--out", str(scratch / "out.json"),
               "--names", str(scratch / "names")]
    if bootstrap:
        command += ["--bootstrap", bootstrap]
    with open(scratch / "stdout", "w") as stdout, open(scratch / "stderr", "w") as stderr:
        done = subprocess.run(command, env=environment, cwd=scratch, stdout=stdout, stderr=stderr,
                              timeout=TIME_LIMIT_SECONDS)
    if done.returncode != 0:
        raise SystemExit(f"make_oracle: Spark ended with {done.returncode}:\n{(scratch / 'stderr').read_text()[-4000:]}")
    answer = json.loads((scratch / "out.json").read_text())
    slow = [name for name, result in answer["results"].items() if result.get("error", {}).get("type") == "TimeoutError"]
    if slow:
        raise SystemExit(f"make_oracle: these cases were not done in time, so nothing is written: {slow}")
    answer["results"] = with_console(answer["results"], (scratch / "stdout").read_text())
    return answer


def refuse_today(family: str, results: dict) -> None:
    """A golden that tells the day on which it was made, as no case of its family does, is wrong from the next day on."""
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    dated = [name for name, result in results.items() if today in json.dumps(result)]
    if dated and today not in (HERE / "cases" / f"{family}.py").read_text():
        raise SystemExit(f"make_oracle: the answers of {dated} depend on today's date ({today}); cut it out in the case")


def write_golden(family: str, version: str, results: dict) -> Path:
    """One case a line, so that a change of one case is a change of one line."""
    refuse_today(family, results)
    lines = [f"  {json.dumps(name)}: {json.dumps(result, ensure_ascii=False)}" for name, result in results.items()]
    path = HERE / "golden" / f"{family}.json"
    path.write_text(f'{{"made_by": "Apache Spark {version}", "cases": {{\n' + ",\n".join(lines) + "\n}}\n")
    return path


def check_connect(chosen: dict, answer: dict) -> None:
    """Compares what Spark says through Connect with the goldens; differing results are kept in the goldens."""
    for family, cases in chosen.items():
        golden = json.loads((HERE / "golden" / f"{family}.json").read_text())
        for case in cases:
            entry = golden["cases"][case.name]
            entry.pop("through_connect", None)
            through = answer["results"][case.name]
            lines = differences(entry, through, case.ordered)
            if lines:
                entry["through_connect"] = through
                print(f"{case.name}\n    " + "\n    ".join("\n".join(lines).splitlines()))
        write_golden(family, golden["made_by"].removeprefix("Apache Spark "), golden["cases"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help="the families to make (all)")
    parser.add_argument("--check-connect", action="store_true", help="compare with what Spark says through Connect")
    arguments = parser.parse_args()
    known = families()
    unknown = set(arguments.families) - set(known)
    if unknown:
        raise SystemExit(f"make_oracle: no such family: {sorted(unknown)}; there are {sorted(known)}")
    chosen = {name: cases for name, cases in known.items() if not arguments.families or name in arguments.families}
    names = [case.name for cases in chosen.values() for case in cases]
    streaming = any(case.needs_kafka for cases in chosen.values() for case in cases)
    with tempfile.TemporaryDirectory(prefix="pyrite-oracle-") as folder:
        scratch = Path(folder)
        if streaming:
            with KafkaBroker() as broker:
                answer = run_on_spark(names, broker.bootstrap, scratch, arguments.check_connect)
        else:
            answer = run_on_spark(names, None, scratch, arguments.check_connect)
    if arguments.check_connect:
        check_connect(chosen, answer)
        return
    for family, cases in chosen.items():
        results = {case.name: answer["results"][case.name] for case in cases}
        print(f"{write_golden(family, answer['version'], results)}: {len(results)} cases")


if __name__ == "__main__":
    main()
