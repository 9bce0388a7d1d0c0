"""A real single-node Apache Kafka (KRaft) for tests and benchmarks: started on free ports, ended by its process id.

As a context manager:

    with KafkaBroker() as broker:
        broker.create_topic("logs", partitions=2)
        ... broker.bootstrap ...

Or from a shell, which prints the address and runs until it is interrupted:

    python kafka_broker.py [--port N] [--topic logs:2]

The jars come from `scripts/setup.sh --test`. Topics are made with `retention.ms=-1`: a broker deletes records with
old timestamps within minutes otherwise. Topics and records need `confluent-kafka`, starting and stopping do not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEAP = "1g"
START_TIMEOUT_SECONDS = 240
STOP_TIMEOUT_SECONDS = 20
# The longest that a broker lets a transaction stay open; its default of a minute is less than a slow test takes.
TRANSACTION_MILLIS = 900_000


def pyrite_home() -> Path:
    """The folder of downloads that `scripts/setup.sh` fills."""
    if os.environ.get("PYRITE_HOME"):
        return Path(os.environ["PYRITE_HOME"])
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "pyrite"


def java() -> str:
    """The `java` of JAVA_HOME, else of PATH."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").exists():
        return str(Path(home) / "bin" / "java")
    found = shutil.which("java")
    if found is None:
        raise RuntimeError("java is missing; run scripts/setup.sh --test")
    return found


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_for_port(port: int, process: subprocess.Popen, log: Path, seconds: float) -> None:
    """Returns when something accepts on `port`; raises with the log's end if the process ends or time runs out."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"process ended with {process.returncode}:\n{tail(log)}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing listens on port {port} after {seconds} s:\n{tail(log)}")


def tail(log: Path, lines: int = 30) -> str:
    """The last lines of a log file, for error messages."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


class KafkaBroker:
    """One Kafka node with its own temporary folder. `port` keeps its value over `stop` and `start`. `listeners`
    are more than the plain one, addresses by the name of their protocol; lines of `extra` go to its properties."""

    def __init__(self, port: int | None = None, folder: Path | None = None, listeners: dict[str, str] | None = None,
                 extra: list[str] | None = None):
        ports = free_ports(2)
        self.port = port or ports[0]
        self.controller_port = ports[1]
        self.listeners = listeners or {}
        self.extra = extra or []
        self._own_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="pyrite-kafka-"))
        self.log = self.folder / "server.log"
        self.process: subprocess.Popen | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "KafkaBroker":
        return self.start()

    def __exit__(self, *_exc) -> None:
        self.close()

    def start(self) -> "KafkaBroker":
        """Formats the log folder on the first start, then starts the node and waits until it answers."""
        jars = pyrite_home() / "kafka"
        if not any(jars.glob("kafka_2.13-*.jar")):
            raise RuntimeError(f"no Kafka in {jars}; run scripts/setup.sh --test")
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        command = [java(), f"-Xmx{HEAP}", "-XX:TieredStopAtLevel=4", "-XX:+UseSerialGC", "-cp", f"{jars}/*",
                   "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        if not properties.exists():
            properties.write_text(self._properties())
            # Any 16 bytes in URL-safe base 64 name a cluster; this spares a Java start for `random-uuid`.
            format_command = ["kafka.tools.StorageTool", "format", "-t", "cHlyaXRldGVzdGNsdXN0ZQ", "-c", str(properties)]
            done = subprocess.run(command + format_command, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"kafka format failed:\n{done.stdout}{done.stderr}")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command + ["kafka.Kafka", str(properties)], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=self.folder, start_new_session=True)
        try:
            wait_for_port(self.port, self.process, self.log, START_TIMEOUT_SECONDS)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Ends the node in order; its records stay for the next `start`."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the node as a crash would."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Ends the node and removes its folder."""
        self.kill()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def create_topic(self, name: str, partitions: int = 1, **config: str) -> None:
        """Creates a topic that keeps its records whatever their timestamps; waits until the node knows it."""
        from confluent_kafka.admin import AdminClient, NewTopic

        settings = {"retention.ms": "-1"} | {key.replace("_", "."): value for key, value in config.items()}
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_topics([NewTopic(name, partitions, 1, config=settings)]).values():
            future.result(30)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            topic = admin.list_topics(name, timeout=10).topics.get(name)
            if topic and topic.error is None and len(topic.partitions) == partitions:
                return
            time.sleep(0.05)
        raise RuntimeError(f"topic {name} did not appear")

    def send(self, topic: str, values: list, partition: int = 0, keys: list | None = None,
             timestamps: list[int] | None = None) -> None:
        """Sends values (str, bytes or None) in order to one partition and waits until all are stored."""
        from confluent_kafka import Producer

        def stored(error, _message) -> None:
            if error is not None:
                lost.append(error)

        lost: list = []
        # Long enough for what is sent at once to be stored as one batch; `flush` does not wait it out.
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 1000})
        for index, value in enumerate(values):
            extra = {} if timestamps is None else {"timestamp": timestamps[index]}
            producer.produce(topic, value=value, key=None if keys is None else keys[index], partition=partition,
                             on_delivery=stored, **extra)
            producer.poll(0)
        left = producer.flush(60)
        if left or lost:
            raise RuntimeError(f"{left + len(lost)} records were not stored in {topic}: {lost[:3]}")

    def _properties(self) -> str:
        more = "".join(f",{protocol}://{address}" for protocol, address in self.listeners.items())
        return "\n".join([
            "process.roles=broker,controller",
            "node.id=1",
            f"controller.quorum.voters=1@127.0.0.1:{self.controller_port}",
            f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}{more}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}{more}",
            "controller.listener.names=CONTROLLER",
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"
            + "".join(f",{protocol}:{protocol}" for protocol in self.listeners),
            f"log.dirs={self.folder / 'logs'}",
            "offsets.topic.replication.factor=1",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
            "share.coordinator.state.topic.replication.factor=1",
            "share.coordinator.state.topic.min.isr=1",
            "offsets.topic.num.partitions=1",
            "transaction.state.log.num.partitions=1",
            "group.initial.rebalance.delay.ms=0",
            "auto.create.topics.enable=false",
            "log.segment.bytes=1073741824",
            *self.extra,
            "",
        ])

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs a real single-node Kafka until interrupted.")
    parser.add_argument("--port", type=int, help="the port that clients connect to (a free one)")
    parser.add_argument("--folder", type=Path, help="where its records are kept (a temporary folder)")
    parser.add_argument("--topic", action="append", default=[], metavar="NAME[:PARTITIONS]", help="a topic to create")
    arguments = parser.parse_args()

    def interrupted(*_args):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    try:
        with KafkaBroker(arguments.port, arguments.folder) as broker:
            for topic in arguments.topic:
                name, _, partitions = topic.partition(":")
                broker.create_topic(name, int(partitions or 1))
            print(broker.bootstrap, flush=True)
            while broker.process.poll() is None:
                time.sleep(0.2)
            sys.exit(f"kafka ended with {broker.process.returncode}:\n{tail(broker.log)}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
