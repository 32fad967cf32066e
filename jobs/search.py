"""Search: the windows or frames that look most like what is named, out of everything that was embedded.

python -m jobs.search examples/aberystwyth/map.yaml --at -4.05,52.41
sandan search coms.yaml --time 2019-08-03T00:00 --exclude-hours 72 --top 3
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

import numpy as np

from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.parsing import load
from jobs.plan import Run, key_of
from jobs.runner import engine_of
from jobs.search_archive import Archive
from jobs.search_filters import PARTS, Filters, parse_bbox, parse_dates, told
from jobs.search_index import INDEXES, check_index, find_with_index
from jobs.search_map import write_similarity_map
from jobs.search_outputs import console_table, write_results
from jobs.search_queries import KINDS, Example, Lookup, Resolved, known_of, parse_example, query_of, sequence_of
from jobs.search_runs import archive_of
from jobs.search_sheet import pictures_of, sheet_of
from jobs.search_stage import Found, Score, find, score_of
from jobs.shell import BAD_INPUT, DONE, INCOMPLETE, guarded
from models.search import UNLIKE_WEIGHT

MOST = 10_000
SHEET = "sheet.png"
NUMBERS = ("--at", "--bbox", "--cell")
"""Options whose values may begin with a minus."""
EPILOG = """examples:
  sandan search map.yaml --at 129.35,35.51 --exclude-km 3 --top 20 --map
  sandan search map.yaml --window tongyeong:3,7 --unlike window:tongyeong:9,2 --bbox 126,34,130,38
  sandan search june.yaml july.yaml --polygon estate.geojson --dates 2020-06-01:2020-07-31
  sandan search coms.yaml --time 2019-08-03T00:00 --exclude-hours 72 --top 3
  sandan search coms.yaml --sequence 2019-08-03T00:00,2019-08-03T03:00,2019-08-03T06:00

Several examples are averaged: query = mean(like) - WEIGHT x mean(unlike), of length 1 (Rocchio 1971). The examples
themselves are never found. Results: results.csv, results.geojson, results.parquet (GeoParquet), sheet.png, search.json.

