"""Runs the demo that `make demo` starts, and shows its alerts with the rates beneath.

Starts the in-memory broker, a master, two workers and a load generator on free ports, submits
`examples/crash_monitoring.py`, and passes on the tables of the batches that hold alerts; the many empty ones are only
counted. Ends after DEMO_SECONDS, with Ctrl-C, or with an error when a part ends by itself; whichever way, everything
that it started is ended. The last line sums up: a demo of more than a minute without an alert has failed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "python"))

from console import Batch, split_batches  # noqa: E402
from kafka_broker import free_ports, pyrite_home, wait_for_port  # noqa: E402
from processes import Process, Pyrite  # noqa: E402

TOPIC = "logs"
PARTITIONS = 4
# A window of 10 seconds closes 30 seconds after its end: before that there is nothing to show.
FIRST_ALERT_SECONDS = 75
RATES_EVERY_SECONDS = 1.0
RATES_EVERY_SECONDS_IN_A_FILE = 10.0
START_SECONDS = 60
ROWS_SHOWN_MAX = 8
LOAD_RATE = re.compile(r"^loadgen: (\d+) records/s, (\d+) stored", re.MULTILINE)


class Tail:
    """Reads what was appended to a file since the last look."""

    def __init__(self, path: Path):
        self.path = path
        self.at = 0

    def more(self) -> str:
        with open(self.path, "rb") as file:
            file.seek(self.at)
            data = file.read()
            # A line that is still being written is left for the next look.
            data = data[:data.rfind(b"\n") + 1]
            self.at += len(data)
        return data.decode(errors="replace")


class Screen:
    """Prints lines for good, and one line of rates that is written over on a terminal."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self.every = RATES_EVERY_SECONDS if self.terminal else RATES_EVERY_SECONDS_IN_A_FILE

    def line(self, text: str) -> None:
        sys.stdout.write(("\r\x1b[K" if self.terminal else "") + text + "\n")
        sys.stdout.flush()

    def rates(self, text: str) -> None:
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write("\r\x1b[K" + text[:width])
        else:
            sys.stdout.write(text + "\n")
        sys.stdout.flush()


class Monitor:
    """Follows the submitted program's console and the load generator's reports."""

    def __init__(self, submit: Process, load: Process, screen: Screen):
        self.console = Tail(submit.out)
        self.load = Tail(load.out)
        self.screen = screen
        self.text = ""
        self.batches = 0
        self.alerts = 0
        self.alerting_batches = 0
        self.stored = 0
        self.rate = 0
        self.last = (time.monotonic(), 0)

    def look(self) -> None:
        """Takes in what is new, and shows the batches with alerts."""
        found, self.text = split_batches(self.text + self.console.more())
        for batch in found:
            self.batches += 1
            if batch.rows:
                self.show(batch)
        for match in LOAD_RATE.finditer(self.load.more()):
            self.rate, self.stored = int(match.group(1)), int(match.group(2))

    def show(self, batch: Batch) -> None:
        self.alerts += len(batch.rows)
        self.alerting_batches += 1
        more = len(batch.rows) - ROWS_SHOWN_MAX
        self.screen.line(f"batch {batch.number}: users with more than two crashes within 10 seconds")
        for row in batch.rows[:ROWS_SHOWN_MAX]:
            self.screen.line("    " + "  ".join(row))
        if more > 0 or batch.footer:
            self.screen.line(f"    ... {max(more, 0)} more printed{', and more than that' if batch.footer else ''}")

    def rates(self, seconds: float, pyrite: Pyrite) -> str:
        """The line of rates."""
        now = time.monotonic()
        since, (self.last, before) = now - self.last[0], ((now, self.batches), self.last[1])
        cores, megabytes = usage(pyrite)
        return (f"rates: {self.rate:,} records/s in, {(self.batches - before) / max(since, 1e-3):.1f} batches/s, "
                f"{self.alerts} alerts; Pyrite: {megabytes:,.0f} MB, {cores:.2f} cores since its start; {seconds:.0f} s")


