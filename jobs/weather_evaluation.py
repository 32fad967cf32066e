"""The evaluation of the weather document: embeddings of some methods and baselines, judged on one gallery of frames."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cluster.engine import Engine
from cluster.storage import Storage
from jobs.weather_gallery import Gallery, gallery_of, same_instants
from jobs.weather_scores import (
    BLOCK_DAYS,
    HOURS,
    STRICT,
    Difference,
    Question,
    Score,
    States,
    difference,
    score_of,
    values_of,
)
from jobs.weather_table import headings_of
from jobs.weather_truth import Lpips, Ranking, find_truth, metric_of
from models.baseline_embeddings import pooled_pixels, principal_components, random_vectors, season_vectors
from models.layout import plane
from models.retrieval import LEAST_GALLERY, chance, excluded
from models.ring_score import ring_score
from tiler.embedding_store import EmbeddingStore

RIVALS = ("frozen", "simclr-as-written")
"""What the document's method is compared with."""
LEAST_STRETCHES = 8
"""Below so many, an interval by resampling them says little."""
STATE_SCORES = tuple(f"{name}_{STRICT:g}h" for name in ("state_ndcg", "typhoon_hit", "same_quadrant"))
"""Scores that the gates judge by: what the weather truly was, not what the pixels look like."""


@dataclass(frozen=True)
class Settings:
    """How the evaluation is done."""

    k: int = 100
    queries: int = 500
    """At most so many of the validation frames ask by image metrics, evenly spread: these cost minutes."""
    state_queries: int = 4000
    """At most so many ask by everything else."""
    gallery: str = "validation"
    """`validation`, or `all` frames."""
    metric_px: int | None = None
    """Images are reduced to it before PSNR, SSIM and LPIPS."""
    lpips: Lpips | None = None
    layouts: bool = True
    """Whether UMAP is run: Figure 2 and the ring score."""


@dataclass(frozen=True)
class Weather:
    """Frames, which of them are validation, and what is known of them."""

    frames: Gallery
    validation: np.ndarray
    """bool (n,)."""
    clean: str | None = None
    """Frame store of the same instants without the faults of sensors."""
    states: States | None = None
    """Of all frames."""

    def of_gallery(self, chosen: np.ndarray) -> Gallery | None:
        """Return clean images at the places of some of the frames; None where an instant has none."""
        if self.clean is None:
            return None
        part, clean = self.frames[chosen], gallery_of([self.clean])
        there = same_instants(part, clean)
        if (there < 0).any():
            return None
        return Gallery(clean.urls, np.zeros(len(part), np.int64), clean.frames[there], part.times)


