"""Are the synthetic image collections hard for the right reason? What needs no context must not solve them.

    python benchmarks/collection_guards.py --photos 120 --images 3000

Scratches: the best of thresholds of brightness, of local contrast (bright, dark, both) and of Canny's edges, each
chosen on photos of one seed and judged on those of another; the label against what is truly scratched (no network can
be expected far above); how far grey values go with true colours, before and after the wide light is taken out.
Illustrations: the best threshold of the mean pixel that tells photos, a tree that tells twenty classes by the mean, the
shape of the counts, and copies found by a difference hash.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.metrics import balanced_accuracy_score
from sklearn.tree import DecisionTreeClassifier

from models.contrast_rules import best_rules, grey, iou
from tiler.synthetic.illustrations import CONTAMINATED, IllustrationWorld, encoded, items_of
from tiler.synthetic.scratches import SOURCES, Photo, take_photo

Array = np.ndarray
HASH_BITS = 12
"""Bits of 256 by which copies may differ."""


def photos_of(seed: int, count: int, side_px: int) -> list[Photo]:
    """Return photos of both sources in turn."""
    return [take_photo(SOURCES[n % 2], seed, n, side_px) for n in range(count)]


def scratch_rules(training: Sequence[Photo], judged: Sequence[Photo]) -> dict[str, float]:
    """Return the IoU of the best rule of each family, chosen on the training photos."""
    images, labels = [grey(p.pixels) for p in training], [p.label for p in training]
    seen, truth = [grey(p.pixels) for p in judged], [p.label for p in judged]
    rules = best_rules(images, labels)
    out = {name: iou([rule(image) for image in seen], truth) for name, rule in rules.items()}
    scratched = [p for p in judged if p.label.any()]
    out["nothing, on photos with scratches"] = iou(
        [np.zeros_like(p.label) for p in scratched], [p.label for p in scratched]
    )
    out["everything"] = iou([np.ones_like(t) for t in truth], truth)
    out["what is truly scratched"] = iou([p.scratched for p in judged], truth)
    return out


def light_rows(photos: Sequence[Photo]) -> dict[str, float]:
    """Return how far grey values go with those of the true colours (Pearson, mean over photos)."""

    def along(one: Array, other: Array) -> float:
        return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])

    flat = []
    for photo in photos:
        image, side = np.log(grey(photo.pixels) + 0.02), max(photo.label.shape)
        flat.append(image - gaussian_filter(image, side / 12))
    truth = [grey(p.albedo) for p in photos]
    detail = [np.log(t + 0.02) - gaussian_filter(np.log(t + 0.02), max(t.shape) / 12) for t in truth]
    return {
        "photo and true colour": float(np.mean([along(grey(p.pixels), t) for p, t in zip(photos, truth, strict=True)])),
        "photo and detail of the true colour": float(
            np.mean([along(grey(p.pixels), d) for p, d in zip(photos, detail, strict=True)])
        ),
        "photo without its wide light, and that detail": float(
            np.mean([along(f, d) for f, d in zip(flat, detail, strict=True)])
        ),
        "photo and light": float(np.mean([along(grey(p.pixels), p.light) for p in photos])),
    }


def images_of(world: IllustrationWorld) -> Iterator[tuple[str, bool, str, float, int]]:
    """Yield label, whether a photo, group of copies, mean pixel and difference hash of every image."""
    for label in world.counts:
        items = items_of(world, label)
        for item in items:
            source = items[item.original] if item.exact and item.original is not None else item
            picture = Image.open(BytesIO(encoded(world, source))).convert("RGB")
            first = item.number if item.original is None else item.original
            yield label, item.photo, f"{label}-{first}", float(np.asarray(picture).mean()), difference_hash(picture)


def difference_hash(picture: Image.Image) -> int:
    """Return 256 bits: is each of 16 x 16 places brighter than its right neighbour, by three levels at least?"""
    small = np.asarray(picture.convert("L").resize((17, 16), Image.Resampling.BOX), int)
    return int("".join("1" if bit else "0" for bit in (small[:, :-1] > small[:, 1:] + 3).ravel()), 2)


def best_f1(values: Array, truth: Array) -> float:
    """Return the F1 of the best threshold below which `truth` is said to hold."""
    order = np.argsort(values, kind="stable")
    hits = np.cumsum(truth[order])
    said = np.arange(1, len(values) + 1)
    return float((2 * hits / (said + truth.sum())).max())


def illustration_rows(world: IllustrationWorld) -> dict[str, float]:
    """Return what the mean pixel and hashes tell of a world."""
    columns = list(zip(*images_of(world), strict=True))
    labels, photo, groups, means = (np.array(column) for column in columns[:4])
    hashes = columns[4]
    flagged = np.isin(labels, CONTAMINATED)
    half = np.arange(len(labels)) % 2 == 0
    tree = DecisionTreeClassifier(max_leaf_nodes=60, min_samples_leaf=3, class_weight="balanced", random_state=0)
    chosen = {"all images": np.ones(len(labels), bool), "illustrations alone": ~photo}
    out = {
        "F1 of photos by the mean, in the five classes": best_f1(means[flagged], photo[flagged]),
        "share of photos in the five classes": float(photo[flagged].mean()),
    }
    for name, rows in chosen.items():
        tree.fit(means[half & rows, None], labels[half & rows])
        told = tree.predict(means[~half & rows, None])
        out[f"balanced accuracy of a tree of the mean, {name}"] = float(
            balanced_accuracy_score(labels[~half & rows], told)
        )
    counts = sorted(Counter(labels.tolist()).values())
    out["largest two classes over the mean of the rest"] = float(np.mean(counts[-2:]) / np.mean(counts[:-2]))
    out["smallest class, share"] = counts[0] / sum(counts)
    pairs = found = wrong = 0
    for label in world.counts:
        rows = np.flatnonzero(labels == label)
        for place, one in enumerate(rows):
            apart = [(hashes[one] ^ hashes[other]).bit_count() for other in rows[:place]]
            near = np.array(apart, int) <= HASH_BITS
            same = groups[rows[:place]] == groups[one]
            pairs, found, wrong = pairs + same.sum(), found + (near & same).sum(), wrong + (near & ~same).sum()
    out["pairs of copies found by hash"] = float(found / pairs) if pairs else float("nan")
    out["pairs found that are none, per image"] = float(wrong / len(labels))
    return out


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, default=120)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--out", help="JSON")
    arguments = parser.parse_args()
    training, judged = (photos_of(seed, arguments.photos, arguments.side) for seed in (1, 2))
    tables = {
        "scratches: IoU": scratch_rules(training, judged),
        "scratches: correlation": light_rows(judged),
        "illustrations": illustration_rows(IllustrationWorld(1, arguments.images, 2)),
    }
    for title, rows in tables.items():
        print(f"\n| {title} | |\n| --- | --- |")
        for name, value in rows.items():
            print(f"| {name} | {value:.3f} |")
    if arguments.out:
        with open(arguments.out, "w") as file:
            json.dump({"settings": vars(arguments), **tables}, file, indent=1)


if __name__ == "__main__":
    main()
