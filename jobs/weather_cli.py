"""The command line of `sandan reproduce weather`; imports of networks wait until it is known to be right."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.weather import SCALES, SPLITS, Scale

if TYPE_CHECKING:
    from jobs.weather_run import WeatherReproduction

EPILOG = """examples:
  sandan reproduce weather --scale tiny
  sandan reproduce weather --scale small --seeds 3 --out runs/weather
  sandan reproduce weather --scale paper --data coms.yaml --weights hub:timm/vit_base_patch16_224.augreg_in21k \\
      --lpips file:alexnet-owt-7be5be79.pth --engine ray

scales:
{scales}

Without --data, synthetic weather is made and used: then the numbers say what the method does on weather whose state is
known, not what the document measured. Every recipe is written to OUT/recipes and can be run again by itself; the report
is OUT/evaluation/report.html.

exit codes: 0 done, 1 fault, 2 bad input (nothing started), 3 units were set aside, 130 interrupted; repeat the command
to continue"""


def add_parser(documents: Any) -> argparse.ArgumentParser:
    """Add the document to the command's documents and return its parser."""
    parser: argparse.ArgumentParser = documents.add_parser(
        "weather",
        description="Train the method of the weather document and its rivals; print its tables, and judge its claims.",
        epilog=EPILOG.format(scales="\n".join(f"  {name:11} {scale.summary}" for name, scale in SCALES.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scale", choices=list(SCALES), default="tiny")
    parser.add_argument("--data", nargs="+", default=[], metavar="RUN.yaml", help="runs with `frames`, one a sensor")
    parser.add_argument("--states", help="table of known states, of `sandan synthesize --kind weather` (with --data)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each method (default 3)")
    parser.add_argument("--weights", help="where networks begin: file:, hub:, recipe:, random:N (default at random)")
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default="blocks",
        help="what validates: ten days of each season "
        "(default), the last fifth, or random frames as the document may have it",
    )
    parser.add_argument("--gallery", choices=("validation", "all"), default="validation", help="what is searched")
    parser.add_argument(
        "--queries", type=int, default=500, help="at most so many validation frames ask by image metrics (default 500)"
    )
    parser.add_argument(
        "--lpips",
        default="random:0",
        metavar="SPEC",
        help="trunk of LPIPS: file:PATH, random:SEED (a distance of its own), or none",
    )
    parser.add_argument("--lpips-net", choices=("alex", "squeeze", "vgg"), default="alex")
    parser.add_argument("--metric-size", type=int, metavar="PX", help="reduce images to it before PSNR, SSIM, LPIPS")
    parser.add_argument("--dates", nargs="+", metavar="YYYY-MM-DD", help="queries of Figure 1 (default the document's)")
    parser.add_argument("--no-layouts", action="store_true", help="leave out UMAP (Figure 2, ring score)")
    return parser


def plan(arguments: argparse.Namespace, out: Path, engine: Mapping[str, Any]) -> WeatherReproduction:
    """Check the command line.

    Raises:
        ValueError: something that it names is not there, or a number is out of range; ModuleNotFoundError: a library
        that is not installed, with what to install.
    """
    scale = SCALES[arguments.scale]
    for path in [*arguments.data, *([arguments.states] if arguments.states else [])]:
        if not Path(path).is_file():
            raise ValueError(f"{path} is no file (looked in {Path.cwd()}); give run YAMLs with `frames`")
    if arguments.states and not arguments.data:
        raise ValueError("--states goes with --data; the synthetic weather brings its own")
    for name, value, least in (("seeds", arguments.seeds, 1), ("queries", arguments.queries, 1)):
        if value < least:
            raise ValueError(f"--{name} {value}: give a whole number from {least}")
    if arguments.metric_size is not None and arguments.metric_size < 32:
        raise ValueError(f"--metric-size {arguments.metric_size}: SSIM and LPIPS want 32 px or more")
    from jobs.config import RunConfig
    from jobs.parsing import load
    from jobs.weather_evaluation import Settings
    from jobs.weather_run import WeatherReproduction
    from jobs.weather_seasons import DATES
    from models.layout import check_installed

    for path in arguments.data:
        if load(RunConfig, path).frames is None:
            raise ValueError(f"{path} names no `frames`; give runs over frames of a weather satellite")
    if arguments.weights is not None:
        _check_weights(arguments.weights, scale)
    if not arguments.no_layouts:
        check_installed()
    settings = Settings(
        queries=arguments.queries,
        gallery=arguments.gallery,
        metric_px=arguments.metric_size or scale.metric_px,
        lpips=_lpips(arguments.lpips, arguments.lpips_net),
        layouts=not arguments.no_layouts,
    )
    dates = tuple(map(_date, arguments.dates)) if arguments.dates else DATES
    return WeatherReproduction(
        scale=scale,
        out=out,
        runs=tuple(arguments.data),
        states=arguments.states,
        seeds=arguments.seeds,
        weights=arguments.weights,
        split=arguments.split,
        engine=engine,
        settings=settings,
        dates=dates,
    )


def _check_weights(weights: str, scale: Scale) -> None:
    """Find absent or unfitting weights here, not after the frames were ingested."""
    from models.embedder import EmbedderSpec
    from models.embedder_weights import embedder_with_weights

    sizes = ("architecture", "side_px", "depth", "patch_px", "grid")
    size = {key: scale.network[key] for key in sizes if key in scale.network}
    embedder_with_weights(EmbedderSpec(in_channels=3, **size), weights)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"--dates {text!r}: {error}; write YYYY-MM-DD") from error


def _lpips(spec: str, trunk: str) -> Any:
    """Return which LPIPS, read once so that a missing file is found before anything starts; None for none."""
    from jobs.weather_truth import Lpips
    from models.lpips import load_lpips

    if spec == "none":
        return None
    scheme, _, what = spec.partition(":")
    chosen = Lpips(trunk, f"file:{Path(what).resolve()}" if scheme == "file" else spec)
    load_lpips(chosen.trunk, chosen.weights)
    return chosen
