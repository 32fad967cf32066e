"""Cleaning: reducers x k-means++ over suspected classes, the clustering to believe, and the cluster to remove."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jobs.curate_frame import Frame
from jobs.curate_looks import Looks
from jobs.curate_subject import Tiles
from models.cluster_choice import Choice, choose_clustering, suspect_cluster
from models.clustering import SAMPLE, ScoredClustering, clustered, same_division, scored
from models.dark_objects import dark_objects
from models.outliers import class_levels
from models.reducers import common_space, mean_pool, pca, random_projection
from models.texture import gradient_histogram
from tiler.sensors import Sensor

Reducer = Callable[[np.ndarray, int], np.ndarray]
"""float (n, band, y, x) and a seed to float (n, d)."""
REDUCERS: dict[str, Reducer] = {
    "random": lambda images, seed: random_projection(images.reshape(len(images), -1), seed=seed),
    "pca": lambda images, seed: pca(images.reshape(len(images), -1), seed=seed),
    "mean_pool": lambda images, seed: mean_pool(images, min(4, *images.shape[2:])),
}
PIXEL_REDUCERS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "texture": gradient_histogram,
    "dark_objects": dark_objects,
}
"""Those that look at the pixels of the tiles themselves: image, valid and full scale to float (d,)."""
KNOWN = (*REDUCERS, *PIXEL_REDUCERS)
STATISTICS = {"pixel": "mean pixel", "near_white": "near-white share", "missing_ratio": "missing ratio"}
"""Columns by which clusters are compared with classes that are not suspected."""


@dataclass(frozen=True, eq=False)
class Cleaning:
    """What was found in some tiles."""

    rows: np.ndarray
    """int64 (n,): of the store."""
    classes: tuple[str, ...]
    """Whose tiles they are; empty for all."""
    found: tuple[ScoredClustering, ...]
    suspected: tuple[Choice, ...]
    """The suspect cluster of each clustering."""
    chosen: Choice
    """Index into `found`."""

    @property
    def suspect(self) -> Choice:
        """Suspect cluster of the chosen clustering."""
        return self.suspected[self.chosen.index]

    @property
    def notes(self) -> list[str]:
        """Sentences on what a reader should know: reducers that agree on every image."""
        return [
            f"{one.clustering.reducer} and {other.clustering.reducer} put the same images together: their rows differ "
            "in scores of their own spaces alone"
            for place, one in enumerate(self.found)
            for other in self.found[place + 1 :]
            if same_division(one.clustering, other.clustering)
        ]

    @property
    def best(self) -> ScoredClustering:
        """The chosen clustering."""
        return self.found[self.chosen.index]

    def by_user(self, reducer: str) -> Cleaning:
        """Return the same with the clustering that the user names instead of the chosen one.

        Raises:
            ValueError: no such reducer was asked for.
        """
        names = [one.clustering.reducer for one in self.found]
        if reducer not in names:
            raise ValueError(f"--reducer {reducer}: clustered were {sorted(names)}; name one of them")
        return replace(self, chosen=Choice(names.index(reducer), f"{reducer}: named by the user (--reducer)"))


def suspects(frame: Frame, usable: np.ndarray, wanted: str | None, bound: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return which tiles to cluster, int64, and the classes that they are of (none for all).

    Args:
        frame: of all tiles.
        usable: bool (n,): kept so far, with a valid pixel.
        wanted: classes with commas between, "all", or None for the classes with an odd mean pixel. Where no image has a
            class, None takes all.
        bound: robust z from which a class is odd.

    Raises:
        ValueError: a class that is unknown.
    """
    labels = frame["label"]
    if wanted == "all" or (wanted is None and not (labels != "").any()):
        return np.flatnonzero(usable), ()
    if wanted is None:
        levels = class_levels(labels[usable].tolist(), frame["pixel"][usable], bound)
        classes = tuple(one.name for one in levels if one.flagged)
    else:
        classes = tuple(name.strip() for name in wanted.split(","))
        unknown = sorted(set(classes) - set(labels.tolist()) | {"" for name in classes if not name})
        if unknown:
            known = sorted(set(labels.tolist()) - {""})
            raise ValueError(f"--classes: {unknown} are no classes of the data set; it has {known or 'none'}")
    return np.flatnonzero(usable & np.isin(labels, classes)), classes