exit codes: 0 done, 1 fault, 2 bad input, or nothing found, 3 done, but some of the runs is not embedded yet"""


@dataclass(frozen=True)
class Asked:
    """A search, looked up."""

    archive: Archive
    examples: tuple[Resolved, ...]
    score: Score
    run: Run | None
    """Whose map grid a similarity map uses."""
    partly: str
    """What of the runs is not embedded yet."""


def ask(arguments: argparse.Namespace) -> Asked:
    """Look up everything that a command line names.

    Raises:
        ValueError: bad input; says what there is.
    """
    if not 1 <= arguments.top <= MOST:
        raise ValueError(f"--top {arguments.top}: give 1 to {MOST}")
    filters = filters_of(arguments)
    examples = examples_of(arguments)
    if not examples and not arguments.sequence:
        named = ", ".join(f"--{kind}" for kind in KINDS)
        raise ValueError(f"nothing to search for: name an example ({named}, --sequence or --like)")
    if examples and arguments.sequence:
        raise ValueError("--sequence stands alone: other examples have no order; leave them out")
    if arguments.map and arguments.sequence:
        raise ValueError("--map shows places, a sequence has none; leave one of the two out")
    configs = [load(RunConfig, path, arguments.set) for path in arguments.runs]
    archive, runs, partly = archive_of(configs, arguments.runs)
    check_index(arguments.index, bool(arguments.sequence), Storage(configs[0].out))
    run = runs[0] if runs else None
    if arguments.map and not archive.of_kind("scene"):
        raise ValueError("--map shows places, and frames have none; leave it out")
    if filters.bbox is not None and not archive.of_kind("scene"):
        raise ValueError("--bbox: the archive holds frames, which have no places; leave it out")
    known = {member.plan.what.sensor for member in archive.members}
    strangers = sorted(set(filters.sensors) - known)
    if strangers:
        raise ValueError(f"--sensor {strangers[0]}: the archive has {sorted(known)}")
    lookup = Lookup(archive, None if run is None else run.grid)
    if arguments.sequence:
        found, offsets = sequence_of(lookup, arguments.sequence.split(","))
        queries = np.array([one.vector for one in found])
    else:
        found, offsets = [lookup(one) for one in examples], (0,)
        queries = query_of(found, arguments.unlike_weight)
    if queries.shape[1] != archive.dimension:
        raise ValueError(f"the examples have {queries.shape[1]} numbers, the archive {archive.dimension}; embed again")
    return Asked(
        archive,
        tuple(found),
        score_of(archive, queries, arguments.top, filters, known_of(found), offsets),
        run,
        partly,
    )


def examples_of(arguments: argparse.Namespace) -> list[Example]:
    """Return the examples of a command line, in a fixed order."""
    found = [Example(kind, text) for kind in KINDS for text in getattr(arguments, kind)]
    found += [parse_example(text, True) for text in arguments.like]
    return found + [parse_example(text, False) for text in arguments.unlike]


def filters_of(arguments: argparse.Namespace) -> Filters:
    """Return the filters of a command line.

    Raises:
        ValueError: one that cannot be.
    """
    limit = arguments.missing_limit
    if limit is not None and not 0 <= limit <= 1:
        raise ValueError(f"--missing-limit {limit}: give a share from 0 to 1")
    if min(arguments.exclude_hours, arguments.exclude_km) < 0:
        raise ValueError("--exclude-hours and --exclude-km must be 0 or more")
    first, last = parse_dates(arguments.dates) if arguments.dates else (None, None)
    return Filters(
        bbox=parse_bbox(arguments.bbox) if arguments.bbox else None,
        first=first,
        last=last,
        sensors=tuple(arguments.sensor),
        missing_limit=limit,
        parts=arguments.parts,
        exclude_hours=arguments.exclude_hours,
        exclude_km=arguments.exclude_km,
    )


def run_search(asked: Asked, arguments: argparse.Namespace) -> int:
    """Search, write what was found, and print it."""
    archive, score = asked.archive, asked.score
    config = archive.members[0].config
    folder = arguments.out or f"{config.out.rstrip('/')}/search/{_key(asked)}"
    with engine_of(config.engine) as engine:
        if arguments.index == "exact":
            found = find(archive, score, engine, arguments.shards)
        else:
            found = find_with_index(archive, score, Storage(config.out))
        if not len(found.best):
            print(f"sandan search: nothing can be found: {told(found.removed, len(archive))}", file=sys.stderr)
            return BAD_INPUT
        out = Storage(folder)
        rows = write_results(out, archive, found.best, _record(asked, found, arguments))
        if not arguments.no_sheet:
            channels = archive_channels(asked)
            out.put(SHEET, sheet_of(*pictures_of(archive, asked.examples, found.best, channels)))
        if arguments.map and asked.run is not None:
            tags = {"SEARCH": "; ".join(one.example.told for one in asked.examples)}
            path = write_similarity_map(asked.run, archive.of_kind("scene"), score.queries[0], folder, engine, tags)
            print(f"similarity map: {path}", file=sys.stderr)
    print(console_table(rows))
    how = "" if arguments.index == "exact" else f", {found.facts['told']}"
    print(
        f"{len(rows)} of {found.candidates} candidates, out of {len(archive)} items{how}; in {folder}", file=sys.stderr
    )
    if asked.partly:
        print(f"sandan search: {asked.partly}", file=sys.stderr)
        return INCOMPLETE
    return DONE


def archive_channels(asked: Asked) -> tuple[str, ...]:
    """Return the channels of the archive's embedder, in order; nothing where no picture was given."""
    from jobs.embed_plan import embedder_card, settings_of

    if all(one.example.kind != "image" for one in asked.examples):
        return ()
    return tuple(embedder_card(settings_of(asked.archive.members[0].config).model).channels)


def _key(asked: Asked) -> str:
    score = asked.score
    return key_of(score.queries.tobytes().hex(), score.k, asdict(score.filters), score.offsets_s, score.stores)


