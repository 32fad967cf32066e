"""The tables of the weather document, reported beside measured: Table 1 (found images), Table 2 (recall), states."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.text_table import TextTable
from jobs.weather_scores import IMAGE_METRICS, STRICT, Difference, Score

METHODS = {
    "timely": "timely fine-tuning (proposed)",
    "frozen": "pre-trained ViT, frozen",
    "simclr-as-written": "SimCLR as written (blur triplet)",
    "simclr-ntxent": "SimCLR (two views, NT-Xent)",
}
BASELINES = {
    "pixels": "pooled pixels 8 x 8",
    "pca": "PCA-64 of pixels",
    "season": "the day of the year alone",
    "random": "random vectors",
}
REPORTED_RECALL: dict[str, dict[str, tuple[float, float]]] = {
    "timely": {"lpips": (0.2096, 0.0736), "psnr": (0.2148, 0.0974), "ssim": (0.2210, 0.0749)},
    "frozen": {"lpips": (0.0901, 0.0540), "psnr": (0.0597, 0.0452), "ssim": (0.0788, 0.0519)},
    "simclr-as-written": {"lpips": (0.1191, 0.0650), "psnr": (0.0810, 0.0566), "ssim": (0.1045, 0.0647)},
}
"""Table 2 of the document: mean and standard deviation over queries."""
REPORTED_TOP3 = {"lpips": 0.439, "psnr": 13.09, "ssim": 0.262}
"""Means over Table 1 of the document, of the proposed method."""
DIGITS = {"lpips": 3, "psnr": 2, "ssim": 3}
BEST: dict[str, Callable[[Sequence[float]], float]] = {"lpips": min, "psnr": max, "ssim": max}
STATE_COLUMNS = {
    f"state_ndcg_{STRICT:g}h": "state nDCG@{k}",
    f"typhoon_hit_{STRICT:g}h": "typhoon-hit@3",
    f"same_quadrant_{STRICT:g}h": "same-quadrant@3",
    f"season_error_days_{STRICT:g}h": "season error, days",
    "cross_sensor": "cross-sensor recall@{k}",
    "next_rank": "rank of t + 3 h",
    "ring": "UMAP ring score",
}


def bold_best(values: Sequence[float], metric: str) -> list[str]:
    """Return numbers as text, the best in bold: the smallest LPIPS, the largest PSNR and SSIM.

    Numbers that read the same are the same: all best ones are bold. A value that is unknown (NaN) is a dash.
    """
    shown = [float(f"{v:.{DIGITS[metric]}f}") for v in values]
    known = [v for v in shown if not math.isnan(v)]
    best = BEST[metric](known) if known else math.nan
    texts = ["-" if math.isnan(v) else f"{v:.{DIGITS[metric]}f}" for v in shown]
    return [f"**{text}**" if v == best else text for text, v in zip(texts, shown, strict=True)]


@dataclass(frozen=True)
class Found:
    """An image that a method found for a query."""

    query: str
    """Time of the query."""
    method: str
    rank: int
    time: str
    values: Mapping[str, float]
    """LPIPS, PSNR and SSIM against the query."""


def table_one(found: Sequence[Found], headings: Mapping[str, str]) -> TextTable:
    """Return Table 1: each found image beside its query, the best of each query in bold.

    headings: metric to the heading of its column, in order.
    """
    rows = []
    for query in dict.fromkeys(f.query for f in found):
        here = [f for f in found if f.query == query]
        columns = [bold_best([f.values[metric] for f in here], metric) for metric in headings]
        for place, f in enumerate(here):
            rows.append((query, METHODS.get(f.method, f.method), str(f.rank), f.time, *(c[place] for c in columns)))
    for method in dict.fromkeys(f.method for f in found):
        means = [float(np.mean([f.values[m] for f in found if f.method == method])) for m in headings]
        texts = [f"{mean:.{DIGITS[m]}f}" for m, mean in zip(headings, means, strict=True)]
        rows.append(("mean", METHODS.get(method, method), "1 to 3", "", *texts))
    told = [f"{REPORTED_TOP3[m]:.{DIGITS[m]}f}" if _comparable(heading) else "-" for m, heading in headings.items()]
    rows.append(("mean", "timely, as the document reports", "1 to 3", "", *told))
    caption = (
        "Similarity of the three images that each method found to their query; the best of a query is bold (smallest "
        "LPIPS, largest PSNR and SSIM), equal ones all. Single queries prove nothing: in the document, too, the "
        "proposed method is not best for each of them."
    )
    return TextTable(
        "table1",
        "Table 1: found images",
        caption,
        ("query", "method", "rank", "found", *headings.values()),
        tuple(rows),
    )


def _around(hours: float) -> str:
    return "query" if hours == 0 else f"±{hours:g} h"


def _comparable(heading: str) -> bool:
    """A distance of a random trunk is not LPIPS, and no reported LPIPS stands beside it."""
    return "*" not in heading


Scores = Mapping[str, Mapping[str, Score]]
"""Method, or baseline, to its scores by name."""


def table_two(scores: Scores, headings: Mapping[str, str], chance: float, k: int) -> TextTable:
    """Return Table 2: recall@k by each metric as mean and standard deviation over queries, reported beside measured."""
    rows = []
    for method, by_name in scores.items():
        row = [(METHODS | BASELINES).get(method, method)]
        for metric, heading in headings.items():
            told = REPORTED_RECALL.get(method, {}).get(metric) if _comparable(heading) else None
            row.append("-" if told is None else f"{told[0]:.4f} ± {told[1]:.4f}")
            row.append(_with_spread(by_name.get(f"recall_observed_{metric}_0h")))
        rows.append(tuple(row))
    rows.append(("chance", *(cell for _ in headings for cell in ("-", f"{chance:.4f}"))))
    header = ["method"]
    for heading in headings.values():
        header += [f"{heading}, reported", f"{heading}, measured"]
    caption = (
        f"Recall@{k}: share of the {k} best frames by an image metric among the {k} nearest embeddings, the query "
        "alone left out; mean ± standard deviation over queries (population), in brackets the 95 % interval of the "
        "mean by resampling stretches of ten days."
    )
    return TextTable("table2", f"Table 2: recall@{k}", caption, tuple(header), tuple(rows))


def table_recalls(
    scores: Scores, headings: Mapping[str, str], source: str, hours: Sequence[float], k: int
) -> TextTable:
    """Return recall@k by images of one source, with what is near the query in time left out."""
    columns = [(metric, h) for h in hours for metric in headings]
    rows = [
        (
            (METHODS | BASELINES).get(name, name),
            *(_mean(row.get(f"recall_{source}_{metric}_{h:g}h")) for metric, h in columns),
        )
        for name, row in scores.items()
    ]
    images = {"observed": "Images as the sensor saw them.", "clean": "Images without the faults of sensors."}[source]
    caption = f"Mean recall@{k} where what is near the query in time is no answer. {images} Intervals: scores.json."
    header = ("method", *(f"{headings[metric]}, {_around(h)} out" for metric, h in columns))
    return TextTable(
        f"recalls-{source}", f"Recall@{k} without neighbours in time, {source}", caption, header, tuple(rows)
    )


def table_states(scores: Scores, k: int, base: Mapping[str, float]) -> TextTable:
    """Return scores by what is known of the weather itself.

    base: what random answers give, by name, where that is known.
    """
    names = [n for n in STATE_COLUMNS if any(n in row for row in scores.values())]
    rows = [
        (
            (METHODS | BASELINES).get(name, name),
            *(_short(row.get(n), 3 if n.startswith(("season", "next")) else 4) for n in names),
        )
        for name, row in scores.items()
    ]
    rows.append(("base rate", *(f"{base[n]:.4g}" if n in base else "-" for n in names)))
    caption = (
        f"Frames within {STRICT:g} h of the query are left out. State nDCG: order of the found by the similarity of "
        "the true states. Typhoon scores: share of the three found frames with a typhoon, and with one in the same "
        "quarter, over queries with a typhoon. Season error and rank: less is better; the rank is a median over "
        "queries. Ring score: correlation of the angle in the UMAP plane with the day of the year."
    )
    return TextTable(
        "states",
        "Scores by the known state of the weather",
        caption,
        ("method", *(STATE_COLUMNS[n].format(k=k) for n in names)),
        tuple(rows),
    )


def table_differences(differences: Sequence[Difference]) -> TextTable:
    """Return paired differences with their intervals and whether every seed agrees."""
    rows = [
        (
            d.score,
            d.better,
            d.than,
            f"{d.interval.value:+.4f}",
            _interval(d.interval.low, d.interval.high),
            " ".join(f"{v:+.4f}" for v in d.seeds),
            _verdict(d),
        )
        for d in differences
    ]
    header = ("score", "method", "beside", "difference", "95 % interval", "by seed", "is better")
    caption = (
        "Query by query; positive where the first method is better. An interval that holds 0 proves no difference."
    )
    return TextTable("differences", "Differences of methods", caption, header, tuple(rows))


def _verdict(d: Difference) -> str:
    if d.is_clear:
        return "yes" if d.keeps_order else "yes, but not with every seed"
    return "no: worse" if d.interval.high < 0 else "not shown"


def _with_spread(score: Score | None) -> str:
    if score is None or math.isnan(score.mean):
        return "-"
    return f"{score.mean:.4f} ± {score.sd:.4f} {_interval(score.low, score.high)}"


def _mean(score: Score | None) -> str:
    return "-" if score is None or math.isnan(score.mean) else f"{score.mean:.4f}"


def _short(score: Score | None, digits: int = 4) -> str:
    if score is None or math.isnan(score.mean):
        return "-"
    text = f"{score.mean:.{digits}f}" if digits > 3 else f"{score.mean:.1f}"
    return text if math.isnan(score.low) else f"{text} {_interval(score.low, score.high, digits if digits > 3 else 1)}"


def _interval(low: float, high: float, digits: int = 4) -> str:
    return "[one stretch]" if math.isnan(low) else f"[{low:.{digits}f}, {high:.{digits}f}]"


def headings_of(names: Mapping[str, str]) -> dict[str, str]:
    """Return metrics with their headings in the document's order; names: metric to heading, those there are."""
    return {metric: names[metric] for metric in IMAGE_METRICS if metric in names}


def score_values(scores: Scores) -> dict[str, Any]:
    """Return scores as plain values; NaN becomes null."""

    def plain(value: float) -> float | None:
        return None if math.isnan(value) else value

    return {
        method: {
            name: {
                "mean": plain(s.mean),
                "sd": plain(s.sd),
                "low": plain(s.low),
                "high": plain(s.high),
                "seeds": [plain(v) for v in s.seeds],
            }
            for name, s in row.items()
        }
        for method, row in scores.items()
    }
