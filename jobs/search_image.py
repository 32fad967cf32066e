"""A picture from outside the archive as an example: read, given to the network that embedded the archive."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cluster.storage import Storage
from jobs.clock import Clock
from jobs.embed_network import Network
from jobs.embed_plan import decide_embed, settings_of
from jobs.search_archive import Archive, Member
from models.search import unit_float16
from tiler.rasters import open_raster

LARGEST_PX = 8192
"""Side of a picture, at most: one of a window, or of a frame, has some hundreds."""


def embed_image(archive: Archive, path: str, network: Network | None) -> tuple[np.ndarray, Network]:
    """Return the vector of a picture, float16 (dimension,), and the network, for the next one.

    Args:
        archive: whose embedder is asked.
        path: GeoTIFF or PNG with the bands that the embedder sees, in its order; or all bands of the scenes' sensor.
        network: from an earlier call.

    Raises:
        ValueError: it cannot be read, has other bands, or the embedder is no longer what the archive was made with.
    """
    member = archive.members[0]
    network = network or network_of(member)
    image, valid = read_image(path, network.channels, _bands_of(member))
    vector = network.answer(network.ask(image[None], valid[None]), Clock())[0]
    return unit_float16(vector), network


def network_of(member: Member) -> Network:
    """Load the embedder of a store.

    Raises:
        ValueError: the bundle has changed since.
    """
    precision = decide_embed(member.config, Storage(member.config.out), None)
    assert precision is not None
    folder = settings_of(member.config).model
    network = Network(folder, precision)
    if network.card.digest() != member.store.what.card_digest:
        raise ValueError(
            f"--image: the embedder {folder} is not the one that the archive was made with; embed it again"
        )
    return network


def _bands_of(member: Member) -> tuple[str, ...]:
    return member.plan.frames.bands if member.plan.frames is not None else member.plan.scene.scene.sensor.bands  # type: ignore[union-attr]


def read_image(path: str, channels: Sequence[str], bands: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read a picture as a network sees it.

    Args:
        path: of the file.
        channels: that the network sees, in order.
        bands: that the archive's images have, in order.

    Returns:
        (channel, y, x) as stored, and bool (channel, y, x): what is not missing.

    Raises:
        ValueError: it cannot be read, or has other bands.
    """
    import rasterio.errors

    try:
        with open_raster(path) as data:
            if max(data.height, data.width) > LARGEST_PX:
                raise ValueError(
                    f"--image: {path} has {data.height} x {data.width} px, at most {LARGEST_PX} are read; cut out "
                    f"about as much as a window shows"
                )
            if data.count == len(channels):
                wanted = list(range(1, data.count + 1))
            elif data.count == len(bands):
                wanted = [list(bands).index(channel) + 1 for channel in channels]
            else:
                raise ValueError(
                    f"--image: {path} has {data.count} bands; the embedder sees {list(channels)}, in this order: "
                    f"give a picture of these" + (f", or of {list(bands)}" if len(bands) != len(channels) else "")
                )
            image, valid = data.read(wanted), data.read_masks(wanted) > 0
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"--image: {path} cannot be read: {error}; give another file") from error
    if not valid.any():
        raise ValueError(f"--image: {path} holds no valid pixel; give another one")
    return image, valid