def _record(asked: Asked, found: Found, arguments: argparse.Namespace) -> dict:
    what, score = asked.archive.members[0].store.what, asked.score
    return {
        "examples": [one.example.told for one in asked.examples],
        "unlike_weight": arguments.unlike_weight,
        "offsets_s": score.offsets_s,
        "filters": {name: value for name, value in asdict(score.filters).items() if value != getattr(Filters(), name)},
        "top": score.k,
        "network": {"name": what.card_name, "digest": what.card_digest, "dimension": what.dimension},
        "index": arguments.index,
        "index_facts": found.facts,
        "items": len(asked.archive),
        "candidates": found.candidates,
        "taken_away": found.removed,
        "stores": [member.plan.name for member in asked.archive.members],
    }


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    one = argparse.ArgumentParser(
        prog="sandan search",
        description="Find the windows or frames that look most like what is named.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("runs", nargs="+", metavar="RUN.yaml", help="runs that `sandan embed` has embedded")
    one.add_argument("--set", action="append", default=[], metavar="a.b=value", help="as it was given to the runs")
    what = one.add_argument_group("examples (each may be repeated)")
    what.add_argument("--time", action="append", default=[], metavar="T", help="a frame: 2019-08-03T02:00 (UTC)")
    what.add_argument("--window", action="append", default=[], metavar="SCENE:row,col[,part]", help="a window")
    what.add_argument("--at", action="append", default=[], metavar="lon,lat", help="what lies at a place")
    what.add_argument("--cell", action="append", default=[], metavar="row,col", help="a cell of the map")
    what.add_argument("--polygon", action="append", default=[], metavar="FILE", help="what lies in a polygon")
    what.add_argument("--image", action="append", default=[], metavar="FILE", help="a GeoTIFF or PNG")
    what.add_argument("--like", action="append", default=[], metavar="KIND:TEXT", help=f"any of {', '.join(KINDS)}")
    what.add_argument("--unlike", action="append", default=[], metavar="KIND:TEXT", help="the opposite of an example")
    what.add_argument("--unlike-weight", type=float, default=UNLIKE_WEIGHT, metavar="W", help="default %(default)s")
    what.add_argument("--sequence", metavar="T1,T2,...", help="frames in this rhythm: mean similarity, frame by frame")
    only = one.add_argument_group("filters")
    only.add_argument("--bbox", metavar="W,S,E,N", help="degrees")
    only.add_argument("--dates", metavar="A:B", help="2019-06-01:2019-08-31; either end may be left out")
    only.add_argument("--sensor", action="append", default=[], metavar="NAME")
    only.add_argument("--missing-limit", type=float, metavar="SHARE", help="largest missing ratio")
    only.add_argument("--parts", choices=PARTS, default="all", help="windows with quadrants: which items")
    only.add_argument("--exclude-hours", type=float, default=0.0, metavar="H", help="so near in time to an example")
    only.add_argument("--exclude-km", type=float, default=0.0, metavar="KM", help="so near in place to an example")
    how = one.add_argument_group("results")
    how.add_argument("--top", type=int, default=20, metavar="K", help="how many (default %(default)s)")
    how.add_argument("--out", metavar="FOLDER", help="default: OUT/search/<key> of the first run")
    how.add_argument("--map", action="store_true", help="similarity.tif: the similarity of every place")
    how.add_argument("--no-sheet", action="store_true", help="no contact sheet")
    how.add_argument("--shards", type=int, metavar="N", help="parts that workers share; no result depends on it")
    how.add_argument("--index", choices=INDEXES, default="exact", help="faiss: approximate, for millions of items")
    return one


def joined(words: Sequence[str]) -> list[str]:
    """Return a command line in which numbers below zero are not taken for options: `--at -4.05,52.41`."""
    found: list[str] = []
    for word in words:
        if found and found[-1] in NUMBERS and re.match(r"-[\d.]", word):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    arguments = parser().parse_args(joined(sys.argv[1:] if argv is None else argv))
    try:
        asked = ask(arguments)
    except (ValueError, OSError) as error:
        print(f"sandan search: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    with suppress(BrokenPipeError):  # of a pager that was closed
        return guarded("search", lambda: run_search(asked, arguments))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
