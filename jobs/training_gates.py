"""The gates of a recipe: what its data must pass after they are ingested, before the first worker trains on them."""

from __future__ import annotations

import sys

import numpy as np

from cluster.engine import Engine
from jobs.config import RunConfig
from jobs.curate_frame import lonely
from jobs.curate_subject import Subject, TileSubject
from jobs.curate_windows import WindowSubject
from jobs.gates import QualityFacts, Verdict, announced, drift_verdict, quality_verdicts
from jobs.gates_config import ReferenceDrift, TrainingGates
from jobs.parsing import load
from jobs.quality_gate import outlier_facts, quality_facts
from jobs.training_data import SceneData, TileData, TrainingData
from tiler.scene_windows import NAME, window_name

ADVICE = "leave it out (sandan curate filter or clean, then apply, and data.curation), or loosen the gate"


def passes(data: TrainingData, gates: TrainingGates | None, engine: Engine) -> bool:
    """Return whether ingested data pass the gates of a recipe; what they do not pass is told on stderr."""
    failed = announced([] if gates is None else judge(data, gates, engine))
    if failed:
        print(f"sandan train: nothing was trained: {failed}: {ADVICE}", file=sys.stderr)
    return not failed


def judge(data: TrainingData, gates: TrainingGates, engine: Engine) -> list[Verdict]:
    """Measure what is asked of what curation kept, and judge it."""
    found: list[Verdict] = []
    if gates.asks:
        found += quality_verdicts(gates, measured(data, gates, engine), "data.gates")
    if gates.drift is not None:
        found.append(drift_verdict(_drift(data, gates.drift), "data.gates"))
    return found


def measured(data: TrainingData, gates: TrainingGates, engine: Engine) -> QualityFacts:
    """Return missing ratio and band means of each scene (of its kept windows) or of each kept tile, and outliers."""
    subject: Subject
    if isinstance(data, SceneData):
        subject = WindowSubject(data.run)
    else:
        assert isinstance(data, TileData)
        subject = TileSubject(data.planned)
    subject.look(engine)
    tiles, looks = subject.opened()
    ids = np.array([tile["id"] for tile in tiles.tiles], str)
    kept = ~np.isin(ids, list(data.left_out)) & ~tiles.facts("damaged")
    if isinstance(data, TileData):
        kept &= tiles.facts("missing_ratio") <= np.float32(data.planned.limit)
    owner = np.array([_scene_of(name) for name in ids.tolist()], str) if isinstance(data, SceneData) else ids
    pixels = tiles.facts("height").astype(float) * tiles.facts("width")
    missing = tiles.facts("missing_ratio").astype(float)
    missing_of, level_of = {}, {}
    for name in np.unique(owner[kept]).tolist():
        rows = np.flatnonzero(kept & (owner == name))
        missing_of[name] = float(np.average(missing[rows], weights=pixels[rows]))
        seen = rows[looks.seen[rows]]
        if len(seen):
            weights = pixels[seen] * (1 - missing[seen])
            level_of[name] = np.average(tiles.facts("mean")[seen], axis=0, weights=weights).tolist()
    outliers = None
    if gates.max_outliers is not None:
        scores = np.where(kept, lonely(looks), np.nan)
        outliers = outlier_facts(dict(zip(ids.tolist(), scores.tolist(), strict=True)), gates.outlier_z)
    what = "scene" if isinstance(data, SceneData) else "tile"
    return quality_facts(missing_of, level_of, what, outliers)


def _scene_of(name: str) -> str:
    match = NAME.fullmatch(name)
    assert match is not None
    return match["scene"]


def _drift(data: TrainingData, asked: ReferenceDrift) -> tuple[int | None, str]:
    """Return how many regions drift, None where that cannot be known; and a sentence."""
    from jobs.drift import compare
    from jobs.run_embeddings import read_run

    unknown = "it could not be measured whether the scenes drift"
    if not isinstance(data, SceneData):
        return None, f"{unknown}: a data set has no place on the ground"
    try:
        run, reference = read_run(data.run.config), read_run(load(RunConfig, asked.reference))
        if data.left_out:
            side = int(run.stores[0].items.lattice.tile_px) if run.stores[0].items is not None else 0
            names = [window_name(str(row["scene"]), side, int(row["row"]), int(row["col"])) for row in  # type: ignore[call-overload]
                     (run.row_of(place) for place in range(len(run)))]  # fmt: skip
            run = run.only(~np.isin(names, list(data.left_out)))
        compared = compare(run, reference, asked)
    except ValueError as error:
        return None, f"{unknown}: {error}"
    if not compared.judged:
        return None, f"{unknown}: they share too little ground with {asked.reference}"
    return len(compared.drifting), "; ".join(compared.drifting) or f"no region drifts from {asked.reference}"
