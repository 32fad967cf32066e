"""The four seasonal queries of the weather document, and what each method finds for them: Table 1 and Figure 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import torch

from jobs.weather_figures import Panel, contact_sheet
from jobs.weather_gallery import Gallery
from jobs.weather_scores import STRICT, TOP
from jobs.weather_table import Found
from models.image_distance import ImageMetric
from models.retrieval import YEAR_DAYS, cosine, day_of_year, neighbours

DATES = (date(2019, 2, 12), date(2019, 8, 3), date(2019, 10, 8), date(2019, 12, 24))
"""Queries of the document. Its text also has 18 October; the typhoon that it shows was there on the 8th."""
HOUR_UTC = 3
"""Noon in Korea; the document does not say an hour."""
NEAR_DAYS = 1.0


def season_queries(times: np.ndarray, dates: Sequence[date]) -> list[int]:
    """Return the frame of each date: that nearest to noon in Korea, else of the nearest day of any year, the latest.

    Dates that fall on one frame, in a short series, are one query. times: datetime64[s] (n,).
    """
    out: list[int] = []
    for day in dates:
        wanted = np.datetime64(day, "s") + np.timedelta64(HOUR_UTC, "h")
        away = np.abs((times - wanted) / np.timedelta64(1, "D"))
        if away.min() > NEAR_DAYS:
            in_year = np.abs(day_of_year(times) - day_of_year(np.array([wanted]))[0])
            away = np.minimum(in_year, YEAR_DAYS - in_year)
            away = np.where(away <= away.min() + 1e-6, -np.arange(len(times), dtype=float), np.inf)
        out.append(int(away.argmin()))
    return list(dict.fromkeys(out))


def top_found(embeddings: np.ndarray, queries: Sequence[int], chosen: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the frames of the gallery nearest to each query (q, 3), none within 72 h of it.

    embeddings: (n, d) of all frames; queries: any of them; chosen: bool (n,): the gallery.
    """
    alike = cosine(embeddings)

    def similarity(places: np.ndarray) -> np.ndarray:
        return np.where(chosen, alike(places), -np.inf)

    return neighbours(similarity, np.array(queries), times, STRICT, TOP)


@torch.inference_mode()
def season_results(
    frames: Gallery,
    queries: Sequence[int],
    found: Mapping[str, np.ndarray],
    metrics: Mapping[str, ImageMetric],
    metric_px: int | None,
) -> tuple[list[Found], bytes]:
    """Return every found image with its values against the query (Table 1), and the contact sheet (Figure 1).

    found: method to the places (q, 3); metrics: by their names in tables.
    """
    rows, sheet = [], []
    for line, query in enumerate(queries):
        own = frames.images(np.array([query]))
        told = _text(frames.times[query])
        panels: dict[str, list[Panel]] = {}
        for method, places in found.items():
            images = [frames.images(places[line][rank : rank + 1])[0] for rank in range(TOP)]
            panels[method] = [Panel(i, _text(frames.times[p])) for i, p in zip(images, places[line], strict=True)]
            small = [frames.images(np.array([p]), metric_px) for p in (query, *places[line])]
            pair = [torch.from_numpy(np.concatenate(part)) for part in (small[:1], small[1:])]
            values = {n: m.compare(m.prepare(pair[0]), m.prepare(pair[1]))[0].tolist() for n, m in metrics.items()}
            rows += [
                Found(told, method, rank + 1, _text(frames.times[p]), {name: v[rank] for name, v in values.items()})
                for rank, p in enumerate(places[line])
            ]
        sheet.append((Panel(own[0], told), panels))
    return rows, contact_sheet(sheet)


def _text(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")