def usage(pyrite: Pyrite) -> tuple[float, float]:
    """Mean cores used and resident megabytes of Pyrite's own processes (not of broker, load and Python)."""
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    ours = {process.pid for process in pyrite.processes if process.name.split("-")[0] in ("master", "worker", "submit")}
    seen: dict[int, tuple[int, str, list[str]]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, _, rest = (entry / "stat").read_text().rpartition(")")
            except OSError:
                continue
            seen[int(entry.name)] = (int(rest.split()[1]), name, rest.split())
    cores = resident = 0.0
    for pid, (_, name, fields) in seen.items():
        above = pid
        while above not in ours and above in seen:
            above = seen[above][0]
        if above in ours and "python" not in name:
            lived = max(uptime - int(fields[19]) / ticks, 1e-3)
            cores += (int(fields[11]) + int(fields[12])) / ticks / lived
            resident += int(fields[21]) * page / 1e6
    return cores, resident


def start_all(pyrite: Pyrite, screen: Screen) -> tuple[Process, Process]:
    """Starts broker, cluster, load and program; gives the submitted program and the load generator."""
    port = free_ports(1)[0]
    target = Path(os.environ.get("CARGO_TARGET_DIR") or pyrite_home() / "target")
    broker = pyrite.start("broker", [target / "debug" / "pyrite-demo-broker", "--listen", f"127.0.0.1:{port}",
                                     "--topic", f"{TOPIC}:{PARTITIONS}"])
    wait_for_port(port, broker.popen, broker.err, START_SECONDS)
    address = f"127.0.0.1:{port}"
    screen.line(f"demo: broker at {address}, topic `{TOPIC}` with {PARTITIONS} partitions")
    pyrite.master()
    pyrite.worker(2, "2G")
    pyrite.worker(2, "2G")
    screen.line(f"demo: master at {pyrite.master_url} with two workers, http://127.0.0.1:{pyrite.web_port}")
    rate = os.environ.get("DEMO_RPS", "10000")
    load = pyrite.loadgen(address, TOPIC, "--rps", rate)
    screen.line(f"demo: {rate} log records a second; the first alerts come after about 45 s")
    submit = pyrite.submit(ROOT / "examples" / "crash_monitoring.py", environment={"KAFKA_BROKER": address, "KAFKA_TOPIC": TOPIC},
                           flags=["--executors", "2", "--executor-cores", "1", "--executor-memory", "1G",
                                  "--conf", "spark.sql.shuffle.partitions=4"])
    return submit, load


def follow(pyrite: Pyrite, monitor: Monitor, screen: Screen, seconds: float) -> str | None:
    """Shows what comes until the time is over; gives what went wrong."""
    started = time.monotonic()
    next_rates = started + screen.every
    while (elapsed := time.monotonic() - started) < seconds:
        for process in pyrite.processes:
            if not process.alive():
                return f"{process.name} ended with {process.popen.returncode}\n{process.story()}"
        monitor.look()
        if time.monotonic() >= next_rates:
            next_rates += screen.every
            screen.rates(monitor.rates(elapsed, pyrite))
        time.sleep(0.1)
    monitor.look()
    if monitor.alerts == 0 and seconds >= FIRST_ALERT_SECONDS:
        stories = "\n".join(process.story() for process in pyrite.processes)
        return f"no alert came within {seconds:.0f} s\n{stories}"
    return None


def interrupted(*_args) -> None:
    raise KeyboardInterrupt


def main() -> int:
    seconds = float(os.environ.get("DEMO_SECONDS", "600"))
    signal.signal(signal.SIGTERM, interrupted)
    screen = Screen()
    wrong = None
    monitor = None
    with tempfile.TemporaryDirectory(prefix="pyrite-demo-") as folder, Pyrite(Path(folder)) as pyrite:
        try:
            submit, load = start_all(pyrite, screen)
            monitor = Monitor(submit, load, screen)
            wrong = follow(pyrite, monitor, screen, seconds)
            submit.interrupt()
        except KeyboardInterrupt:
            screen.line("demo: stopping")
        except (AssertionError, RuntimeError, OSError) as error:
            wrong = str(error)
        if monitor:
            screen.line(f"demo: {monitor.stored:,} records, {monitor.batches} batches, {monitor.alerts} alerts printed in "
                        f"{monitor.alerting_batches} of them")
    if wrong:
        print(f"demo: error: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
