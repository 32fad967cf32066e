"""A table of texts, the same in a terminal, as markdown, as CSV and on a report page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.report import Table


@dataclass(frozen=True)
class TextTable:
    """A title, what the columns mean, and rows of as many cells as the header has."""

    name: str
    """Of its files."""
    title: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return it as markdown."""
        lines = [f"### {self.title}", "", self.caption, "", _line(self.header), _line(["---"] * len(self.header))]
        return "\n".join([*lines, *(_line(row) for row in self.rows), ""])

    def plain(self) -> str:
        """Return it for a terminal."""
        cells = [self.header, *self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.header))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
        return "\n".join([self.title, lines[0], "-" * len(lines[0]), *lines[1:]])

    def on_page(self) -> Table:
        """Return it for a report page."""
        rows = [[cell.replace("**", "") for cell in row] for row in self.rows]
        return Table(self.title, self.caption, self.header, rows)

    def records(self) -> list[dict[str, str]]:
        """Return its rows by column, for CSV and JSON."""
        return [dict(zip(self.header, row, strict=True)) for row in self.rows]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
