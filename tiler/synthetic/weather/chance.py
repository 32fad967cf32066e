"""Chance of a weather world: numbers that belong to a seed, a process and a step, never to a stream of a generator."""

from __future__ import annotations

import numpy as np

from tiler.synthetic.noise import bell, hash_cells, key_of, unit

Array = np.ndarray


def normals(key: int, steps: Array, count: int) -> Array:
    """Return float64 (step, count) of mean 0 and standard deviation 1, within +-3.

    Args:
        key: which process.
        steps: whole numbers (step,), negative ones too.
        count: numbers for each step.
    """
    rows, cols = np.broadcast_arrays(np.asarray(steps)[:, None], np.arange(count)[None, :])
    return bell(hash_cells(key, rows, cols), 1).astype(np.float64)


def units(key: int, steps: Array, count: int) -> Array:
    """Return float64 (step, count) evenly spread over [0, 1)."""
    rows, cols = np.broadcast_arrays(np.asarray(steps)[:, None], np.arange(count)[None, :])
    return unit(hash_cells(key, rows, cols)).astype(np.float64)


def wandering(noise: Array, memory_steps: Array) -> Array:
    """Return Ornstein-Uhlenbeck processes of mean 0 and standard deviation 1.

    Discretised exactly: x' = a x + sqrt(1 - a^2) e with a = exp(-1 / memory) (Gillespie 1996, Phys. Rev. E 54:2084).

    Args:
        noise: float64 (step, process) of standard deviation 1.
        memory_steps: float64 (process,): the e-folding time.

    Returns:
        float64 (step, process); the first row is drawn from the distribution in equilibrium.
    """
    keep = np.exp(-1.0 / np.asarray(memory_steps, np.float64))
    fresh = np.sqrt(1.0 - keep**2)
    found = np.empty_like(noise)
    found[:1] = noise[:1]
    for step in range(1, len(noise)):
        found[step] = keep * found[step - 1] + fresh * noise[step]
    return found


def stream(seed: int, *numbers: int) -> int:
    """Return the key of a process of a world."""
    return key_of(seed, 0x57E47E4, *numbers)