def cleaned(
    frame: Frame,
    looks: Looks,
    usable: np.ndarray,
    chosen: tuple[np.ndarray, tuple[str, ...]],
    reducers: Sequence[str],
    given: Mapping[str, np.ndarray],
    clusters: int = 2,
    seed: int = 0,
    sample: int = SAMPLE,
) -> Cleaning:
    """Cluster tiles in the space of every reducer and judge.

    Args:
        frame: of all tiles.
        looks: of all tiles.
        usable: bool (n,): kept so far, with a valid pixel.
        chosen: what to cluster, of `suspects`.
        reducers: names of `REDUCERS`.
        given: name to float (n, any), vectors of all tiles that were made elsewhere; rows of NaN are lacking.
        clusters: of each clustering.
        seed: of reducers and starts.
        sample: rows beyond which the silhouette is that of a sample.

    Raises:
        ValueError: fewer tiles than clusters, vectors that lack a tile, or nothing to tell apart.
    """
    rows, classes = chosen
    pictures = looks.pictures[rows].astype(np.float64)
    if len(rows) > clusters:  # bands of different units count alike; brightness stays
        spread = pictures.std(axis=(0, 2, 3), keepdims=True)
        pictures /= np.where(spread > 0, spread, 1.0)
    spaces = {name: REDUCERS[name](pictures, seed) for name in reducers} if len(rows) else {}
    for name, vectors in given.items():
        lacking = int(np.isnan(vectors[rows]).any(axis=1).sum())
        if lacking:
            raise ValueError(f"--vectors {name}: {lacking} of {len(rows)} tiles have none; make vectors of all")
        spaces[name] = vectors[rows]
    if len(rows) <= clusters:
        raise ValueError(
            f"{clusters} clusters of {len(rows)} tiles{' of ' + ', '.join(classes) if classes else ''}: there must be "
            "more tiles than clusters; name more classes, or ask for fewer clusters"
        )
    common = common_space(pictures.reshape(len(rows), -1), seed=seed)
    found = tuple(
        scored(clustered(name, space, clusters, seed), common, sample, seed) for name, space in spaces.items()
    )
    suspected = tuple(suspect_of(frame, usable, rows, one) for one in found)
    return Cleaning(rows, classes, found, suspected, choose_clustering(found))


def usual_reducers(sensor: Sensor) -> list[str]:
    """Return the reducers that need no network: `dark_objects` where a sensor looks at the ground (`nir`) only."""
    return [name for name in KNOWN if name != "dark_objects" or "nir" in sensor.bands]


def of_pixels(names: Sequence[str], store: Tiles, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return what reducers make of the pixels of tiles: name to float64 (n, d) for all n tiles, NaN where not asked.

    Args:
        names: of `PIXEL_REDUCERS`.
        store: the tiles.
        rows: int64 (k,): which; they are read one by one, once for all reducers.
    """
    found: dict[str, np.ndarray] = {}
    for row in rows.tolist() if names else ():
        image, valid = store.read("image", row), store.read("valid", row)
        for name in names:
            numbers = PIXEL_REDUCERS[name](image, valid, store.sensor.valid_max)
            found.setdefault(name, np.full((len(store.tiles), len(numbers)), np.nan))[row] = numbers
    return found


def suspect_of(frame: Frame, usable: np.ndarray, rows: np.ndarray, one: ScoredClustering) -> Choice:
    """Return which cluster is less like the tiles that were not clustered."""
    numbers = np.column_stack([np.nan_to_num(frame[name].astype(float)) for name in STATISTICS])
    others = usable.copy()
    others[rows] = False
    return suspect_cluster(numbers[rows], one.clustering.labels, numbers[others], tuple(STATISTICS.values()))


def score_rows(cleaning: Cleaning) -> list[dict[str, Any]]:
    """Return a row for every clustering: sizes and scores."""
    return [
        {
            "reducer": one.clustering.reducer,
            "sizes": "/".join(map(str, one.clustering.sizes)),
            "dimension": one.clustering.features.shape[1],
            "silhouette": one.own.silhouette,
            "davies_bouldin": one.own.davies_bouldin,
            "common_silhouette": one.common.silhouette,
            "common_davies_bouldin": one.common.davies_bouldin,
            "chosen": place == cleaning.chosen.index,
            "suspect": cleaning.suspected[place].index,
        }
        for place, one in enumerate(cleaning.found)
    ]


def read_vectors(spec: str, ids: Sequence[str]) -> tuple[str, np.ndarray]:
    """Read vectors that were made elsewhere (codes of an autoencoder, embeddings).

    Args:
        spec: NAME=FILE.npz, with arrays `ids` (str) and `vectors` (float, one row for each id).
        ids: of all tiles.

    Returns:
        The name, and float64 (n, d) in the order of the tiles, NaN where a tile has none.

    Raises:
        ValueError: no such file or arrays, or ids that are unknown.
    """
    name, _, path = spec.partition("=")
    if not path or not name or name in KNOWN:
        raise ValueError(f"--vectors {spec}: NAME=FILE.npz is needed, with another name than {', '.join(KNOWN)}")
    if not Path(path).is_file():
        raise ValueError(f"--vectors {spec}: no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            named, vectors = np.asarray(file["ids"], str), np.asarray(file["vectors"], np.float64)
    except (KeyError, ValueError, OSError, TypeError, AttributeError) as error:
        raise ValueError(
            f"--vectors {spec}: numpy.savez with the arrays ids (text) and vectors (numbers) is needed ({error})"
        ) from error
    if vectors.ndim != 2 or len(vectors) != len(named):
        raise ValueError(
            f"--vectors {spec}: {len(named)} ids and vectors of shape {vectors.shape}; give one row per id"
        )
    place = {one: row for row, one in enumerate(ids)}
    unknown = [one for one in named.tolist() if one not in place]
    if unknown:
        raise ValueError(f"--vectors {spec}: {len(unknown)} ids are not in the data set, such as {unknown[:3]}")
    out = np.full((len(ids), vectors.shape[1]), np.nan)
    out[[place[one] for one in named.tolist()]] = vectors
    return name, out
