"""Propose: which windows to label next, so that the errors at hand go away (active learning).

python -m jobs.propose RUN.yaml --count 50
sandan propose map.yaml --errors false_alarms.geojson

Errors are windows in which the networks disagree with the labels, or those that a file of points or polygons touches.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pyproj
import shapely

from jobs.config import RunConfig
from jobs.infer import complete
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.run_embeddings import RunEmbeddings, read_run
from jobs.shell import DONE
from jobs.use_files import answered, number, parser_of, write_summary, write_table
from jobs.window_labels import WindowLabels, read_window_labels
from models.active import Queue, label_queue
from tiler.vectors import known_crs, read_places

EXAMPLES = """  sandan propose map.yaml --count 50
  sandan propose map.yaml --kind false-positive --least 0.05
  sandan propose map.yaml --errors false_alarms.geojson      (points or polygons, drawn by whoever checked the map)"""
KINDS = ("both", "false-positive", "false-negative")


def queue_of(
    run: RunEmbeddings, errors: np.ndarray, free: np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray, Queue]:
    """Choose windows to label.

    Args:
        run: whose windows.
        errors: rows, int64, on which networks err.
        free: rows that may be chosen.
        count: how many.
        seed: of the draws.

    Returns:
        Chosen rows, in order; the error that each looks like, a row; and what was found.
    """
    found = label_queue(run.vectors[errors], run.vectors[free], count, seed=seed)
    return free[found.items], errors[found.error], found


def errors_by_labels(labels: WindowLabels, kind: str, least: float) -> np.ndarray:
    """Return rows, the worst first, of which at least so large a share is wrong."""
    parts = {"false-positive": labels.false_positive, "false-negative": labels.false_negative}
    wrong = np.nan_to_num(np.sum(list(parts.values()), axis=0) if kind == "both" else parts[kind])
    order = np.argsort(-wrong, kind="stable")
    return order[wrong[order] >= least]


def _logits(config: RunConfig) -> dict[str, str]:
    """Return the logit stores of the scenes that are inferred, by id.

    Raises:
        ValueError: no scene is.
    """
    from jobs.decisions import decide

    run = plan_run(config)
    precision = decide(run, None) if config.models else None
    plans = [] if precision is None else complete(run, run.logits(precision))
    if not plans:
        raise ValueError(
            f"no scene of {config.out} is inferred, so nothing says where the networks err; run `sandan map` first, or "
            f"give a file of errors with --errors"
        )
    return {plan.source.scene.id: run.url("infer", plan.name) for plan in plans}


def _touched(run: RunEmbeddings, path: str, crs: str | None) -> np.ndarray:
    """Return the rows that points or polygons of a file touch."""
    shapes, declared = read_places("errors", path)
    source = declared or crs
    if source is None:
        raise ValueError(f"--errors {path} does not declare its CRS; give it with --crs, such as EPSG:4326")
    change = pyproj.Transformer.from_crs(known_crs("errors", path, source), "EPSG:4326", always_xy=True)
    lonlat = shapely.transform(shapes, change.transform, interleaved=False)
    windows = shapely.STRtree([shapely.Polygon(run.outline(row)) for row in range(len(run))])
    rows = np.unique(windows.query(lonlat, predicate="intersects")[1])
    rows = rows[run.seen[rows]]
    if not len(rows):
        raise ValueError(f"--errors {path}: nothing of it lies in a window of the run; check its CRS ({source})")
    return np.asarray(rows, np.int64)


def _work(words: Sequence[str] | None) -> int:
    parser = parser_of("propose", "Choose windows to label that look like the errors, and unlike each other.", EXAMPLES)
    parser.add_argument("--count", type=int, default=50, help="windows to label (default 50)")
    parser.add_argument("--kind", choices=KINDS, default="both", help="errors that count (default both)")
    parser.add_argument("--least", default="0.02", help="share of a window that must be wrong (default 0.02)")
    parser.add_argument("--errors", metavar="FILE", help="points or polygons of errors, instead of labels and logits")
    parser.add_argument("--crs", help="of that file, where it does not declare it")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    least = number(arguments.least, "--least", 0, 1)
    if arguments.count < 1:
        raise ValueError(f"--count {arguments.count}: ask for one window or more")
    config = load(RunConfig, arguments.config, arguments.set)
    run = read_run(config)
    if arguments.errors is not None:
        errors = _touched(run, arguments.errors, arguments.crs)
        labelled = read_window_labels(run).labelled if config.labels is not None else np.zeros(len(run))
    else:
        labels = read_window_labels(run, _logits(config), config.fuse.threshold)
        errors, labelled = errors_by_labels(labels, arguments.kind, least), labels.labelled
    free = np.setdiff1d(np.flatnonzero(run.seen & (labelled == 0)), errors)
    if not len(errors) or not len(free):
        raise ValueError(
            f"{len(errors)} windows with errors and {len(free)} without labels were found, and both are needed; lower "
            f"--least, or add scenes without labels"
        )
    rows, like, found = queue_of(run, errors, free, arguments.count, arguments.seed)
    table = [
        {"order": order, **run.row_of(int(row)), "cosine": round(float(cosine), 5)}
        | {f"like_{key}": value for key, value in run.row_of(int(error)).items()}
        for order, (row, error, cosine) in enumerate(zip(rows, like, found.cosine, strict=True), start=1)
    ]
    out = arguments.out or f"{config.out.rstrip('/')}/propose"
    write_table(out, "queue", table, [run.outline(int(row)) for row in rows])
    write_summary(out, "queue", {"errors": len(errors), "unlabelled": len(free), "queue": len(rows), "card": run.card})
    print(f"{len(errors)} windows with errors, {len(free)} without labels; {len(rows)} to label in {out}/queue.csv")
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return answered("propose", lambda: _work(argv))


if __name__ == "__main__":
    sys.exit(main())
