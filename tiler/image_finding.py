"""Which files are images: those below a folder, or those that a list names; and which mask belongs to which."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tiler.image_files import MASK_SUFFIXES, SUFFIXES
from tiler.image_spec import COLUMNS, CollectionSpec, MaskSpec, nearest
from tiler.sources import is_printable

LARGEST_LIST_BYTES = 2**28
TOOL_ENDINGS = ("_watershed_mask", "_color_mask", "_mask")
"""What the Pixel Annotation Tool writes beside an image; the last are strokes, no mask of areas."""


@dataclass(frozen=True)
class Found:
    """An image that is there."""

    relative: str
    """Below the folder of the collection, with /, in Unicode's composed form: what it is called."""
    path: str
    """As the file system has it."""
    told: dict[str, str] = field(default_factory=dict)
    """What a list says of it: column to text."""


Unmatched = tuple[str, str]
"""Path, and why it is left out."""


def composed(name: str) -> str:
    """Return a name in Unicode's composed form: macOS and its zips spell Hangul in parts, lists do not."""
    return unicodedata.normalize("NFC", name)


def walked(root: str, leave_out: Sequence[str] = ()) -> tuple[list[Found], list[Unmatched]]:
    """Find every image below a folder, by name; hidden files and folders are skipped, folders that are links too.

    Args:
        root: the folder.
        leave_out: folders below it that are not looked through.

    Raises:
        ValueError: no such folder.
    """
    if not Path(root).is_dir():
        raise ValueError(f"dataset.root: {root} is not a folder (looked in {Path.cwd()}); check the path")
    root = os.path.abspath(root)  # workers have working directories of their own
    refused = {Path(folder).resolve() for folder in leave_out}
    found: dict[str, Found] = {}
    unmatched: list[Unmatched] = []
    for folder, below, names in os.walk(root):
        below[:] = sorted(d for d in below if not _is_hidden(d) and Path(folder, d).resolve() not in refused)
        for name in sorted(names):
            path = Path(folder, name)
            if _is_hidden(name) or path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            if not is_printable(str(path)):
                unmatched.append((ascii(str(path))[1:-1], "its name is not UTF-8 or holds control characters"))
                continue
            relative = composed(path.relative_to(root).as_posix())
            if relative in found:
                unmatched.append((str(path), f"a second image called {relative} (Unicode spells one name twice)"))
            else:
                found[relative] = Found(relative, str(path))
    return sorted(found.values(), key=lambda f: f.relative), unmatched


