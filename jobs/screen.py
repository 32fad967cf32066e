"""Screen: where has the ground changed by more than its seasons? Places ranked by the change of their embeddings.

python -m jobs.screen NOW.yaml --before OLD.yaml
sandan screen 2026.yaml --before 2023-2025.yaml --top 200
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from jobs.config import RunConfig
from jobs.parsing import load
from jobs.run_embeddings import RunEmbeddings, check_comparable, places_of, read_run
from jobs.shell import DONE
from jobs.use_files import answered, number, parser_of, write_summary, write_table
from models.change_screening import Screened, screen

EXAMPLES = """  sandan screen 2026.yaml --before 2023-2025.yaml
  sandan screen 2026.yaml --before 2023-2025.yaml --top 200 --least 3"""


def changes(run: RunEmbeddings, before: RunEmbeddings) -> tuple[np.ndarray, Screened]:
    """Rank what a run saw by how unusual it is for its place.

    Returns:
        Rows of the run that were screened, int64; and what is said of them.

    Raises:
        ValueError: they cannot be compared, lie elsewhere, or places were seen once only before.
    """
    check_comparable(run, before, "the earlier run")
    places, earlier = places_of([run, before])
    known = before.seen & np.isin(earlier, places)
    if not known.any():
        raise ValueError(
            "the runs have no place in common; give an earlier run of the same ground, on the same windows"
        )
    rows = np.flatnonzero(run.seen)
    return rows, screen(earlier[known], before.vectors[known], places[rows], run.vectors[rows], run.source[rows])


def _work(words: Sequence[str] | None) -> int:
    parser = parser_of("screen", "Rank places by changes that earlier dates do not explain.", EXAMPLES)
    parser.add_argument(
        "--before", metavar="OLD.yaml", required=True, help="a run of earlier dates of the same ground, embedded too"
    )
    parser.add_argument(
        "--top", type=int, help="places that are written, most changed first (default: one in a hundred)"
    )
    parser.add_argument("--least", default="0", help="least score, in deviations from what is usual (default 0)")
    arguments = parser.parse_args(words)
    least = number(arguments.least, "--least", -1e9)
    if arguments.top is not None and arguments.top < 1:
        raise ValueError(f"--top {arguments.top}: ask for one place or more")
    config = load(RunConfig, arguments.config, arguments.set)
    run, before = read_run(config), read_run(load(RunConfig, arguments.before))
    rows, found = changes(run, before)
    top = arguments.top or max(1, -(-len(found.order) // 100))
    order = [place for place in found.order[:top].tolist() if found.score[place] >= least]
    table = [
        {
            "rank": rank,
            **run.row_of(int(rows[place])),
            "score": round(float(found.score[place]), 3),
            "distance": round(float(found.distance[place]), 6),
            "usual": round(float(found.usual[place]), 6),
            "earlier_dates": int(found.dates[place]),
        }
        for rank, place in enumerate(order, start=1)
    ]
    out = arguments.out or f"{config.out.rstrip('/')}/screen"
    write_table(out, "changes", table, [run.outline(int(rows[place])) for place in order])
    unknown = len(rows) - len(found.order)
    facts = {"screened": len(found.order), "not_seen_before": unknown, "written": len(order), "embedder": run.card}
    write_summary(out, "changes", facts | {"before": arguments.before})
    print(f"{len(found.order)} places screened, {unknown} not seen before; {len(order)} in {out}/changes.csv")
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return answered("screen", lambda: _work(argv))


if __name__ == "__main__":
    sys.exit(main())
