"""The records of `pyrite loadgen` in Python, and what a job must make of them: for tests that know the answer.

The same functions of seed and number as `cli/src/loadgen/record.rs`; change both together.

    python log_records.py --count 5 [--event-time millis] ...     prints records as `pyrite loadgen --print` does
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Iterable, Iterator

MASK = (1 << 64) - 1
CONTENTS = [("OK", "Request ok for x"), ("WARN", "Slow answer from x"), ("ERROR", "Timeout calling x"),
            ("FAILED", "App Crash in x")]
SEVERITIES = ["Low", "Medium", "High", "Critical"]
EXTRAS = 0x5BF03635D1B46A2F


@dataclass(frozen=True)
class Settings:
    """What the records hold: the flags of `pyrite loadgen --clock steps` of the same names."""

    seed: int = 1
    users: int = 10_000
    event_time: str = "iso"
    start_millis: int = 1_770_000_000_000
    step_micros: int = 100
    jitter_millis: int = 0
    late_share: float = 0.0
    late_millis: int = 120_000
    additional_term: str = ""
    additional_term_rate: float = 100.0


def draw(seed: int, index: int) -> int:
    """The index-th 64 random bits of a seed."""
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def record(settings: Settings, number: int) -> dict:
    """Record `number` as a dictionary in the order of its fields; `timestamp` as text or number."""
    a = draw(settings.seed, 2 * number)
    b = draw(settings.seed, 2 * number + 1)
    c = draw(settings.seed ^ EXTRAS, number)
    late = (c >> 32) < int(settings.late_share * 2**32)
    term = settings.additional_term and (c & 0xFFFFFFFF) < int(settings.additional_term_rate / 100.0 * 2**32)
    jitter = ((b & 0xFFFFF) * (settings.jitter_millis + 1)) >> 20
    millis = settings.start_millis + number * settings.step_micros // 1_000 - jitter \
        - (settings.late_millis if late else 0)
    status, content = CONTENTS[a & 3]
    return {
        "timestamp": iso(millis) if settings.event_time == "iso" else millis,
        "status": status,
        "severity": SEVERITIES[(a >> 2) & 3],
        "source_ip": f"10.{b >> 56}.{(b >> 48) & 255}.{(b >> 40) & 255}",
        "user_id": f"user_{((a >> 32) * settings.users) >> 32}",
        "content": f"{content}{(((a >> 4) & 0xFFFF) * 1_000) >> 16}" + (f" {settings.additional_term}" if term else ""),
    }


def records(settings: Settings, count: int, first: int = 0) -> Iterator[dict]:
    """The records `first` to `first + count`."""
    return (record(settings, number) for number in range(first, first + count))


def text(one: dict) -> str:
    """A record as `pyrite loadgen` writes it."""
    return json.dumps(one, ensure_ascii=False)


def iso(millis: int) -> str:
    moment = datetime.fromtimestamp(millis // 1000, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{millis % 1000:03d}Z"


def millis_of(one: dict) -> int:
    """A record's event time in milliseconds since 1970."""
    if isinstance(one["timestamp"], int):
        return one["timestamp"]
    moment = datetime.strptime(one["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return round(moment.timestamp() * 1000)


def is_crash(one: dict) -> bool:
    """The filter of the crash monitor."""
    return "crash" in one["content"].lower() and one["severity"] in ("High", "Critical")


def crash_counts(all_records: Iterable[dict], window_millis: int = 10_000) -> Counter:
    """(start of the window in milliseconds, user) -> crashes, of records none of which comes too late."""
    counts: Counter = Counter()
    for one in all_records:
        if is_crash(one):
            millis = millis_of(one)
            counts[(millis - millis % window_millis, one["user_id"])] += 1
    return counts


def alerts(all_records: Iterable[dict], more_than: int = 2, window_millis: int = 10_000,
           delay_millis: int = 30_000) -> dict:
    """(start of the window, user) -> count, as the crash monitor prints them in append mode once all is read: only
    windows that the last watermark closes, and only counts over the threshold."""
    kept = [one for one in all_records if is_crash(one)]
    if not kept:
        return {}
    watermark = max(millis_of(one) for one in kept) - delay_millis
    return {key: count for key, count in crash_counts(kept, window_millis).items()
            if count > more_than and key[0] + window_millis <= watermark}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10)
    for name, default in Settings().__dict__.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    arguments = vars(parser.parse_args())
    count = arguments.pop("count")
    for one in records(Settings(**arguments), count):
        print(text(one))


if __name__ == "__main__":
    main()