def class_folders(root: str, leave_out: Sequence[str] = (), below: Iterable[str] = ()) -> frozenset[str]:
    """Return the names of the folders that name classes, whether or not an image lies in them.

    Args:
        root: a folder.
        leave_out: folders below it that hold something else, such as masks.
        below: names, in small letters, of first folders that name the split: classes are in these; none: in the root.
    """
    refused = {Path(folder).resolve() for folder in leave_out}
    parts = set(below)
    holders = [path for path in Path(root).iterdir() if path.name.lower() in parts] if parts else [Path(root)]
    folders = [path for holder in holders if holder.is_dir() for path in holder.iterdir() if path.is_dir()]
    named = [path.name for path in folders if not _is_hidden(path.name) and path.resolve() not in refused]
    return frozenset(composed(name) for name in named if is_printable(name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def listed(spec: CollectionSpec) -> tuple[list[Found], list[Unmatched]]:
    """Return the images that a list names; what it names and is not there is told.

    Raises:
        ValueError: no such list, no such columns, an image twice, or one outside the folder.
    """
    assert spec.list is not None
    if not Path(spec.root).is_dir():
        raise ValueError(f"dataset.root: {spec.root} is not a folder (looked in {Path.cwd()}); check the path")
    found: dict[str, Found] = {}
    unmatched: list[Unmatched] = []
    for line, row in _rows(spec):
        text = row.pop("path")
        if not text:
            raise ValueError(
                f"dataset.list: {spec.list}, line {line}: the path is empty; write it, or take the line out"
            )
        if not is_printable(text) or ".." in PurePosixPath(text.replace("\\", "/")).parts or Path(text).is_absolute():
            raise ValueError(f"dataset.list: {spec.list}, line {line}: {text!a} does not lie below {spec.root}")
        place = _there(Path(os.path.abspath(spec.root)), text)
        relative = composed(
            PurePosixPath(text.replace("\\", "/") if place is None else _relative(place, spec)).as_posix()
        )
        if relative in found:
            raise ValueError(f"dataset.list: {spec.list}, line {line}: {relative} is listed twice; take one line out")
        if place is None:
            unmatched.append((relative, f"line {line} of the list names it, no such file"))
        elif place.suffix.lower() not in SUFFIXES:
            unmatched.append((relative, f"line {line} of the list names it, no image: known are {', '.join(SUFFIXES)}"))
        else:
            found[relative] = Found(relative, str(place), row)
    return sorted(found.values(), key=lambda f: f.relative), unmatched


def _relative(place: Path, spec: CollectionSpec) -> str:
    return place.relative_to(os.path.abspath(spec.root)).as_posix()


def _there(root: Path, text: str) -> Path | None:
    """Return the file that a list means, however it spells separators and accents."""
    for one in (text, text.replace("\\", "/")):
        for form in ("NFC", "NFD"):
            place = root / unicodedata.normalize(form, one)
            if place.is_file():
                return place
    return root / text if (root / text).is_file() else None


def _rows(spec: CollectionSpec) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and the known columns of each row."""
    place = Path(str(spec.list))
    if not place.is_file():
        raise ValueError(f"dataset.list: {spec.list} does not exist (looked in {Path.cwd()}); check the path")
    if place.stat().st_size > LARGEST_LIST_BYTES:
        raise ValueError(f"dataset.list: {spec.list} has more than {LARGEST_LIST_BYTES} bytes; split it")
    try:
        text = place.read_bytes().decode(spec.encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise ValueError(
            f"dataset.list: {spec.list} is not {spec.encoding} ({error}); save it as UTF-8, or set `encoding: cp949`"
        ) from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        names = {column: spec.columns.get(column, column) for column in COLUMNS}
        wanted = {"path": True, "label": spec.classes == "list", **dict.fromkeys(spec.columns, True)}
        for column, name in names.items():
            if wanted.get(column) and name not in header:
                raise ValueError(
                    f"dataset.list: {spec.list} has no column {name!r}, its columns are {header}"
                    f"{nearest(name, header)}; name yours: `columns: {{{column}: ...}}`"
                )
        for row in reader:
            told = {column: (row.get(name) or "").strip() for column, name in names.items()}
            yield (
                reader.line_num,
                {column: composed(v) if column in ("label", "source") else v for column, v in told.items()},
            )
    except csv.Error as error:
        raise ValueError(f"dataset.list: {spec.list}, line {reader.line_num}: {error}; correct it") from error


def masks_beside(images: Iterable[Found], masks: MaskSpec) -> tuple[list[Found], dict[str, str], list[Unmatched]]:
    """Tell images from the masks that lie beside them.

    Returns:
        The images; image to the path of its mask; and masks without an image.
    """
    files = {f.relative: f for f in images}
    stems: dict[str, list[str]] = {}
    for relative in files:
        stems.setdefault(_stem(relative), []).append(relative)
    endings = TOOL_ENDINGS if masks.kind == "pixel_annotation_tool" else (masks.ending,) if masks.ending else ()
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    for relative in files:
        if any(_stem(relative).endswith(ending) for ending in endings):
            continue
        wanted = [r for r in stems.get(_stem(relative) + masks.ending, ()) if _is_mask(r) and r != relative]
        if wanted and not (not masks.ending and _is_mask(relative)):
            pairs[relative] = files[wanted[0]].path
            taken.add(wanted[0])
    loose = {r for r in files if r not in taken and any(_stem(r).endswith(e) for e in endings)}
    owners = set(pairs)
    unmatched = [
        (files[r].path, "a mask without an image of its name")
        for r in sorted(loose)
        if not _has_image(r, owners, endings)
    ]
    return [f for r, f in files.items() if r not in taken | loose], pairs, unmatched


def masks_below(images: Iterable[Found], masks: MaskSpec) -> dict[str, str]:
    """Return image to the path of its mask in a folder of masks: of the same place in it, else of the same name alone.

    Raises:
        ValueError: no such folder, or several masks that could be meant.
    """
    assert masks.root is not None
    files, _ = walked(masks.root)
    places: dict[str, str] = {}
    names: dict[str, list[str]] = {}
    for file in files:
        if _is_mask(file.relative):
            places[_stem(file.relative)] = file.path
            names.setdefault(PurePosixPath(file.relative).stem, []).append(file.path)
    pairs = {}
    for image in images:
        wanted = _stem(image.relative) + masks.ending
        alone = names.get(PurePosixPath(wanted).name, [])
        if wanted in places:
            pairs[image.relative] = places[wanted]
        elif len(alone) > 1:
            raise ValueError(f"masks.root: {image.relative} could mean {alone[:3]}; keep masks in the images' folders")
        elif alone:
            pairs[image.relative] = alone[0]
    return pairs


def _stem(relative: str) -> str:
    return PurePosixPath(relative).with_suffix("").as_posix()


def _is_mask(relative: str) -> bool:
    return PurePosixPath(relative).suffix.lower() in MASK_SUFFIXES


def _has_image(mask: str, owners: set[str], endings: Sequence[str]) -> bool:
    """Whether a mask of another ending is one more of an image that has its own."""
    bare = next((_stem(mask).removesuffix(e) for e in endings if _stem(mask).endswith(e)), _stem(mask))
    return any(_stem(owner) == bare for owner in owners)
