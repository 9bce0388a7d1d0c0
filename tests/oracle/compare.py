"""Compares Pyrite's results of the oracle's cases with the goldens, and says what differs in readable lines."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BORDER = re.compile(r"^\+[-+]*\+$")


@functools.cache
def load_goldens() -> dict[str, dict]:
    """Case name -> what real Spark answered."""
    found: dict[str, dict] = {}
    for path in sorted((HERE / "golden").glob("*.json")):
        found |= json.loads(path.read_text())["cases"]
    return found


@functools.cache
def load_gaps() -> dict[str, str]:
    """Case name -> why Pyrite does not give Spark's answer yet (`gaps.txt`: a name, then the reason)."""
    path = HERE / "gaps.txt"
    gaps = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.strip().partition(" ")
            gaps[name] = reason.strip() or "no reason given"
    return gaps


def differences(golden: dict, actual: dict | None, ordered: bool) -> list[str]:
    """What differs, one line each; none when the two mean the same. What Spark's own Connect server answers otherwise
    than its plain session is as right."""
    if actual is None:
        return ["the case did not run"]
    through_connect = golden.get("through_connect")
    if through_connect is not None and not differences(through_connect, actual, ordered):
        return []
    if "error" in golden or "error" in actual:
        return error_differences(golden, actual)
    lines = []
    for key in ("schema", "columns", "value", "printed", "steps"):
        if golden.get(key) != actual.get(key):
            lines += [f"{key}: Spark  {shorten(golden.get(key))}", f"{key}: Pyrite {shorten(actual.get(key))}"]
    lines += row_differences("rows", golden.get("rows"), actual.get("rows"), ordered)
    for index, (expected, found) in enumerate(pairs(golden.get("tables"), actual.get("tables"))):
        lines += row_differences(f"step {index}", expected, found, ordered)
    for index, (expected, found) in enumerate(pairs(golden.get("console"), actual.get("console"))):
        if normal_console(expected or "", ordered) != normal_console(found or "", ordered):
            lines += [f"console of step {index}: Spark:", expected or "(nothing)", "Pyrite:", found or "(nothing)"]
    return lines


def error_differences(golden: dict, actual: dict) -> list[str]:
    """Errors are the same when they name the same class. Where Spark's class has no public name, any error will do but
    one that says that Pyrite cannot do it, or has a defect."""
    if "error" not in golden:
        return [f"Spark gave a result, Pyrite an error: {actual['error']}"]
    expected = golden["error"]
    if "error" not in actual:
        return [f"Spark gave an error, Pyrite a result: {expected}"]
    names = {expected["class"], *expected.get("named", [])} - {None}
    found = {actual["error"]["class"], *actual["error"].get("named", [])} - {None}
    internal = all(name.startswith("_LEGACY") or name == "STREAM_FAILED" for name in names)
    if names & found or internal and not ours(actual["error"]):
        return []
    return [f"error: Spark  {expected}", f"error: Pyrite {actual['error']}"]


def ours(error: dict) -> bool:
    """Whether the error is of Pyrite or the harness, not of the case."""
    classes = {error["class"] or "", *error.get("named", [])}
    return error["type"] in ("TimeoutError", "RuntimeError") or any(
        name.startswith(("UNSUPPORTED_FEATURE", "INTERNAL_ERROR")) for name in classes)


def row_differences(what: str, golden: list | None, actual: list | None, ordered: bool) -> list[str]:
    golden, actual = golden or [], actual or []
    if not ordered:
        golden, actual = sorted(golden, key=json.dumps), sorted(actual, key=json.dumps)
    if golden == actual:
        return []
    lines = [f"{what}: Spark has {len(golden)}, Pyrite {len(actual)}"]
    for index, (expected, found) in enumerate(pairs(golden, actual)):
        if expected != found:
            lines += [f"{what} {index}: Spark  {shorten(expected)}", f"{what} {index}: Pyrite {shorten(found)}"]
    return lines


def pairs(left: list | None, right: list | None) -> list[tuple]:
    left, right = left or [], right or []
    length = max(len(left), len(right))
    return list(zip(left + [None] * (length - len(left)), right + [None] * (length - len(right))))


def normal_console(text: str, ordered: bool) -> list[str]:
    """The console's lines; rows inside a table are sorted when their order is the engine's own."""
    lines = text.rstrip("\n").split("\n")
    if ordered:
        return lines
    normal: list[str] = []
    rows: list[str] = []
    borders = 0
    for line in lines:
        if BORDER.match(line):
            borders += 1
            normal += sorted(rows) + [line]
            rows = []
            if borders == 3:
                borders = 0
        elif borders == 2:
            rows.append(line)
        else:
            normal.append(line)
    return normal + sorted(rows)


def shorten(value: Any, limit: int = 400) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return text if len(text) <= limit else text[:limit] + "..."
