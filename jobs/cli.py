"""The console command `sandan`: a table of jobs, each loaded only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

JOBS = {
    "map": "make the map: ingest, infer, mosaic, publish",
    "ingest": "read the files of every scene into its scene store",
    "train": "train the network of a recipe into a bundle",
    "adapt": "learn where one network in one view is enough",
    "infer": "run the networks over every window",
    "embed": "make a vector of every window or frame, for search",
    "mosaic": "blend, warp and fuse the windows into the map grid",
    "publish": "write GeoTIFFs, catalogue and report",
    "predict": "answer for every image of a collection: a mask and yes or no, or a class",
    "evaluate": "judge the map on held-back blocks, beside trivial baselines",
}
"""Job to summary: each takes a CONFIG.yaml; `sandan NAME` is `python -m jobs.NAME`."""
TOOLS = {
    "search": "find the windows or frames that look most like what is named",
    "submit": "run a job on a cluster, follow it, and end with its exit code",
    "schedule": "one tick of a plan: map what is new, judge it, publish it",
    "rollback": "publish an earlier run of a plan's product again",
    "status": "say what of a run is done, pending, failed or stale, and why",
    "sweep": "remove what a run's folder no longer needs: replaced stores, older maps, old logs",
    "logs": "show what a run did and what went wrong",
    "cluster": "render and check the files that start a cluster",
    "synthesize": "write scenes of a synthetic country, or of weather, scratches, illustrations, with truth and a run",
    "drift": "compare the embeddings of a run with those of a reference, region by region",
    "sample": "draw pixels of a map by stratum, for people to say what is there",
    "accuracy": "areas and accuracies of a map with intervals, from a labelled sample",
    "change": "say what was gained and lost between two published maps, and what of it is sure",
    "screen": "rank places by changes that earlier dates do not explain",
    "duplicates": "find copies, and split windows so that none straddles the parts",
    "curate": "report on a data set, balance, clean and filter it by lists that can be undone",
    "propose": "choose windows to label next: like the errors at hand, and unlike each other",
    "audit": "rank windows whose labels are unlike those of windows that look the same",
    "serve": "show a published map, or a run at work, in a browser",
    "export-page": "write the map page as a folder for any static web server",
    "reproduce": "train and judge what a source document describes; print its table",
}
"""Commands with arguments of their own."""
COMMANDS = JOBS | TOOLS

HELP = """usage: sandan COMMAND CONFIG.yaml [--set a.b=value ...] [--dry-run]

Maps the industrial areas of a whole country from satellite scenes.

commands:
{commands}

examples:
  sandan map examples/aberystwyth/map.yaml --dry-run
  sandan train examples/aberystwyth/unetpp.yaml
  sandan COMMAND --help"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code (2 for an unknown command)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP.format(commands="\n".join(f"  {name:11} {text}" for name, text in COMMANDS.items())))
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"sandan {version('sandan')}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        print(f"sandan: unknown command {name!r}{hint} (known: {', '.join(COMMANDS)})", file=sys.stderr)
        return 2
    from cluster.heap import keep_memory
    from cluster.openmp import spin_briefly

    keep_memory()  # before numpy and torch start threads
    spin_briefly()
    return int(importlib.import_module(f"jobs.{name.replace('-', '_')}").main(rest))


if __name__ == "__main__":
    sys.exit(main())
