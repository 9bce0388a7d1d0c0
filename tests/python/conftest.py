"""Fixtures of the process tests: one real Kafka for all of them, a fresh topic and a fresh folder for each."""

import sys
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kafka_broker import KafkaBroker  # noqa: E402
from processes import Pyrite  # noqa: E402


@pytest.fixture(scope="session")
def broker():
    """A real single-node Kafka."""
    with KafkaBroker() as running:
        yield running


@pytest.fixture
def topic(broker) -> str:
    """The name of a new topic with two partitions."""
    name = f"logs-{uuid.uuid4().hex[:8]}"
    broker.create_topic(name, 2)
    return name


@pytest.fixture
def pyrite(tmp_path):
    """Starts Pyrite's programs in the test's folder and ends them after it."""
    with Pyrite(tmp_path) as programs:
        yield programs
