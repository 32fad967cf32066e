"""An ensemble of networks over views: the mean logit of every pixel, and how far its members disagree.

    mean   = 1 / (K V) * sum over networks k and views v of invert_v(network_k(apply_v(tile))) / T_k
    spread = population standard deviation of the same K V logits

and on request mean probability and mean entropy of the same K V answers (`models.uncertainty`).

T_k is the temperature in the card of network k, 1 unless it was calibrated. Logits are averaged, unless probabilities
are asked for: the sigmoid then comes before this mean instead of after, and what is returned as mean is the logit of
the mean probability (of several classes: its logarithm), so that a map is blended, warped and fused in the same way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from models.averages import AVERAGES
from models.bundle import load_files
from models.card import Card
from models.compiling import compiled_for_inference
from models.imagery import Imagery
from models.launched import Asked, Launched, Outlet, not_finite, store_as_float16
from models.memory import give_back, is_out_of_memory
from models.names import lookup
from models.networks import SegmentationNetwork
from models.precision import choose, prepare
from models.tta import VIEWS, View
from models.uncertainty import Average, with_uncertainty

T = TypeVar("T")


@dataclass(frozen=True)
class _Member:
    network: SegmentationNetwork
    channels: Tensor
    """Where the channels of this network lie among those of the tiles, int64 (c,)."""
    temperature: float = 1.0


class Ensemble:
    """Networks that predict the same classes, ready on one device.

    Attributes: `names` (of the cards, in order), `classes` (names of the outputs), `channels` (of the tiles, in
    order), `precision` (as resolved: "bf16" or "fp32"), `device`, `batch` (windows per forward pass; each pass
    holds `batch * views` tiles).

    Where a pass finds too little memory, `batch` is halved, for good, and what was asked for begins anew: all windows
    of one call are of one batch. With a batch of 1 the error is raised. Several threads may ask at once on a CPU.
    """

    def __init__(
        self,
        members: Sequence[tuple[Card, SegmentationNetwork]],
        channels: Sequence[str],
        tta: str = "flips4",
        precision: str = "auto",
        device: str = "cpu",
        batch: int = 8,
        average: str = "logit",
        compile: str = "none",
        uncertainty: bool = False,
    ) -> None:
        """Copy the networks to `device`; the ones passed in are left as they are.

        channels: names of the channels of the tiles, in order; each network picks its own by name.
        tta: a key of `models.tta.VIEWS`. precision: "auto", "bf16" or "fp32". average: a key of `AVERAGES`.
        compile: "none" or a mode of torch.compile; the first pass then takes minutes.
        uncertainty: whether `launch` gives mean probability and mean entropy, too.
        Raises ValueError: no members, unlike classes, a channel that the tiles lack, an unknown name, or
        a precision that the device does not have.
        """
        if not members or batch < 1:
            raise ValueError(f"An ensemble needs networks and a batch >= 1, got {len(members)} and {batch}.")
        self.classes = _common_classes([card for card, _ in members])
        self.names = tuple(card.name for card, _ in members)
        self.channels = tuple(channels)
        self.views: tuple[View, ...] = lookup(VIEWS, tta, "test-time augmentation")
        self._average: Average = lookup(AVERAGES, average, "average")
        self._layers = 2 * len(self.classes)
        if uncertainty:
            self._average = with_uncertainty(self._average)
            self._layers += len(self.classes) + 1
        self.precision = choose(device, precision)
        self.device = torch.device(device)
        self.batch = self._planned_batch = batch
        self._halving = Lock()
        self._outlet = Outlet(self.device)
        self._members = [
            _Member(
                compiled_for_inference(prepare(network, self.precision, device), compile),
                torch.tensor(_positions(card, self.channels), device=self.device),
                card.temperature,
            )
            for card, network in members
        ]

    @torch.inference_mode()
    def predict(self, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean logit and spread of every pixel, both float32 (n, K, h, w), K classes.

        tiles: float32 (n, C, h, w) with the channels of the ensemble, in the units of the sensor. NaN
        means missing, as coarse modalities may be: each network sees its own training mean (the offset in its card).
        Tiles are run `batch` at a time, the last batch filled up with copies of its last tile: shapes,
        and so the kernels that are chosen, do not depend on how tiles were grouped.
        Raises ValueError: another shape; FloatingPointError: a network answered NaN or infinity.
        """
        if tiles.ndim != 4 or tiles.shape[1] != len(self.channels):
            raise ValueError(
                f"The ensemble takes tiles (n, {len(self.channels)}, h, w) with the channels "
                f"{list(self.channels)}, got {tiles.shape}. Stack the channels in this order."
            )
        means, spreads = self._within_memory(lambda batch: self._predict(tiles, batch))[0]
        if not np.isfinite(means).all():
            bad = int(np.argmax(~np.isfinite(means).all(axis=(1, 2, 3))))
            raise FloatingPointError(not_finite(bad, self.precision, bool(np.isinf(tiles[bad]).any())))
        return means, spreads

    def _predict(self, tiles: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(tiles), len(self.classes), *tiles.shape[2:])
        means, spreads = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for start in range(0, len(tiles), batch):
            part = slice(start, min(start + batch, len(tiles)))
            mean, spread, *_ = self._reduce(self._filled(tiles[part], batch))
            means[part] = mean[: part.stop - start].cpu().numpy()
            spreads[part] = spread[: part.stop - start].cpu().numpy()
        return means, spreads

    def predict_windows(self, imagery: Imagery, corners: Sequence[tuple[int, int]], side_px: int) -> np.ndarray:
        """Return what `launch` launches: float16 (n, layers, side_px, side_px). Raises what `predict` raises."""
        return self.launch(imagery, corners, side_px).result().whole()

    @torch.inference_mode()
    def launch(self, imagery: Imagery, corners: Sequence[tuple[int, int]], side_px: int) -> Launched:
        """Queue what `predict` does for windows of some imagery; a GPU may compute on after this returns.

        imagery: on the ensemble's device, with its channels in its order (bands, mask, more).
        corners: row and column of each window in the imagery.
        returns: float16 (n, layers, side_px, side_px), on its way: means of all K classes, then spreads, and with
        uncertainty mean probabilities, then one mean entropy: 2 K or 3 K + 1 layers. What is beyond float16 is its
        largest, and counted. Windows with an answer that is not finite are counted too, not raised.
        """
        if imagery.channels != len(self.channels):
            raise ValueError(
                f"The ensemble takes the channels {list(self.channels)}, the imagery gives {imagery.channels}."
            )

        def infinite(place: int) -> bool:
            return bool(imagery.tiles([corners[place]], side_px).isinf().any())

        begun = self._outlet.begin()
        (windows, counts), batch = self._within_memory(lambda batch: self._answers(imagery, corners, side_px, batch))
        asked = Asked(self.precision, batch < self._planned_batch, infinite)
        return self._outlet.bring(begun, windows, counts, asked)

    def _answers(
        self, imagery: Imagery, corners: Sequence[tuple[int, int]], side_px: int, batch: int
    ) -> tuple[Tensor, Tensor]:
        shape = (len(corners), self._layers, side_px, side_px)
        out = torch.empty(shape, dtype=torch.float16, device=self.device)
        counts = torch.zeros((len(corners), 2), dtype=torch.int64, device=self.device)
        for start in range(0, len(corners), batch):
            part = list(corners[start : start + batch])
            here = slice(start, start + len(part))
            tiles = imagery.tiles(part + part[-1:] * (batch - len(part)), side_px)
            first = 0
            for values in self._reduce(tiles):
                layers = slice(first, first + values.shape[1])
                store_as_float16(values[: len(part)], out[here, layers], counts[here])
                first = layers.stop
        return out, counts

    def _within_memory(self, passes: Callable[[int], T]) -> tuple[T, int]:
        """Return what the passes give, and the batch that they fitted into memory with."""
        while True:
            batch = self.batch
            try:
                return passes(batch), batch
            except (RuntimeError, MemoryError) as error:
                if batch == 1 or not is_out_of_memory(error):
                    raise
            # Not before the error is gone: its traceback holds the tensors of the pass that failed.
            with self._halving:
                if self.batch == batch:  # else another thread found the same
                    self.batch = batch // 2
            give_back(self.device)

    def _filled(self, tiles: np.ndarray, batch: int) -> Tensor:
        absent = batch - len(tiles)
        if absent:
            tiles = np.concatenate([tiles, np.repeat(tiles[-1:], absent, axis=0)])
        return torch.tensor(tiles, dtype=torch.float32, device=self.device)  # a copy: tiles may be read-only

    def _reduce(self, tiles: Tensor) -> tuple[Tensor, ...]:
        return self._average(self._logits(tiles))

    def _logits(self, tiles: Tensor) -> Iterator[Tensor]:
        for member in self._members:
            # Scaled once and not once a view. A missing value is the training mean, which scaling makes 0; infinities
            # stay what they are, so that they are found in the answer.
            scaled = member.network.scaled(tiles.index_select(1, member.channels))
            scaled.nan_to_num_(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
            shape = (len(self.views) * len(tiles), *scaled.shape[1:])
            shown = torch.empty(shape, dtype=scaled.dtype, device=scaled.device, memory_format=torch.channels_last)
            for view, part in zip(self.views, shown.chunk(len(self.views)), strict=True):
                part.copy_(view.apply(scaled))
            logits = member.network.answer(shown)
            if member.temperature != 1:
                logits = logits / member.temperature
            for view, part in zip(self.views, logits.chunk(len(self.views)), strict=True):
                yield view.invert(part)


def load_ensemble(
    bundles: Sequence[Mapping[str, bytes]],
    channels: Sequence[str],
    tta: str = "flips4",
    precision: str = "auto",
    device: str = "cpu",
    batch: int = 8,
    average: str = "logit",
    compile: str = "none",
    uncertainty: bool = False,
) -> Ensemble:
    """Make an ensemble of bundles given as files by name; raises what `load_files` and `Ensemble` raise."""
    members = [load_files(files) for files in bundles]
    return Ensemble(members, channels, tta, precision, device, batch, average, compile, uncertainty)


def _common_classes(cards: Sequence[Card]) -> tuple[str, ...]:
    for card in cards:
        if card.classes != cards[0].classes:
            raise ValueError(
                f"{cards[0].name!r} predicts {list(cards[0].classes)}, {card.name!r} predicts "
                f"{list(card.classes)}. Only networks with equal classes, in equal order, can be averaged."
            )
    return cards[0].classes


def _positions(card: Card, channels: tuple[str, ...]) -> list[int]:
    absent = [name for name in card.channels if name not in channels]
    if absent:
        raise ValueError(
            f"{card.name!r} needs the channels {list(card.channels)}, the tiles have {list(channels)}: "
            f"{absent} missing. Add them to the tiles, or leave this network out of the ensemble."
        )
    return [channels.index(name) for name in card.channels]
