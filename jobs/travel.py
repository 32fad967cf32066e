"""Whether a configuration will find on a cluster what it names: there, a relative path begins in what was sent."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path

from cluster.package import Package
from jobs.addresses import addresses
from jobs.config import RunConfig
from jobs.embed_recipe_config import EmbedRecipeConfig, is_frame_store
from jobs.parsing import load
from jobs.recipe_config import Recipe, RecipeConfig
from tiler.sensors import load_sensor
from tiler.strict_yaml import read_yaml

_PLACE = re.compile(r"\{[^{}]*\}")


def check_travels(config: RunConfig | Recipe, file: Path, package: Package) -> None:
    """Refuse what cannot work on another machine.

    Args:
        config: what `file` says.
        file: the configuration.
        package: what is sent; relative paths of the configuration begin in its folder.

    Raises:
        ValueError: one sentence for each path.
    """
    wrong = [*_files(file, package), *_of_recipe(config, package), *_of_run(config, package)]
    if wrong:
        raise ValueError(f"{file}: " + "; ".join(dict.fromkeys(wrong)))


def _files(file: Path, package: Package) -> Iterator[str]:
    """The configuration itself, and those that it extends."""
    if not package.holds(file):
        yield f"{_not_sent(str(file), package)}: move it there, or name its folder by --working-dir"
    parent = read_yaml(file).get("extends")
    if parent:
        yield from _files(file.parent / parent, package)


def _of_recipe(config: RunConfig | Recipe, package: Package) -> Iterator[str]:
    if not isinstance(config, RecipeConfig | EmbedRecipeConfig):
        return
    yield from _out(config.out)
    scheme, _, what = config.network.weights.partition(":")
    if scheme in ("file", "recipe"):
        yield from _input("network.weights", what, package)
    if isinstance(config, RecipeConfig) and config.data.sampling.weights:
        yield from _input("data.sampling.weights", config.data.sampling.weights, package)
    runs = config.data.runs if isinstance(config, EmbedRecipeConfig) else (config.data.run,)
    for run in runs:
        if Path(run).is_absolute() or "://" in run:
            continue  # it lies there, or not
        lacking = list(_input("data.run", run, package))
        yield from lacking
        if lacking or is_frame_store(run):
            continue
        file = package.folder / run
        check_travels(load(RunConfig, str(file)), file, package)


def _of_run(config: RunConfig | Recipe, package: Package) -> Iterator[str]:
    if not isinstance(config, RunConfig):
        return
    yield from _out(config.out)
    if not config.sensor.endswith((".yaml", ".yml")):
        load_sensor(config.sensor)
    for key, address in addresses(config):
        *_, last = key.split(".")
        names_sensor = last == "sensor" and not address.endswith((".yaml", ".yml"))
        if not names_sensor and "bands" not in key.split("."):  # those choose among files that another key names
            yield from _input(key, address, package)


def _out(out: str) -> Iterator[str]:
    if "://" not in out and not Path(out).is_absolute():
        yield (
            f"out: {out!r} is relative: on the cluster it would lie in what was sent, on one node, and be lost; "
            "give an address (s3://, gs://), or an absolute path that every node has"
        )


def _input(key: str, address: str, package: Package) -> Iterator[str]:
    if "://" in address or Path(address).is_absolute():
        return
    pattern = _PLACE.sub("*", address)
    found = [package.folder / name for name in glob.glob(pattern, root_dir=package.folder, recursive=True)]
    if not found:
        yield f"{key}: {address!r} is relative, and {package.folder.absolute()} has none; {_WANTED}"
    elif left := [path for path in found if not package.holds(path)]:
        yield f"{key}: {_not_sent(str(left[0].relative_to(package.folder)), package)}; {_WANTED}"


_WANTED = "give an address, or an absolute path that every node has"


def _not_sent(path: str, package: Package) -> str:
    return f"{path!r} is not among what is sent of {package.folder.absolute()}"
