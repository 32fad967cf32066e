"""Lists for people."""

import csv
import io

from jobs.lists import csv_bytes


def test_what_is_written_is_read_again():
    rows = [("a,b", 1, ""), ('say "so"', 2.5, "x\ny")]
    text = csv_bytes(("path", "size", "reason"), rows).decode()
    assert text.startswith("path,size,reason\n")
    assert list(csv.reader(io.StringIO(text)))[1:] == [[str(value) for value in row] for row in rows]
