"""Audit: whose labels are unlike the labels of what looks the same? Windows ranked for a second look.

python -m jobs.audit RUN.yaml
sandan audit map.yaml --top 100 --neighbours 15
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.config import RunConfig
from jobs.parsing import load
from jobs.run_embeddings import read_run
from jobs.shell import DONE
from jobs.use_files import answered, number, parser_of, write_summary, write_table
from jobs.window_labels import read_window_labels
from models.label_audit import audit

EXAMPLES = """  sandan audit map.yaml
  sandan audit map.yaml --top 100 --neighbours 15 --block-km 5"""
LEAST_LABELLED = 0.5
"""Share of a window's valid pixels that must be labelled for it to judge, or be judged."""


def _work(words: Sequence[str] | None) -> int:
    parser = parser_of("audit", "Rank windows whose labels are unlike those of windows that look the same.", EXAMPLES)
    parser.add_argument("--top", type=int, help="windows that are written, worst first (default: one in fifty)")
    parser.add_argument("--neighbours", type=int, default=10, help="windows that judge each (default 10)")
    parser.add_argument(
        "--block-km", default="0", help="windows of one square of ground do not judge each other; 0: all do (default 0)"
    )
    arguments = parser.parse_args(words)
    block_m = 1000 * number(arguments.block_km, "--block-km", 0)
    for name, value in (("--top", arguments.top), ("--neighbours", arguments.neighbours)):
        if value is not None and value < 1:
            raise ValueError(f"{name} {value}: ask for one or more")
    config = load(RunConfig, arguments.config, arguments.set)
    run = read_run(config)
    labels = read_window_labels(run)
    coverage = labels.coverage.copy()
    coverage[labels.labelled < LEAST_LABELLED] = float("nan")
    found = audit(run.vectors, coverage, arguments.neighbours, run.blocks(block_m) if block_m else None)
    order = found.order[: arguments.top or max(1, len(found.order) // 50)].tolist()
    table = [
        {
            "rank": rank,
            **run.row_of(row),
            "score": round(float(found.score[row]), 3),
            "coverage": round(float(coverage[row]), 4),
            "expected": round(float(found.expected[row]), 4),
        }
        for rank, row in enumerate(order, start=1)
    ]
    out = arguments.out or f"{config.out.rstrip('/')}/audit"
    write_table(out, "suspects", table, [run.outline(row) for row in order])
    write_summary(out, "suspects", {"judged": len(found.order), "written": len(order), "embedder": run.card})
    print(f"{len(found.order)} labelled windows judged; the {len(order)} least likely are in {out}/suspects.csv")
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return answered("audit", lambda: _work(argv))


if __name__ == "__main__":
    sys.exit(main())
