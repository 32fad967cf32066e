"""Serve: the map page of a run, for a browser on this machine.

python -m jobs.serve runs/aberystwyth
sandan serve runs/june --compare runs/may --port 8080
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from jobs.shell import BAD_INPUT, DONE, guarded

EPILOG = """examples:
  sandan serve runs/aberystwyth
  sandan serve examples/aberystwyth/map.yaml --compare runs/last-year --open
  sandan serve runs/korea --attribution "Contains modified Copernicus Sentinel data 2024"

On a machine elsewhere: ssh -L 8000:127.0.0.1:8000 MACHINE, then open http://127.0.0.1:8000 here.

exit codes: 0 ended by you, 1 fault, 2 bad input, 130 interrupted while starting"""
PORT = 8000


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    one = argparse.ArgumentParser(
        prog="sandan serve",
        description="Show a published map, or a run that is at work, in a browser.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("run", metavar="RUN", help="CONFIG.yaml, or the folder of a run")
    one.add_argument("--compare", metavar="RUN", help="another run, to swipe against")
    one.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default %(default)s: this machine only)"
    )
    one.add_argument("--port", type=int, default=PORT, help="default %(default)s; 0 takes a free one")
    one.add_argument("--attribution", metavar="TEXT", help="whose pixels these are, for the corner of the map")
    one.add_argument("--open", action="store_true", help="open the browser, too")
    return one


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    arguments = parser().parse_args(argv)
    lacking = [name for name in ("fastapi", "uvicorn", "titiler") if importlib.util.find_spec(name) is None]
    if lacking:
        print(f"sandan serve: {', '.join(lacking)} not installed; pip install 'sandan[page]'", file=sys.stderr)
        return BAD_INPUT
    from jobs.map_page.serving import hosts_of, serve
    from jobs.map_page.shown import Shown

    with ExitStack() as held:
        try:
            hosts = hosts_of(arguments.host)
            if not 0 <= arguments.port < 65536:
                raise ValueError(f"--port {arguments.port}: give 0 to 65535")
            shown = Shown(arguments.run, arguments.compare, arguments.attribution, held, hosts)
        except (ValueError, OSError) as error:
            print(f"sandan serve: {' '.join(str(error).split())}", file=sys.stderr)
            return BAD_INPUT
        return guarded("serve", lambda: serve(shown, arguments.host, arguments.port, arguments.open)) or DONE


if __name__ == "__main__":
    sys.exit(main())
