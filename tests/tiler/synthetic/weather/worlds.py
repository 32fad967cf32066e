"""Small weather worlds for tests, and what is computed from many frames."""

import functools
from datetime import date

import numpy as np

from tiler.synthetic.weather import COMS, Sensor, States, WeatherWorld, encoded, latent_of, moments, states_of

SUMMER = WeatherWorld(seed=4, start=date(2019, 7, 20), days=6, side_px=24)


@functools.cache
def clean_frames(world: WeatherWorld) -> np.ndarray:
    """uint8 (step, band, y, x)."""
    rows, cols = world.plane.view
    return np.stack([encoded(moment.values[:, rows, cols]) for moment in moments(world)])


@functools.cache
def observed_frames(world: WeatherWorld) -> np.ndarray:
    """uint8 (step, band, y, x) as COMS would see each step."""
    sensor = Sensor(COMS, world)
    return np.stack([sensor.observe(moment.values, moment.step) for moment in moments(world)])


def states(world: WeatherWorld) -> States:
    return states_of(world, latent_of(world))


def mean_psnr_db(frames: np.ndarray, steps: int) -> float:
    """Mean over pairs of frames that many steps apart; the largest value is 1."""
    apart = (frames[steps:].astype(np.float32) - frames[:-steps]) / 255
    return float((-10 * np.log10((apart**2).mean((1, 2, 3)))).mean())


def pooled_pixels(frames: np.ndarray, side: int = 8) -> np.ndarray:
    """float32 (step, band * side * side): means of squares of a frame, in [0, 1]."""
    count, bands, height, width = frames.shape
    squares = frames.reshape(count, bands, side, height // side, side, width // side)
    return squares.mean((3, 5)).reshape(count, -1).astype(np.float32) / 255


def cosines(vectors: np.ndarray) -> np.ndarray:
    about = vectors - vectors.mean(0)
    about /= np.linalg.norm(about, axis=1, keepdims=True)
    return about @ about.T


def ndcg(gains: np.ndarray, scores: np.ndarray, best: int = 100, apart: int = 24) -> float:
    """nDCG@`best` of all frames as queries; frames less than `apart` rows from the query are not found."""
    rows = np.arange(len(gains))
    near = abs(rows[:, None] - rows) < apart
    order = np.argsort(-np.where(near, -np.inf, scores), axis=1, kind="stable")[:, :best]
    ideal = -np.sort(-np.where(near, 0, gains), axis=1)[:, :best]
    weight = 1 / np.log2(np.arange(best) + 2)
    return float(((np.take_along_axis(gains, order, 1) * weight).sum(1) / (ideal * weight).sum(1)).mean())
