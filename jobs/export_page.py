"""Export page: the map page of a run as a folder that any static web server serves.

python -m jobs.export_page runs/aberystwyth --out pages/aberystwyth
sandan export-page runs/june --compare runs/may --layers class,imagery-colour --zoom 13 --out pages/june
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from jobs.map_page.description import ShownRun, attribution_of
from jobs.map_page.export import Export, check_target, export
from jobs.map_page.published_run import open_published
from jobs.map_page.xyz import HIGHEST_ZOOM
from jobs.shell import BAD_INPUT, DONE, guarded

EPILOG = """examples:
  sandan export-page runs/aberystwyth --out pages/aberystwyth
  sandan export-page runs/korea --out pages/korea --layers class,imagery-colour --zoom 13
  sandan export-page runs/korea --out pages/korea --dry-run
  python -m http.server --directory pages/aberystwyth

What is finished is kept: the same command does what is left. Each zoom has four times the tiles of the one before it.

exit codes: 0 done, 1 fault, 2 bad input, 130 interrupted; repeat the command to continue"""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    one = argparse.ArgumentParser(
        prog="sandan export-page",
        description="Write the map page of a published run as a folder of plain files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("run", metavar="RUN", help="CONFIG.yaml, or the folder of a run")
    one.add_argument("--out", required=True, metavar="DIR", help="a new folder, or one that an earlier call wrote")
    one.add_argument("--compare", metavar="RUN", help="another run, to swipe against")
    one.add_argument("--layers", metavar="A,B", help="only these layers, such as class,imagery-colour")
    one.add_argument("--zoom", type=int, metavar="Z", help="last zoom; default: as fine as the map's own pixels")
    one.add_argument("--attribution", metavar="TEXT", help="whose pixels these are, for the corner of the map")
    one.add_argument("--dry-run", action="store_true", help="say how many tiles it would be, and write nothing")
    return one


def planned(arguments: argparse.Namespace, held: ExitStack) -> Export:
    """Check what a command line asks for.

    Raises:
        ValueError: it could not be done.
    """
    if arguments.zoom is not None and not 0 <= arguments.zoom <= HIGHEST_ZOOM:
        raise ValueError(f"--zoom {arguments.zoom}: give 0 to {HIGHEST_ZOOM}")
    check_target(arguments.out)
    only = None if arguments.layers is None else arguments.layers.split(",")
    run = open_published(arguments.run, held)
    runs = [ShownRun.of("a", run, only)]
    if arguments.compare is not None:
        runs.append(ShownRun.of("b", open_published(arguments.compare, held), only))
    return Export(runs, arguments.attribution or attribution_of(run), arguments.zoom)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    arguments = parser().parse_args(argv)
    with ExitStack() as held:
        try:
            page = planned(arguments, held)
        except (ValueError, OSError) as error:
            print(f"sandan export-page: {' '.join(str(error).split())}", file=sys.stderr)
            return BAD_INPUT
        if arguments.dry_run:
            print(f"at most {page.tile_count():,} tiles of {sum(len(one.layers) for one in page.runs)} layers")
            return DONE
        return guarded("export-page", lambda: _write(page, arguments.out))


def _write(page: Export, out: str) -> int:
    tiles = export(page, out)
    print(f"map page   {out}   {tiles:,} tiles; python -m http.server --directory {out}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
