"""A collection of images as a list: which files, of which class, source and split, with which masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from tiler.image_finding import Found, Unmatched, class_folders, composed, listed, masks_below, masks_beside, walked
from tiler.image_spec import CollectionSpec, ImagesSpec, MaskSpec, nearest
from tiler.image_split import NAMES, drawn_split
from tiler.tile_store import TileEntry
from tiler.via import Region, counted, read_via


@dataclass(frozen=True)
class ImageItem:
    """One image."""

    entry: TileEntry
    path: str
    mask: str | tuple[Region, ...] | None
    """Path of its mask, or its regions."""
    masks: MaskSpec | None
    """What they mean."""
    group: str = ""
    """Images of one group are never divided by a split; "" is none."""


@dataclass(frozen=True)
class ImageListing:
    """What a collection holds."""

    items: tuple[ImageItem, ...]
    """By id."""
    class_names: tuple[str, ...]
    unmatched: tuple[Unmatched, ...]
    notes: tuple[str, ...]
    """Counts, and what one should know before it is ingested."""
    empty_classes: tuple[str, ...] = ()
    """Classes that are named, by `class_names` or by a folder, and have no image that can be used."""


def list_images(spec: ImagesSpec) -> ImageListing:
    """List the images of a data set.

    Raises:
        ValueError: a folder, list or file of annotations that is not there or not of its form, an unknown source, class
            or split, or nothing that is left.
    """
    items: list[ImageItem] = []
    unmatched: list[Unmatched] = []
    for part in spec.parts:
        some, lost = _of_collection(part, spec)
        items += some
        unmatched += lost
    if not items:
        first = f", the first {unmatched[0][0]}: {unmatched[0][1]}" if unmatched else ""
        raise ValueError(
            f"dataset: no image of {', '.join(part.root for part in spec.parts)} can be used "
            f"({len(unmatched)} files left out{first}); check `root`, `list` and `masks`"
        )
    known = Counter(item.entry.source for item in items)
    items = _chosen(items, spec, known)
    class_names = _class_names(items, spec)
    items = sorted(items, key=lambda item: item.entry.id)
    if spec.split.by == "ratio":
        groups = {item.entry.id: item.group for item in items}
        split = spec.split
        parts = drawn_split([i.entry for i in items], split.validation, split.test_share, split.seed, groups)
        items = [replace(i, entry=replace(i.entry, split=parts[i.entry.id])) for i in items]
    empty = _empty_classes(items, spec)
    return ImageListing(tuple(items), class_names, tuple(sorted(unmatched)), _notes(items, spec, known, empty), empty)


def _of_collection(part: CollectionSpec, spec: ImagesSpec) -> tuple[list[ImageItem], list[Unmatched]]:
    masks = part.masks
    if part.list is None:
        inside = [masks.root] if masks is not None and masks.root is not None else []
        found, unmatched = walked(part.root, inside)
    else:
        found, unmatched = listed(part)
    pairs: dict[str, str | tuple[Region, ...]] = {}
    if masks is not None and masks.kind == "via":
        named, lost = _annotated(found, masks)
        pairs |= named
        unmatched += lost
    elif masks is not None:
        if masks.root is not None:
            pairs |= masks_below(found, masks)
        elif part.list is None:
            found, beside, lost = masks_beside(found, masks)
            pairs |= beside
            unmatched += lost
        else:
            around, _ = walked(part.root)
            _, beside, _ = masks_beside(around, masks)
            pairs |= {f.relative: beside[f.relative] for f in found if f.relative in beside}
        pairs |= _named_masks(found, part, masks)
    items: list[ImageItem] = []
    for image in found:
        entry, why = _entry(image, part, spec)
        mask = pairs.get(image.relative)
        if not why and masks is not None and mask is None and masks.without == "leave_out":
            why = "no mask of its name"
        if why:
            unmatched.append((image.path, why))
        else:
            items.append(ImageItem(entry, image.path, mask, masks, image.told.get("group", "")))
    return items, unmatched


def _named_masks(found: Sequence[Found], part: CollectionSpec, masks: MaskSpec) -> dict[str, str]:
    """Return the masks that a list names."""
    names = {f.relative: f.told["mask"] for f in found if f.told.get("mask")}
    if not names:
        return {}
    there = {f.relative: f.path for f in walked(masks.root or part.root)[0]}
    lost = sorted(name for name in names.values() if composed(name.replace("\\", "/")) not in there)
    if lost:
        where = masks.root or part.root
        raise ValueError(
            f"dataset.list: {part.list} names masks that are not in {where}: {lost[:3]}; correct the column"
        )
    return {image: there[composed(name.replace("\\", "/"))] for image, name in names.items()}


def _annotated(found: Sequence[Found], masks: MaskSpec) -> tuple[dict[str, tuple[Region, ...]], list[Unmatched]]:
    """Match images with the annotations of VIA: by their place below the folder, else by their name alone."""
    told = {composed(name): regions for name, regions in read_via(str(masks.file)).items()}
    counts = counted(told, masks.attribute)
    absent = sorted(set(masks.classes) - set(counts))
    if absent:
        values = ", ".join(f"{value or '(none)'} {count}" for value, count in counts.most_common(10)) or "no region"
        raise ValueError(
            f"masks.classes: no region of {masks.file} has {masks.attribute} = {absent[0]!r}; found {values}"
            f"{nearest(absent[0], list(counts))}"
        )
    names = Counter(PurePosixPath(f.relative).name for f in found)
    pairs, used = {}, set()
    for image in found:
        name = PurePosixPath(image.relative).name
        key = image.relative if image.relative in told else name
        if key in told and (key == image.relative or names[name] == 1):
            pairs[image.relative] = told[key]
            used.add(key)
        elif key in told:
            raise ValueError(f"masks.file: {name} is the name of {names[name]} images; write their folders in the JSON")
    return pairs, [(name, "annotations name it, no such image") for name in sorted(set(told) - used)]


def _entry(image: Found, part: CollectionSpec, spec: ImagesSpec) -> tuple[TileEntry, str]:
    """Return what is known of an image, and why it is left out, if it is."""
    folders = list(PurePosixPath(image.relative).parts[:-1])
    source = image.told.get("source") or part.name
    split = label = why = ""
    if spec.split.by == "folder":
        split = NAMES.get(folders.pop(0).lower(), "") if folders else ""
        why = "" if split else "its first folder is not train, validation or test"
    elif spec.split.by == "list":
        told = image.told.get("split", "")
        split = NAMES.get(told.lower(), "")
        if told and not split:
            raise ValueError(f"dataset.list: {image.relative} has split {told!r}; known are {sorted(NAMES)}")
    if part.classes == "folder" and not why:
        label = folders[0] if folders else ""
        why = "" if label else "it lies in no folder that names a class"
    elif part.classes == "list":
        label = image.told["label"]
    name = f"{part.name}/{image.relative}" if part.name else image.relative
    return TileEntry(name, split, "", source, label), why


def _chosen(items: list[ImageItem], spec: ImagesSpec, known: Counter[str]) -> list[ImageItem]:
    """Return the images of the sources that are asked for: collections, or sources that a list names."""
    names = set(known) | {part.name for part in spec.parts}
    for source in spec.sources:
        if source not in names:
            raise ValueError(
                f"dataset.sources: {source!r} is unknown; there are {sorted(names)}{nearest(source, sorted(names))}"
            )
    if not spec.sources:
        return items
    parts = tuple(f"{part.name}/" for part in spec.parts if part.name in spec.sources and part.name)
    kept = [i for i in items if i.entry.source in spec.sources or (parts and i.entry.id.startswith(parts))]
    if not kept:
        raise ValueError(f"dataset.sources: {list(spec.sources)} have no image that can be used; take others")
    return kept


def _class_names(items: Sequence[ImageItem], spec: ImagesSpec) -> tuple[str, ...]:
    found = {item.entry.label for item in items} - {""}
    if not spec.class_names:
        return tuple(sorted(found))
    for item in items:
        if item.entry.label and item.entry.label not in spec.class_names:
            raise ValueError(
                f"dataset.class_names: {item.entry.id} is of class {item.entry.label!r}, which is not among "
                f"{list(spec.class_names)}{nearest(item.entry.label, spec.class_names)}; add it, or correct the image's"
            )
    return tuple(sorted(spec.class_names))


def _empty_classes(items: Sequence[ImageItem], spec: ImagesSpec) -> tuple[str, ...]:
    """Return the classes that are named and have no image: by the run, or by a folder of a collection that is used."""
    named = set(spec.class_names)
    for part in spec.parts:
        if part.classes == "folder" and part.list is None and (not spec.sources or part.name in spec.sources):
            masks = [part.masks.root] if part.masks is not None and part.masks.root is not None else []
            named |= class_folders(part.root, masks, NAMES if spec.split.by == "folder" else ())
    return tuple(sorted(named - {item.entry.label for item in items}))


def _notes(items: Sequence[ImageItem], spec: ImagesSpec, known: Counter[str], empty: Sequence[str]) -> tuple[str, ...]:
    """Return sentences with all counts."""
    notes = []
    if set(known) != {""}:
        used = Counter(item.entry.source for item in items)
        told = ", ".join(f"{name or '(none)'} {used[name]:,} of {known[name]:,}" for name in sorted(known))
        notes.append(f"sources: {told} images used")
    labels = Counter(item.entry.label for item in items)
    if set(labels) != {""}:
        notes.append("classes: " + ", ".join(f"{name or '(none)'} {labels[name]:,}" for name in sorted(labels)))
        alone = [name for name in sorted(labels) if labels[name] == 1 and name]
        notes += [f"class {name} has one image: it cannot both train and be judged" for name in alone]
        notes += [f"class {name} has no image that can be used" for name in empty]
    parts = Counter(item.entry.split for item in items)
    told = ", ".join(f"{part or 'nobody said'} {parts[part]:,}" for part in sorted(parts))
    notes.append(f"split: {told}")
    if spec.split.same_as_val:
        notes.append("WARNING: test is the same as validation: what chose the network also judges it, in its favour")
    return tuple(notes)
