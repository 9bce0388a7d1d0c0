"""The oracle as tests: one per case, all run in one engine. `pytest tests/oracle` after `scripts/setup.sh --test`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cases import all_cases  # noqa: E402
from compare import load_gaps, load_goldens  # noqa: E402
from run_oracle import check, run_cases  # noqa: E402

NAMES = [case.name for case in all_cases()]


@pytest.fixture(scope="session")
def results() -> dict:
    """What Pyrite answered, for every case."""
    return run_cases(NAMES)


def test_every_golden_and_gap_is_of_a_case() -> None:
    assert set(load_goldens()) == set(NAMES)
    assert set(load_gaps()) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_gives_sparks_answer(name: str, results: dict) -> None:
    wrong = check([name], results)
    if name in wrong:
        pytest.fail("\n".join(wrong[name]), pytrace=False)
    if name in load_gaps():
        pytest.xfail(load_gaps()[name])
