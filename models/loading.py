"""Which samples a worker reads in which step, and reading them ahead of time.

The order of an epoch is one permutation of all samples, drawn from (seed, epoch). Step b takes the items
[b B, (b + 1) B) of it; worker r of W takes the r-th of W equal parts of each step. So the images of a step
are the same for any number of workers.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from models.metrics import IGNORE
from models.task import Samples

Key = TypeVar("Key")
Value = TypeVar("Value")


class Reader(Samples, Protocol):
    """Labelled images by number."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image float32 (C, h, w) and label uint8 (h, w): class index or 255 (ignored)."""
        ...


def epoch_steps(length: int, batch: int, seed: int, epoch: int) -> np.ndarray:
    """Return the samples of every step of an epoch, int64 (steps, batch), steps = ceil(length / batch).

    Every sample occurs; the last step is filled up with the first samples of the same permutation, so
    that all steps have one shape.
    """
    order = np.random.default_rng([seed, epoch]).permutation(length)
    steps = -(-length // batch)
    return np.resize(order, (steps, batch))


def rank_part(steps: np.ndarray, rank: int, world_size: int) -> np.ndarray:
    """Return what worker `rank` reads of each step: (steps, batch / world_size)."""
    part = steps.shape[1] // world_size
    return steps[:, rank * part : (rank + 1) * part]


def shard_steps(length: int, batch: int, rank: int, world_size: int) -> list[np.ndarray]:
    """Return the validation samples of a worker in steps of at most `batch`, none twice and none left out.

    Together the workers read range(length) once; a worker may read one sample less than another, or none.
    """
    own = np.arange(rank, length, world_size)
    return [own[start : start + batch] for start in range(0, len(own), batch)]


def read_ahead(load: Callable[[Key], Value], keys: Iterable[Key], threads: int = 2) -> Iterator[Value]:
    """Yield `load(key)` for every key in order, while threads already read the next few.

    At most `2 * threads` results wait at any time. An error of `load` is raised where its result would
    have been yielded. Threads, not processes: readers release the GIL while they decompress.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")
    waiting: deque[Future[Value]] = deque()
    try:
        for key in keys:
            waiting.append(pool.submit(load, key))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def load_batch(reader: Reader, indices: np.ndarray, classes: int = 2, *, pin: bool = False) -> tuple[Tensor, Tensor]:
    """Return the samples as one batch: images float32 (n, C, h, w), channels last, and labels uint8 (n, h, w).

    classes: how many label values there are besides 255; 2 in the binary case.
    pin: into pinned memory, from which a copy to a CUDA device runs beside the computation.
    Raises ValueError: samples of unequal shapes, or a label that is neither below `classes` nor 255.
    """
    samples = [reader[int(index)] for index in indices]
    shapes = {(image.shape, label.shape) for image, label in samples}
    if len(shapes) > 1 or samples[0][0].shape[1:] != samples[0][1].shape:
        raise ValueError(
            f"Samples {indices.tolist()} have image and label shapes {sorted(shapes)}; a batch needs one "
            "image shape (C, h, w) with labels (h, w). Cut all samples to the same size."
        )
    labels = np.stack([label for _, label in samples])
    if not ((labels < classes) | (labels == IGNORE)).all():
        wrong = np.setdiff1d(labels, [*range(classes), IGNORE])
        raise ValueError(
            f"Samples {indices.tolist()} hold the labels {wrong.tolist()[:5]}; only 0 to {classes - 1} and {IGNORE} "
            "(ignored) have a meaning here. Map the label values when the tiles are read."
        )
    channels, height, width = samples[0][0].shape
    # Each sample is written once, to where the network wants it: stacking, reordering and pinning one after the
    # other took three times as long, and the readers of a fast GPU have no time to lose. numpy's memory lies in large
    # pages, torch's does not; pinned memory must be torch's own, which waits with its reuse for copies under way.
    shape = (len(samples), height, width, channels)
    images = torch.empty(shape, pin_memory=True) if pin else torch.from_numpy(np.empty(shape, np.float32))
    for place, (image, _) in zip(images.numpy(), samples, strict=True):
        place[...] = image.transpose(1, 2, 0)
    truth = torch.from_numpy(labels.astype(np.uint8, copy=False))
    return images.permute(0, 3, 1, 2), truth.pin_memory() if pin else truth


def copied(arrays: list[np.ndarray], dtype: type, *, pin: bool = False) -> Tensor:
    """Return arrays of one shape as one tensor (n, ...), each copied once, into pinned memory on request."""
    shape = (len(arrays), *arrays[0].shape)
    made = torch.from_numpy(np.empty(shape, dtype))
    made = made.pin_memory() if pin else made
    for place, array in zip(made.numpy(), arrays, strict=True):
        place[...] = array
    return made
