"""Runs oracle cases on the SparkSession that it is given, and writes their results as JSON.

A PySpark program: `make_oracle.py` starts it on real Spark, `run_oracle.py` through `bin/submit`. What the console sink
prints goes to standard output between section marks, and the caller puts it into the results (`harness.with_console`).
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

# Collected timestamps come as local times of the Python process.
os.environ["TZ"] = "UTC"
time.tzset()

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pyspark.sql import SparkSession  # noqa: E402

from cases import all_cases  # noqa: E402
from harness import Context, run_case  # noqa: E402


def kafka_functions(bootstrap: str):
    """Functions that create a topic and send values to one of its partitions, with one client for all cases."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})
    # Long enough for all records of a step to go out as one batch, which a reader sees whole or not at all.
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1000})

    def create_topic(name: str, partitions: int) -> None:
        for future in admin.create_topics([NewTopic(name, partitions, 1, config={"retention.ms": "-1"})]).values():
            future.result(30)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            topic = admin.list_topics(name, timeout=10).topics.get(name)
            if topic and topic.error is None and len(topic.partitions) == partitions:
                return
            time.sleep(0.02)
        raise RuntimeError(f"topic {name} did not appear")

    def send(topic: str, values: list, partition: int) -> None:
        for index, value in enumerate(values):
            producer.produce(topic, value=value, partition=partition, timestamp=1_600_000_000_000 + index)
        if producer.flush(60):
            raise RuntimeError(f"records were not stored in {topic}")

    return create_topic, send


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True, help="the file to write the results to")
    parser.add_argument("--bootstrap", help="the Kafka broker; without one streaming cases are left out")
    parser.add_argument("--names", help="a file with the names of the cases to run, one a line")
    arguments = parser.parse_args()

    names = set(Path(arguments.names).read_text().split()) if arguments.names else None
    cases = [case for case in all_cases() if names is None or case.name in names]
    spark = SparkSession.builder.appName("oracle").getOrCreate()
    create_topic = send = None
    if arguments.bootstrap:
        create_topic, send = kafka_functions(arguments.bootstrap)
    context = Context(spark, arguments.bootstrap, create_topic, send)
    results = {"version": spark.version, "results": {}}
    for case in cases:
        if case.needs_kafka and not arguments.bootstrap:
            continue
        started = time.monotonic()
        results["results"][case.name] = run_case(case, context)
        print(f"{case.name} {time.monotonic() - started:.2f} s", file=sys.stderr, flush=True)
        # Written after each case: a crash of the engine then loses only the case that caused it.
        Path(arguments.out).write_text(json.dumps(results))
    spark.stop()


if __name__ == "__main__":
    main()