@dataclass(frozen=True)
class Judged:
    """What the evaluation found."""

    gallery: Gallery
    chosen: np.ndarray
    """Which frames the gallery is, bool (all,)."""
    question: Question
    asked: np.ndarray
    """Which of its queries ask by image metrics, int (q,)."""
    headings: Mapping[str, str]
    """Image metric to the heading of its column."""
    scores: Mapping[str, Mapping[str, Score]]
    differences: tuple[Difference, ...]
    layouts: Mapping[str, np.ndarray]
    """Of the first seed of each method, (all, 2)."""
    base: Mapping[str, float]
    notes: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def stretches(self) -> int:
        """In how many stretches of days the queries lie."""
        return len(np.unique(self.question.blocks))

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Which images recall was measured on."""
        return tuple(dict.fromkeys(name.split("_")[0] for name in self.question.images))


def read_embeddings(urls: Sequence[str], frames: Gallery) -> np.ndarray:
    """Return the embeddings of frames float16 (n, d), zeros for a frame without one.

    urls: an embedding store for each frame store of the gallery.
    Raises ValueError: a store is of other frames.
    """
    out: np.ndarray | None = None
    for index, url in enumerate(urls):
        store, here = EmbeddingStore(url), np.flatnonzero(frames.series == index)
        if len(store) != len(frames.stores[index]) or (store.times[frames.frames[here]] != frames.times[here]).any():
            raise ValueError(f"{url} holds embeddings of other frames than {frames.urls[index]}; embed them again")
        if out is None:
            out = np.zeros((len(frames), store.dimension), np.float16)
        out[here] = store.vectors(frames.frames[here])[0]
    assert out is not None
    return out


def judge(
    engine: Engine,
    storage: Storage,
    weather: Weather,
    embeddings: Mapping[str, Sequence[np.ndarray]],
    settings: Settings,
    seed: int = 0,
) -> Judged:
    """Judge embeddings of all frames by method and seed, beside the baselines that need no network.

    Raises:
        ValueError: too few frames for `settings.k`.
    """
    chosen, notes = _choose(weather, settings)
    gallery = weather.frames[chosen]
    blank = ~np.all([e[chosen].any(1) for by_seed in embeddings.values() for e in by_seed], axis=0)
    queries = _spread(
        np.flatnonzero(weather.validation[chosen] & ~blank), max(settings.state_queries, settings.queries)
    )
    asked = _spread(np.arange(len(queries)), settings.queries)
    headings, images, failed = _image_truth(engine, storage, weather, chosen, queries, asked, settings)
    states = weather.states
    if states is not None:
        states = States(states.vectors[chosen], states.quadrant[chosen])
    question = Question(gallery.times, gallery.series, queries, settings.k, images, states)
    if (stretches := len(np.unique(question.blocks))) < LEAST_STRETCHES:
        notes.append(
            f"The queries lie in {stretches} stretches of {BLOCK_DAYS} days, fewer than {LEAST_STRETCHES}: intervals "
            "are too narrow, and no claim is judged by them."
        )
    rows = {method: [e[chosen] for e in by_seed] for method, by_seed in embeddings.items()}
    rows |= _baselines(gallery, settings.metric_px, seed)
    values = {}
    for name, by_seed in rows.items():
        print(f"scores     {name}", file=sys.stderr)
        values[name] = [values_of(one, question) for one in by_seed]
    scores = {
        name: {score: score_of([v[score] for v in by_seed], question.blocks, score) for score in by_seed[0]}
        for name, by_seed in values.items()
    }
    layouts: dict[str, np.ndarray] = {}
    if settings.layouts:
        layouts = _layouts(embeddings, weather.frames.times, scores, seed)
    names = [n for n in next(iter(scores.values()), {}) if n.startswith("recall_") or n in STATE_SCORES]
    pairs = [(n, "timely", rival) for n in names for rival in RIVALS if {"timely", rival} <= values.keys()]
    pairs += [(STATE_SCORES[0], "timely", "pixels")] if "timely" in values and states is not None else []
    found = [difference(name, first, second, values, question.blocks) for name, first, second in pairs]
    differences = tuple(d for d in found if d is not None)
    return Judged(
        gallery, chosen, question, asked, headings, scores, differences, layouts, _base(question), tuple(notes), failed
    )


def _choose(weather: Weather, settings: Settings) -> tuple[np.ndarray, list[str]]:
    everything, notes = np.ones(len(weather.frames), bool), []
    chosen = everything if settings.gallery == "all" else weather.validation
    least = settings.k + 2 * int(STRICT / 3) * len(weather.frames.urls) + 1
    if chosen.sum() < least and len(everything) >= least:
        notes.append(
            f"The {chosen.sum()} validation frames are too few for {settings.k} answers: the gallery is all "
            f"{len(everything)} frames, those that networks were trained on among them."
        )
        chosen = everything
    if chosen.sum() < least:
        raise ValueError(
            f"recall@{settings.k} without what is within {STRICT:g} h wants a gallery of {least} frames or more, found "
            f"{chosen.sum()}; give more frames"
        )
    if chosen.sum() < LEAST_GALLERY:
        notes.append(
            f"The gallery has {chosen.sum()} frames, fewer than {LEAST_GALLERY}: {settings.k} of them are a large "
            "share, and recall says little."
        )
    return chosen, notes


def _spread(places: np.ndarray, most: int) -> np.ndarray:
    if not len(places):
        raise ValueError("no validation frame has an embedding; look at `embed.missing_limit` and at the split")
    return places[np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int))]


def _image_truth(
    engine: Engine,
    storage: Storage,
    weather: Weather,
    chosen: np.ndarray,
    queries: np.ndarray,
    asked: np.ndarray,
    settings: Settings,
) -> tuple[dict[str, str], dict[str, np.ndarray], dict[str, str]]:
    """Return headings, neighbours by source and metric (of queries not `asked`: -1), and units that failed."""
    metrics = ["psnr", "ssim"] + (["lpips"] if settings.lpips else [])
    headings = headings_of({metric: metric_of(metric, settings.lpips).name for metric in metrics})
    sources = {"observed": weather.frames[chosen], "clean": weather.of_gallery(chosen)}
    images: dict[str, np.ndarray] = {}
    failed: dict[str, str] = {}
    for source, gallery in sources.items():
        if gallery is not None:
            print(f"--- nearest frames by image metrics, {source} images")
            how = Ranking(settings.lpips, settings.metric_px, HOURS, settings.k)
            outcome, found = find_truth(engine, storage, gallery, queries[asked], metrics, how)
            for metric, places in found.items():
                whole = np.full((len(places), len(queries), places.shape[2]), -1, places.dtype)
                whole[:, asked] = places
                images[f"{source}_{metric}"] = whole
            failed |= {f"{source}/{unit}": reason for unit, reason in outcome.failed.items()}
    return headings, images, failed


def _baselines(gallery: Gallery, side_px: int | None, seed: int) -> dict[str, list[np.ndarray]]:
    return {
        "pixels": [pooled_pixels(lambda: gallery.blocks(side_px))],
        "pca": [principal_components(lambda: gallery.blocks(side_px), len(gallery))],
        "season": [season_vectors(gallery.times)],
        "random": [random_vectors(len(gallery), seed=seed)],
    }


def _layouts(
    embeddings: Mapping[str, Sequence[np.ndarray]], times: np.ndarray, scores: Mapping[str, dict[str, Score]], seed: int
) -> dict[str, np.ndarray]:
    """Return the layout of each method's first seed; adds the ring score of all seeds to the scores."""
    first = {}
    nan = float("nan")
    for method, by_seed in embeddings.items():
        print(f"layout     {method}", file=sys.stderr)
        layouts = [plane(one, seed) for one in by_seed]
        rings = tuple(ring_score(layout, times) for layout in layouts)
        scores[method]["ring"] = Score(float(np.mean(rings)), nan, nan, nan, rings)
        first[method] = layouts[0]
    return first


def _base(question: Question) -> dict[str, float]:
    """Return what random answers give."""
    base = {f"season_error_days_{STRICT:g}h": 365.2425 / 4}
    barred = {hours: _barred(question, hours) for hours in HOURS}
    base |= {f"chance_{hours:g}h": chance(len(question.times), question.k, count) for hours, count in barred.items()}
    if question.states is not None:
        quadrant = question.states.quadrant
        storms = question.queries[quadrant[question.queries] >= 0]
        if len(storms):
            allowed = ~excluded(storms, question.times, STRICT)
            same = quadrant[None] == quadrant[storms][:, None]
            for name, right in (("typhoon_hit", allowed & (quadrant >= 0)), ("same_quadrant", allowed & same)):
                base[f"{name}_{STRICT:g}h"] = float((right.sum(1) / allowed.sum(1)).mean())
    if question.crossing is not None:
        base["cross_sensor"] = chance(len(question.crossing[1]), question.k)
    return base


def _barred(question: Question, hours: float) -> float:
    some = question.queries[:: max(1, len(question.queries) // 64)]
    return float(excluded(some, question.times, hours).sum(1).mean())
