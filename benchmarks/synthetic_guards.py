"""Is the synthetic country hard for the right reason? Colour alone must not find its factories; a small network must.

    python benchmarks/synthetic_guards.py --windows 240 --epochs 20 --seeds 3

Draws windows of the country (half around an estate, half anywhere on land), trains a light U-Net++ on some of them
and judges it on windows of *another seed*, beside what needs no context: all background, the best NDVI interval, and
logistic regressions of single pixels (linear and with all squares and products of bands and NDVI). Each baseline may
choose the threshold that suits its training pixels best. Prints mIoU, and the IoU of industry alone, then by how much
the network is above the best of those that need no context: the mean over seeds of the network (its first weights and
the order of its samples), and Student's interval of 95 %. The windows are the same for all seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from models.confusion import confusion
from models.metrics import scores
from models.networks import NetworkSpec
from models.pixel_rules import LogisticRule, NdviRule, PixelSample
from models.train import EpochReport, TrainSpec, train
from models.weights import build_with_weights
from tiler.grids import PixelGrid
from tiler.synthetic.acquisition import Acquisition
from tiler.synthetic.canvas import transformer
from tiler.synthetic.country import WORLD_CRS, Country
from tiler.synthetic.noise import Dice
from tiler.synthetic.render import render

UTM = "EPSG:32652"
BOUNDS = (250_000.0, 3_880_000.0, 520_000.0, 4_150_000.0)
"""Where windows are drawn, metres of `UTM`: x0, y0, x1, y1."""
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantile of Student's t for 1, 2, ... degrees of freedom."""
RED, NIR = 0, 3


