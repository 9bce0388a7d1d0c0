"""Runs the oracle's cases on Pyrite through `bin/submit` and compares with what real Spark answered.

    scripts/setup.sh --test
    tests/oracle/run_oracle.py [--family NAME] [--case NAME] [--verbose]

Ends with 1 when a case differs that `gaps.txt` does not name, or when a case named there passes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "python"))

from cases import all_cases  # noqa: E402
from compare import differences, load_gaps, load_goldens  # noqa: E402
from harness import with_console  # noqa: E402
from kafka_broker import KafkaBroker, pyrite_home  # noqa: E402

# Where the programs under test lie; another build than the repository's own may be tested.
BIN = Path(os.environ.get("PYRITE_BIN") or ROOT / "bin")
TIME_LIMIT_SECONDS = 1800
# An engine that ends in the middle of the cases is started again for the rest this often.
RESTARTS_MAX = 10


def submit_command(master: str) -> list[str]:
    """How a program is handed to Pyrite; the settings are those that the goldens were made with."""
    return [str(BIN / "submit"), "--master", master, "--conf", "spark.sql.shuffle.partitions=2", "--conf",
            "spark.sql.streaming.stateStore.providerClass="
            "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"]


def run_on_pyrite(names: list[str], bootstrap: str | None, scratch: Path, master: str = "local[2]") -> dict:
    """Runs the named cases; case name -> result. A case that ends the engine is left out of the answer."""
    results: dict[str, dict] = {}
    left = list(names)
    for attempt in range(RESTARTS_MAX + 1):
        if not left:
            break
        answer = run_once(left, bootstrap, scratch, master, attempt)
        results |= answer
        # The case after the last answered one is the one that the engine died of.
        left = [name for name in left if name not in answer][1:]
    return results


def run_once(names: list[str], bootstrap: str | None, scratch: Path, master: str, attempt: int) -> dict:
    (scratch / "names").write_text("\n".join(names))
    out = scratch / f"out-{attempt}.json"
    command = submit_command(master) + [str(HERE / "runner.py"), "--out", str(out), "--names", str(scratch / "names")]
    if bootstrap:
        command += ["--bootstrap", bootstrap]
    environment = os.environ | {"TZ": "UTC"}
    environment.setdefault("PYSPARK_PYTHON", str(pyrite_home() / "venv" / "bin" / "python"))
    with open(scratch / f"stdout-{attempt}", "w") as stdout, open(scratch / f"stderr-{attempt}", "w") as stderr:
        try:
            subprocess.run(command, env=environment, cwd=scratch, stdout=stdout, stderr=stderr,
                           stdin=subprocess.DEVNULL, timeout=TIME_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"run_oracle: not done after {TIME_LIMIT_SECONDS} s", file=sys.stderr)
    if not out.exists():
        text = (scratch / f"stderr-{attempt}").read_text()
        print(f"run_oracle: no case ran; the end of submit's standard error:\n{text[-4000:]}", file=sys.stderr)
        return {}
    return with_console(json.loads(out.read_text())["results"], (scratch / f"stdout-{attempt}").read_text())


def check(names: list[str], results: dict) -> dict[str, list[str]]:
    """Case name -> what is wrong, for the cases where something is."""
    goldens, gaps = load_goldens(), load_gaps()
    ordered = {case.name: case.ordered for case in all_cases()}
    wrong: dict[str, list[str]] = {}
    for name in names:
        if name not in goldens:
            wrong[name] = ["there is no golden for it; run make_oracle.py"]
            continue
        lines = differences(goldens[name], results.get(name), ordered[name])
        if lines and name not in gaps:
            wrong[name] = lines
        elif not lines and name in gaps:
            wrong[name] = [f"passes now, but gaps.txt names it ({gaps[name]})"]
    return wrong


def run_cases(names: list[str], master: str = "local[2]") -> dict:
    """Runs the named cases with a broker of their own where they need one."""
    streaming = {case.name for case in all_cases() if case.needs_kafka}
    with tempfile.TemporaryDirectory(prefix="pyrite-oracle-") as folder:
        if streaming & set(names):
            with KafkaBroker() as broker:
                return run_on_pyrite(names, broker.bootstrap, Path(folder), master)
        return run_on_pyrite(names, None, Path(folder), master)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", action="append", default=[], help="only this family")
    parser.add_argument("--case", action="append", default=[], help="only this case")
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--verbose", action="store_true", help="also list the cases that pass")
    arguments = parser.parse_args()
    names = [case.name for case in all_cases()
             if (not arguments.family and not arguments.case) or case.family in arguments.family or case.name in arguments.case]
    if not names:
        raise SystemExit("run_oracle: no such case")
    wrong = check(names, run_cases(names, arguments.master))
    for name in names:
        if name in wrong:
            print(f"FAILED {name}\n    " + "\n    ".join("\n".join(wrong[name]).splitlines()))
        elif arguments.verbose:
            print(f"ok     {name}")
    gaps = len(set(load_gaps()) & set(names))
    print(f"{len(names) - len(wrong) - gaps} passed, {len(wrong)} failed, {gaps} known gaps")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
