"""Starts and ends Pyrite's processes for tests: a master, workers, submitted programs, a load generator.

Each process writes to a log file and is ended by its process id with its whole group, so that nothing outlives a test.
Waiting is for something that is printed or answered, with a deadline; the log's end is in the error.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kafka_broker import free_ports, pyrite_home, tail, wait_for_port  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
# Where the programs under test lie; another build than the repository's own may be tested.
BIN = Path(os.environ.get("PYRITE_BIN") or ROOT / "bin")
START_SECONDS = 30
STOP_SECONDS = 20
# Deadlines are those of a quiet machine and only end what hangs: on a busy one all takes a few times as long.
PATIENCE = 3


class Process:
    """One running program and its output (standard output and error in one file each)."""

    def __init__(self, name: str, command: list[str], folder: Path, environment: dict[str, str] | None = None):
        self.name = name
        self.out = folder / f"{name}.out"
        self.err = folder / f"{name}.err"
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            self.popen = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=folder,
                                          env=os.environ | (environment or {}), start_new_session=True)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def output(self) -> str:
        """All of its standard output so far."""
        return self.out.read_text(errors="replace")

    def errors(self) -> str:
        """All of its standard error so far."""
        return self.err.read_text(errors="replace")

    def alive(self) -> bool:
        return self.popen.poll() is None

    def wait_for(self, pattern: str, seconds: float, count: int = 1) -> str:
        """Waits until standard output or error matches `count` times; gives the standard output."""
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            ended = not self.alive()
            text = self.output() + self.errors()
            if len(re.findall(pattern, text, re.MULTILINE)) >= count:
                return self.output()
            if ended:
                raise AssertionError(f"{self.name} ended with {self.popen.returncode} before `{pattern}` came:\n{self.story()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: no `{pattern}` within {seconds * PATIENCE} s:\n{self.story()}")
            time.sleep(0.05)

    def wait(self, seconds: float) -> int:
        """Waits for its end; gives the exit code."""
        try:
            return self.popen.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds * PATIENCE} s:\n{self.story()}") from None

    def interrupt(self, seconds: float = STOP_SECONDS) -> int:
        """Ctrl-C to the process alone; gives the exit code."""
        if self.alive():
            self.popen.send_signal(signal.SIGINT)
        return self.wait(seconds)

    def kill(self) -> None:
        """`kill -9` of the process and of all that it started in its group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()

    def story(self) -> str:
        """The ends of its outputs."""
        return f"--- {self.name} output\n{tail(self.out)}\n--- {self.name} errors\n{tail(self.err)}"


class Pyrite:
    """Starts Pyrite's programs in a folder and ends all of them at the end of a `with`."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.processes: list[Process] = []
        self.master_url = ""
        self.web_port = 0

    def __enter__(self) -> "Pyrite":
        return self

    def __exit__(self, *_exc) -> None:
        for process in reversed(self.processes):
            process.kill()

    def start(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Process:
        """Starts any program; a repeated name gets a number."""
        same = sum(1 for process in self.processes if process.name.split("-")[0] == name)
        process = Process(f"{name}-{same}" if same else name, [str(word) for word in command], self.folder, environment)
        self.processes.append(process)
        return process

    def master(self, *flags: str) -> Process:
        """A master on free ports; `master_url` and `web_port` are set once it listens."""
        port, self.web_port = free_ports(2)
        self.master_url = f"spark://127.0.0.1:{port}"
        process = self.start("master", [BIN / "pyrite", "master", "--host", "127.0.0.1", "--port", port,
                                        "--webui-port", self.web_port, *flags])
        wait_for_port(port, process.popen, process.err, START_SECONDS)
        return process

    def worker(self, cores: int = 2, memory: str = "2G", *flags: str) -> Process:
        """A worker of the master."""
        work = self.folder / f"work-{len(self.processes)}"
        return self.start("worker", [BIN / "pyrite", "worker", self.master_url, "--cores", cores, "--memory", memory,
                                     "--webui-port", free_ports(1)[0], "--work-dir", work, *flags])

    def submit(self, script: Path, *arguments: str, master: str | None = None, flags: list[str] | None = None,
               environment: dict[str, str] | None = None) -> Process:
        """Submits a program to the master, or to `master` such as `local[2]`."""
        command = [BIN / "submit", "--master", master or self.master_url, *(flags or []), script, *arguments]
        settings = {"PYSPARK_PYTHON": str(pyrite_home() / "venv/bin/python")} | (environment or {})
        return self.start("submit", command, settings)

    def loadgen(self, broker: str, topic: str, *flags: str) -> Process:
        """A load generator."""
        return self.start("loadgen", [BIN / "pyrite", "loadgen", "--broker", broker, "--topic", topic, *flags])


def executors_of(folder: Path) -> list[int]:
    """Process ids of the executors whose work directories lie under `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            where = os.readlink(entry / "cwd")
        except OSError:
            continue
        if len(words) > 1 and words[1] == b"executor" and where.startswith(str(folder)):
            found.append(int(entry.name))
    return sorted(found)