@dataclass(eq=False)
class Windows:
    """Windows in memory, as a reader for `models.train`."""

    images: np.ndarray
    """float32 (window, band + mask, y, x)."""
    labels: np.ndarray
    """uint8 (window, y, x)."""
    flips: bool = False
    epoch: int = 0

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return one window, turned at random while training."""
        image, label = self.images[index], self.labels[index]
        if self.flips:
            turn = int(Dice(self.epoch, index).unit() * 8)
            image, label = np.rot90(image, turn % 4, (1, 2)), np.rot90(label, turn % 4)
            if turn >= 4:
                image, label = image[:, :, ::-1], label[:, ::-1]
        return np.ascontiguousarray(image), np.ascontiguousarray(label)

    def set_epoch(self, epoch: int) -> None:
        """Remember the epoch."""
        self.epoch = epoch


def draw_windows(seed: int, count: int, side_px: int, exact: bool) -> Windows:
    """Return windows of the country of a seed; labels are exact, or as drawn by hand."""
    country, dice = Country(seed), Dice(seed, 9)
    to_world, to_utm = transformer(UTM, WORLD_CRS), transformer(WORLD_CRS, UTM)
    images, labels = [], []
    while len(images) < count:
        x, y = dice.between(BOUNDS[0], BOUNDS[2]), dice.between(BOUNDS[1], BOUNDS[3])
        east, north = to_world.transform(x, y)
        if country.terrain.at(np.array([east]), np.array([north])).height_m[0] < 0:
            continue
        if len(images) % 2:
            found = country.estates_within((east - 6e3, north - 6e3, east + 6e3, north + 6e3))
            estates = [s for s in found if s.kind == "estate"]
            if not estates:
                continue
            near = estates[int(dice.unit() * len(estates))]
            x, y = to_utm.transform(near.x_m, near.y_m)
            x, y = x + dice.between(-1_500, 1_500), y + dice.between(-1_500, 1_500)
        half = side_px * 5
        origin = round(x / 10) * 10 - half, round(y / 10) * 10 + half
        grid = PixelGrid(UTM, (10.0, 0.0, origin[0], 0.0, -10.0, origin[1]), side_px, side_px)
        day = date(2024, 1 + int(dice.unit() * 12), 1 + int(dice.unit() * 28))
        clouds = 0.05 if dice.unit() < 0.3 else 0.0
        seen = render(country, grid, Acquisition("SN10", day, clouds=clouds), grid.box)
        images.append(np.concatenate([seen.image.astype(np.float32), np.zeros((1, side_px, side_px), np.float32)]))
        label = (seen.truth if exact else seen.label).astype(np.uint8)
        label[seen.clouds == 1] = 255
        labels.append(label)
    return Windows(np.stack(images), np.stack(labels), flips=not exact)


def miou(label: np.ndarray, positive: np.ndarray) -> dict[str, float]:
    """Return mIoU and the IoU of industry."""
    return _told(scores(confusion(label.ravel(), positive.ravel().astype(np.uint8), 2)))


def _told(found: Mapping[str, float]) -> dict[str, float]:
    return {"mIoU": found["mIoU"], "IoU of industry": found.get("iou_fg", found.get("iou_1", float("nan")))}


def baselines(training: Windows, judged: Windows) -> dict[str, dict[str, float]]:
    """Return the scores of what needs no context."""
    out = {"all background": miou(judged.labels, np.zeros_like(judged.labels))}
    known = training.labels != 255
    learnt, seen = np.moveaxis(training.images[:, :4], 1, 0)[:, known], np.moveaxis(judged.images[:, :4], 1, 0)
    labels = training.labels[known]
    sample = PixelSample.of(learnt, labels, RED, NIR, most=400_000, seed=0)
    out["NDVI interval"] = miou(judged.labels, NdviRule.fit(sample.ndvi).predict(seen[RED], seen[NIR]))
    counts = np.ones(sample.labels.size)
    for name, squares in (("logistic, linear", False), ("logistic, quadratic", True)):
        rule = LogisticRule.fit(sample.bands, sample.labels, counts, RED, NIR, squares)
        out[name] = miou(judged.labels, rule.predict(seen))
    return out


def network_scores(
    training: Windows,
    judged: Windows,
    epochs: int,
    encoder: str,
    architecture: str,
    seed: int,
    said: Callable[[str], None],
) -> dict[str, float]:
    """Train a light network on the windows and return its scores on the others."""
    mean, deviation = training.images.mean((0, 2, 3)), training.images.std((0, 2, 3))
    mean[4], deviation[4] = 0, 1
    spec = NetworkSpec(architecture=architecture, encoder=encoder, in_channels=5)
    network, _ = build_with_weights(spec, f"random:{seed + 1}", offset=mean.tolist(), scale=deviation.tolist())
    last: list[EpochReport] = []

    def on_epoch(report: EpochReport) -> None:
        last.append(report)
        said(f"epoch {report.epoch + 1}/{epochs} loss {report.training_loss:.3f} {report.validation.get('mIoU')}")

    settings = TrainSpec(epochs=epochs, batch=8, learning_rate=2e-3, seed=seed)
    train(network, training, judged, settings, on_epoch=on_epoch)
    return _told(last[-1].validation)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half the width of Student's 95 % interval of it; infinite for a single value."""
    mean, n = float(np.mean(values)), len(values)
    return mean, float("inf") if n == 1 else STUDENT[n - 2] * float(np.std(values, ddof=1)) / n**0.5


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--windows", type=int, default=240)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--encoder", default="tu-mobilenetv3_small_100")
    parser.add_argument("--architecture", default="unetplusplus")
    parser.add_argument("--seeds", type=int, choices=range(1, len(STUDENT) + 2), default=1, help="of the network")
    arguments = parser.parse_args()
    training = draw_windows(1, arguments.windows, arguments.side, exact=False)
    judged = draw_windows(2, arguments.windows // 3, arguments.side, exact=True)
    share = float((judged.labels == 1).mean())
    print(
        f"{len(training)} + {len(judged)} windows of {arguments.side} px; industry {share:.3f} of the judged pixels",
        flush=True,
    )
    table = baselines(training, judged)
    print(json.dumps(table), flush=True)
    best = {score: max(row[score] for row in table.values()) for score in ("mIoU", "IoU of industry")}
    network, shape = f"{arguments.architecture}, {arguments.encoder}", (arguments.encoder, arguments.architecture)
    for seed in range(arguments.seeds):
        table[f"{network}, seed {seed}"] = network_scores(
            training, judged, arguments.epochs, *shape, seed, lambda text: print(text, flush=True)
        )
    for row, values in table.items():
        print(f"{row:45} " + "  ".join(f"{k} {v:.3f}" for k, v in values.items()))
    for score, floor in best.items():
        margins = [values[score] - floor for row, values in table.items() if row.startswith(network)]
        mean, half = interval(margins)
        print(f"{score} above the best pixel rule: {mean:.3f} +- {half:.3f} ({len(margins)} seeds)")


if __name__ == "__main__":
    main()
