"""Every network of an ensemble by itself: one pass over the tiles tells what each says with and without more views."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from models.bundle import load_files
from models.predict import Ensemble


class Members(Ensemble):
    """An ensemble that keeps its networks' answers apart."""

    @torch.inference_mode()
    def predict_each(self, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits of every network, float32 (member, n, K, h, w) each: of the first view, and mean of all.

        The first view is the tile as it is. The mean over members of the second array is what `predict` returns, up to
        the rounding of sums. tiles and errors: as `predict`.
        """
        if tiles.ndim != 4 or tiles.shape[1] != len(self.channels):
            raise ValueError(
                f"The networks take tiles (n, {len(self.channels)}, h, w) with the channels {list(self.channels)}, "
                f"got {tiles.shape}. Stack the channels in this order."
            )
        (first, mean), _ = self._within_memory(lambda batch: self._each(tiles, batch))
        if not np.isfinite(mean).all():
            bad = int(np.argmax(~np.isfinite(mean).all(axis=(1, 2, 3, 4))))
            raise FloatingPointError(
                f"The logits of {self.names[bad]!r} are not finite ({self.precision}). Use precision='fp32'."
            )
        return first, mean

    def _each(self, tiles: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(self.names), len(tiles), len(self.classes), *tiles.shape[2:])
        first, mean = np.empty(shape, np.float32), np.zeros(shape, np.float32)
        for start in range(0, len(tiles), batch):
            part = slice(start, min(start + batch, len(tiles)))
            filled = self._filled(tiles[part], batch)
            for place, logits in enumerate(self._logits(filled)):
                member, view = divmod(place, len(self.views))
                values = logits[: part.stop - start].float().cpu().numpy()
                if view == 0:
                    first[member, part] = values
                mean[member, part] += values / len(self.views)
        return first, mean


def load_members(
    bundles: Sequence[Mapping[str, bytes]],
    channels: Sequence[str],
    tta: str = "flips4",
    precision: str = "auto",
    device: str = "cpu",
    batch: int = 8,
    compile: str = "none",
) -> Members:
    """Make it of bundles given as files by name; raises what `load_files` and `Ensemble` raise."""
    members = [load_files(files) for files in bundles]
    return Members(members, channels, tta=tta, precision=precision, device=device, batch=batch, compile=compile)
