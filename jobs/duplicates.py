"""Duplicates: which windows, or frames, are copies of each other; and a split that no copy and no neighbour straddles.

python -m jobs.duplicates RUN.yaml
sandan duplicates map.yaml --block-km 10 --validation 0.2
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from jobs.config import RunConfig
from jobs.parsing import load
from jobs.progress import Progress
from jobs.run_embeddings import RunEmbeddings, read_run
from jobs.shell import DONE, INCOMPLETE
from jobs.use_files import answered, number, parser_of, write_summary, write_table
from models.duplicates import (
    LEFT_OUT,
    TRAINING,
    VALIDATION,
    alike_pairs,
    copy_cosine,
    cosine_pairs,
    difference_hash,
    digest,
    equal_pairs,
    frequency_hash,
    groups_of,
    leaks,
    split_by_group,
    thumbnail,
)
from tiler.scene_store import SceneStore

EXAMPLES = """  sandan duplicates map.yaml
  sandan duplicates map.yaml --block-km 20 --validation 0.25 --seed 3
  sandan duplicates map.yaml --split mine.csv        (columns scene, row, col, part: judge a split made elsewhere)"""
CODES = (
    """exit codes: 0 done, 1 fault, 2 bad input (nothing written), 3 the split that was given leaks, 130 interrupted"""
)
PARTS = {TRAINING: "training", VALIDATION: "validation", LEFT_OUT: "left out"}
KINDS = ("exact", "perceptual", "cosine")


def pairs_of(run: RunEmbeddings, most_bits: int, least_cosine: float) -> dict[str, np.ndarray]:
    """Find copies in three ways.

    Args:
        run: with its pixels ingested.
        most_bits: bits in which perceptual hashes of copies may differ.
        least_cosine: above which embeddings are those of copies.

    Returns:
        Kind to pairs of rows, int64 (p, 2).
    """
    opened, usable = lru_cache(maxsize=4)(SceneStore), np.flatnonzero(run.seen)
    names, hashes = [], []
    with Progress(len(usable), "duplicates", unit="windows") as progress:
        for row in usable.tolist():
            scene, box = opened(run.ingested[int(run.source[row])]), run.box(row)
            image, valid = scene.read("image", box, 0), scene.read("valid", box, False)
            names.append(digest(np.where(valid, image, 0)))
            small = thumbnail(image, valid)
            hashes.append((frequency_hash(small), difference_hash(small)))
            progress.advance()
    found = {
        "exact": usable[equal_pairs(names)],
        "perceptual": usable[alike_pairs(np.array(hashes, np.uint64).reshape(-1, 2), most_bits)],
    }
    return found | {"cosine": cosine_pairs(run.vectors, least_cosine)}


def _work(words: Sequence[str] | None) -> int:
    parser = parser_of("duplicates", "Find copies, and deal whole groups of them to parts.", EXAMPLES, CODES)
    parser.add_argument("--bits", type=int, default=4, help="bits of 64 in which hashes of copies differ (default 4)")
    parser.add_argument(
        "--cosine", default="auto", help="least cosine of copies (default auto: by how far windows usually lie apart)"
    )
    parser.add_argument(
        "--block-km", default="10", help="windows of one square of ground stay together; 0: no (default 10)"
    )
    parser.add_argument("--validation", default="0.2", help="share of the windows that validate (default 0.2)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", metavar="FILE.csv", help="judge this split: columns scene, row, col, part")
    arguments = parser.parse_args(words)
    given_cosine = None if arguments.cosine == "auto" else number(arguments.cosine, "--cosine", -1, 1)
    share = number(arguments.validation, "--validation", 0, 1)
    block_m = 1000 * number(arguments.block_km, "--block-km", 0)
    config = load(RunConfig, arguments.config, arguments.set)
    run = read_run(config)
    given = None if arguments.split is None else read_split(run, arguments.split)
    cosine = copy_cosine(run.vectors) if given_cosine is None else given_cosine
    pairs = pairs_of(run, arguments.bits, cosine)
    for kind in KINDS:
        print(f"{len(pairs[kind])} pairs: {kind}")
    copies = groups_of(len(run), pairs.values())
    groups = groups_of(len(run), pairs.values(), run.blocks(block_m)) if block_m else copies
    part = split_by_group(groups[run.seen], share, arguments.seed)
    return _written(run, arguments, config, pairs, copies, (groups, part), given)


def _written(
    run: RunEmbeddings,
    arguments: argparse.Namespace,
    config: RunConfig,
    pairs: dict[str, np.ndarray],
    copies: np.ndarray,
    dealt: tuple[np.ndarray, np.ndarray],
    given: np.ndarray | None,
) -> int:
    """Write what was found; return the exit code."""
    groups, part = dealt
    whole = np.full(len(run), LEFT_OUT, np.int8)
    whole[run.seen] = part
    sizes = np.bincount(copies, minlength=len(run))[copies]
    rows = [
        {**run.row_of(row), "copies": int(sizes[row]), "copy_of": int(copies[row]), "group": int(groups[row])}
        | {"part": PARTS[int(whole[row])]}
        for row in range(len(run))
    ]
    out = arguments.out or f"{config.out.rstrip('/')}/duplicates"
    write_table(out, "split", rows, [run.outline(row) for row in range(len(run))])
    found = leaks(np.where(run.seen, given, LEFT_OUT), groups) if given is not None else np.empty((0, 2), np.int64)
    facts: dict[str, int | None] = {kind: len(pairs[kind]) for kind in KINDS}
    facts |= {"items": len(run), "groups": len(np.unique(groups))}
    facts |= {PARTS[p]: int((whole == p).sum()) for p in PARTS}
    facts["leaks"] = None if given is None else len(found)
    write_summary(out, "duplicates", facts | {"embedder": run.card})
    counts = ", ".join(f"{facts[PARTS[p]]} {PARTS[p]}" for p in PARTS)
    print(f"{facts['groups']} groups of {len(run)} windows: {counts}; {out}/split.csv")
    if given is None:
        return DONE
    lines = [
        {f"{side}_{key}": value for side, row in zip(("training", "validation"), pair, strict=True)
         for key, value in run.row_of(int(row)).items()}
        for pair in found
    ]  # fmt: skip
    if lines:
        write_table(out, "leaks", lines, [run.outline(int(pair[1])) for pair in found])
    print(f"{arguments.split}: {len(found)} validation windows have a copy or a neighbour in training")
    return INCOMPLETE if lines else DONE


def read_split(run: RunEmbeddings, path: str) -> np.ndarray:
    """Read a split that was made elsewhere, int8 (n,); windows that it does not name are left out.

    Raises:
        ValueError: no such file, a column is missing, or a part has another name.
    """
    if not Path(path).is_file():
        raise ValueError(f"--split {path}: no such file")
    names = {name: part for part, name in PARTS.items()}
    number_of = {tuple(list(run.row_of(row).values())[:3]): row for row in range(len(run))}
    part = np.full(len(run), LEFT_OUT, np.int8)
    with open(path, newline="") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            try:
                key, wanted = (row["scene"], int(row["row"]), int(row["col"])), row["part"]
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"--split {path}, line {line}: scene, row, col and part are needed ({error})"
                ) from error
            if wanted not in names or key not in number_of:
                what = f"part {wanted!r}" if wanted not in names else f"window {key}"
                raise ValueError(f"--split {path}, line {line}: {what} is unknown; parts are {sorted(names)}")
            part[number_of[key]] = names[wanted]
    return part


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return answered("duplicates", lambda: _work(argv))


if __name__ == "__main__":
    sys.exit(main())
