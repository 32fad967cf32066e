"""The one form of all frames of a series: size and type of the files, range of their numbers; checked beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tiler.frame_files import PlaneHeader, read_header
from tiler.frame_index import Entry, FrameIndex
from tiler.frame_store import FrameLayout, FrameStore

THREADS = 16
"""Files that are opened at once: they wait for their storage."""


def header_of_store(store: FrameStore) -> PlaneHeader:
    """Return the form of the files that a store was made for."""
    size = store.facts["source"]
    return PlaneHeader(int(size["height_px"]), int(size["width_px"]), store.layout.dtype, None)


def common_header(index: FrameIndex, entries: Sequence[Entry], held: PlaneHeader | None) -> PlaneHeader:
    """Return the form of some files, which must be one; files that cannot be read are for the workers to name.

    Args:
        index: the series.
        entries: those that are to be read.
        held: what the store holds already, if there is one.

    Raises:
        ValueError: two forms, or there is no store and not one file can be read.
    """
    if index.cube is not None:
        found = [(index.cube.path, index.cube.header)]
    else:

        def form(path: str) -> PlaneHeader | ValueError:
            try:
                return read_header(path, index.spec.variable)
            except ValueError as error:
                return error

        paths = [str(entry.where) for entry in entries]
        with ThreadPoolExecutor(THREADS, "headers") as pool:
            read = list(zip(paths, pool.map(form, paths), strict=True))
        found = [(path, one) for path, one in read if isinstance(one, PlaneHeader)]
        if held is None and not found:
            raise ValueError(f"frames.files: not one of {len(paths)} files can be read; the first: {read[0][1]}")
    usual = Counter(_form(one) for _, one in found).most_common(1)[0][0] if held is None else _form(held)
    odd = [(path, one) for path, one in found if _form(one) != usual]
    if odd:
        path, one = odd[0]
        raise ValueError(
            f"frames.files: {len(odd):,} of {len(found):,} are not {_told(usual)} as "
            f"{'the others' if held is None else 'what is in the store'}; the first, {path}, is {_told(_form(one))}; "
            f"take them out, or make another series of them"
        )
    return held or next(one for _, one in found)


def _form(header: PlaneHeader) -> tuple[int, int, str]:
    return header.height_px, header.width_px, header.dtype


def _told(form: tuple[int, int, str]) -> str:
    return f"{form[0]} x {form[1]} {form[2]}"


def layout_of(index: FrameIndex, header: PlaneHeader) -> FrameLayout:
    """Return what all frames have in common.

    Raises:
        ValueError: nobody says what range the numbers have.
    """
    spec = index.spec
    ranges = []
    for band in index.bands:
        span = spec.range_of(band) or header.value_range
        if span is None:
            raise ValueError(
                f"frames: the files do not say what range their {header.dtype} numbers have; give value_range: "
                f"[smallest, largest], of all bands or for each (missing: {band})"
            )
        ranges.append(span)
    form = (index.series, index.sensor, index.bands, spec.side_px, spec.side_px, header.dtype)
    clock = (spec.step_s, spec.phase_s, index.first_slot)
    return FrameLayout(*form, *clock, tuple(low for low, _ in ranges), tuple(high - low for low, high in ranges))
