"""Lists for people and spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable


def csv_bytes(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> bytes:
    """Return rows as the bytes of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
