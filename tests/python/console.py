"""Reads what the console sink printed: batches with their columns and rows, as text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

RULE = "-" * 43
BATCH = re.compile(r"^Batch: (\d+)$")
BORDER = re.compile(r"^\+[-+]*\+$")


@dataclass
class Batch:
    """One printed batch. Cells are stripped of their padding; an empty batch has columns and no rows."""

    number: int
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    footer: str = ""

    def dicts(self) -> list[dict[str, str]]:
        """The rows as dictionaries by column."""
        return [dict(zip(self.columns, row)) for row in self.rows]


def batches(text: str) -> list[Batch]:
    """All batches in the output, in its order; other lines between them are passed over. A batch whose table is cut
    off at the end of the text is left out."""
    return split_batches(text)[0]


def split_batches(text: str) -> tuple[list[Batch], str]:
    """The whole batches, and the text after the last of them: where it grows, ask again with that and what is new."""
    found: list[Batch] = []
    lines = text.splitlines(keepends=True)
    plain = [line.rstrip("\n") for line in lines]
    index = after = 0
    while index < len(plain):
        match = BATCH.match(plain[index])
        if not match or index == 0 or plain[index - 1] != RULE:
            index += 1
            continue
        batch = Batch(int(match.group(1)))
        index, whole = read_table(plain, index + 2, batch)
        if whole:
            found.append(batch)
            after = index
    return found, "".join(lines[after:])


def read_table(lines: list[str], index: int, batch: Batch) -> tuple[int, bool]:
    """Fills the batch from the table at `index`; gives the index after it and whether the table was whole."""
    borders = 0
    widths: list[tuple[int, int]] = []
    while index < len(lines) and borders < 3:
        line = lines[index]
        if BORDER.match(line):
            borders += 1
            marks = [place for place, letter in enumerate(line) if letter == "+"]
            widths = [(start + 1, end) for start, end in zip(marks, marks[1:])]
        elif borders == 1:
            batch.columns = cells(line, widths)
        elif borders == 2:
            batch.rows.append(cells(line, widths))
        else:
            return index, False
        index += 1
    if index < len(lines) and lines[index].startswith("only showing top"):
        batch.footer = lines[index]
        index += 1
    return index, borders == 3


def cells(line: str, widths: list[tuple[int, int]]) -> list[str]:
    """The cells of a line by the border's columns; letters of double width are told by the bars."""
    by_bars = line[1:-1].split("|")
    if len(by_bars) == len(widths):
        return [cell.strip() for cell in by_bars]
    return [line[start:end].strip() for start, end in widths]
