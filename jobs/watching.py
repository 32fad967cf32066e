"""What a training shows while it runs: curves, pictures of a few validation samples, TensorBoard's numbers.

    OUT/curves.png                     training loss, scores and learning rate by epoch
    OUT/epochs/0007.png                what the network of epoch 7 (the first is 0) makes of the samples
    OUT/tensorboard/events.out...      the same numbers for TensorBoard

A picture that cannot be made costs a line on stderr, never the training.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.storage import Storage
from jobs.panels import tile_panels
from jobs.prediction_figures import IGNORED, Sample, prediction_panels
from jobs.scalar_events import ScalarEvents
from jobs.training_figures import learning_curves, training_curves

if TYPE_CHECKING:
    from models.loading import Reader
    from models.networks import SegmentationNetwork

LOOKED_AT = 32
"""How many samples of the validation are read to choose from."""
ENOUGH = 0.01
"""Share of the labelled pixels that a class must have to be worth a picture."""


class Watcher:
    """Shows a run from outside: the network's weights, its mode and all random numbers stay as they are."""

    def __init__(
        self,
        out: str,
        network: SegmentationNetwork,
        reader: Reader,
        classes: tuple[str, ...],
        rgb: tuple[int, int, int] | None,
        count: int = 4,
        device: str = "cpu",
        mask: int | None = None,
    ) -> None:
        """Choose the samples.

        Args:
            out: the run's folder, a path or the address of an object store.
            network: the one that is trained, on `device` whenever `epoch` is called.
            reader: the validation; `LOOKED_AT` of its samples are read, and `count` of them kept.
            classes: names, as in a card.
            rgb: channels to show as red, green and blue; None: the first one in grey.
            count: of samples; fewer where the validation has fewer.
            device: where the network is.
            mask: the channel that is 1 where the imagery is missing, if there is one.
        """
        self._storage, self._network, self._classes, self._device = Storage(out), network, classes, device
        self._rgb, self._mask = rgb or (0, 0, 0), mask
        self._events = ScalarEvents(self._storage)
        self._samples: list[tuple[int, np.ndarray, np.ndarray]] = []
        with _harmless("the choice of samples to show"):
            self._samples = [(i, *reader[i]) for i in choose(len(reader), lambda i: reader[i][1], count)]

    def epoch(self, history: Sequence[Mapping[str, Any]], epoch: int) -> None:
        """Show where the run is after `epoch`.

        Args:
            history: a row for each epoch so far: epoch, training_loss, learning_rate, scores, seconds, best.
            epoch: names the picture.
        """
        with _harmless(f"curves.png of epoch {epoch}"):
            self._storage.put("curves.png", training_curves(history, self._classes))
        with _harmless(f"TensorBoard's numbers of epoch {epoch}"):
            self._events.append(history)
        if self._samples:
            with _harmless(f"epochs/{epoch:04}.png"):
                self._storage.put(f"epochs/{epoch:04}.png", self._picture(history, epoch))

    def _picture(self, history: Sequence[Mapping[str, Any]], epoch: int) -> bytes:
        score = next((row["mIoU"] for row in history if row["epoch"] == epoch and "mIoU" in row), None)
        title = f"Epoch {epoch}" + ("" if score is None else f"   mIoU {score:.3f}")
        with _as_asked(self._network):
            samples = [self._sample(*given) for given in self._samples]
        return prediction_panels(samples, self._classes, title)

    def _sample(self, index: int, image: np.ndarray, label: np.ndarray) -> Sample:
        import torch

        logits = self._network(torch.from_numpy(np.ascontiguousarray(image)).to(self._device)[None])[0]
        shares = torch.sigmoid(logits) if len(logits) == 1 else torch.softmax(logits, 0)
        shown = image[list(self._rgb)]
        missing = ~np.isfinite(shown).all(0)
        if self._mask is not None:
            missing |= image[self._mask] > 0
        return Sample(shown, missing, label, shares.float().cpu().numpy(), f"sample {index}")


class Curves:
    """Shows the numbers of a training, and of an embedder's once what it is shown (OUT/views.png)."""

    def __init__(self, out: str, name: str, drawn: Mapping[str, str] | None = None) -> None:
        """Take a run; drawn: numbers of an epoch that are drawn, to what they are called; None: all of them."""
        self._storage, self._name, self._drawn = Storage(out), name, drawn
        self._events = ScalarEvents(self._storage)

    def views(self, reader: Any, rgb: Sequence[int], names: Sequence[str]) -> None:
        """Show the views of as many samples as a sample has views, a row each.

        Args:
            reader: yields views (view, channel, y, x) and bool of the same shape; its first epoch.
            rgb: three channels to show as red, green and blue.
            names: of the views, in order.
        """
        with _harmless("views.png"):
            samples = [reader[i] for i in _spread(list(range(len(reader))), len(names))]
            images = [view[list(rgb)].astype(np.float32) for views, _ in samples for view in views]
            valid = [view[list(rgb)].all(0) for _, views in samples for view in views]
            titles = [f"{name} {row + 1}" for row in range(len(samples)) for name in names]
            self._storage.put("views.png", tile_panels(images, valid, titles))

    def epoch(self, history: Sequence[Mapping[str, Any]], epoch: int) -> None:
        """Show where the run is after `epoch`; history: as in `Watcher.epoch`."""
        if self._drawn is None:
            rows = [{key: value for key, value in row.items() if key != "seconds"} for row in history]
        else:
            named = {"epoch": "epoch", **self._drawn}
            rows = [{named[key]: value for key, value in row.items() if key in named} for row in history]
        with _harmless(f"curves.png of epoch {epoch}"):
            self._storage.put("curves.png", learning_curves({self._name: rows}))
        with _harmless(f"TensorBoard's numbers of epoch {epoch}"):
            self._events.append(history)


def choose(length: int, label_of: Callable[[int], np.ndarray], count: int) -> list[int]:
    """Return up to `count` samples, spread over all, those with at least two classes in sight first.

    Args:
        length: how many samples there are.
        label_of: from a sample to its uint8 labels; asked for `LOOKED_AT` samples at most.
        count: how many are wanted.
    """
    candidates = _spread(list(range(length)), LOOKED_AT)
    worth = {i: _worth(label_of(i)) for i in candidates}
    chosen: list[int] = []
    for level in (2, 1, 0):
        chosen += _spread([i for i in candidates if worth[i] == level], count - len(chosen))
    return sorted(chosen)


def _worth(label: np.ndarray) -> int:
    """Return 2 where two classes are well in sight, 1 where one is, 0 where everything is ignored."""
    shares = np.bincount(label[label != IGNORED])
    return min(2, int((shares > ENOUGH * max(1, shares.sum())).sum()))


def _spread(items: Sequence[int], count: int) -> list[int]:
    """Return at most `count` items, evenly from the first to the last."""
    places = np.linspace(0, len(items) - 1, min(max(count, 0), len(items))).round().astype(int)
    return [items[place] for place in places]


@contextmanager
def _as_asked(network: Any) -> Iterator[None]:
    """Put a network into eval mode without gradients; afterwards every module of it is in the mode it was in."""
    import torch

    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _harmless(what: str) -> Iterator[None]:
    """Turn an error into a line on stderr: hours of training are worth more than a picture."""
    try:
        yield
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        print(f"watching: {what} could not be made: {type(error).__name__}: {reason}", file=sys.stderr)
