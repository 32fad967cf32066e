"""LPIPS (Zhang et al. 2018, https://doi.org/10.1109/CVPR.2018.00068) as one vector for each image.

Not averaged over places, LPIPS is a squared Euclidean distance: the activations of each layer, scaled to length 1 over
the channels, times the root of the layer's channel weights, over the root of its number of places, layer after layer
in one vector. So a gallery is ranked by a matrix product instead of a pass of the network for each pair.

The trunk is a network trained on ImageNet. Without its weights a random trunk gives a distance too, but not LPIPS, and
the heading says so (`Lpips.name`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models as trunks

from models.names import lookup
from models.weight_sources import read_state

VERSION = "v0.1"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the input in [-1, 1] (version 0.1)."""
HEAD_PLACES = (("lpips", f"weights/{VERSION}"), ("torchmetrics", "functional/image/lpips_models"))
"""Installed packages that hold the channel weights, and where in them."""
FORWARD_VALUES = 2**22
"""Input values of one pass of the trunk."""


@dataclass(frozen=True)
class Trunk:
    """A network of torchvision, and the places in it that LPIPS looks at."""

    builder: str
    ends: tuple[int, ...]
    """Modules of `features` after which activations are taken."""
    file: str
    """Torchvision's name of the ImageNet weights; what stands after the last dash begins the sha256 of the file."""


TRUNKS = {
    "alex": Trunk("alexnet", (1, 4, 7, 9, 11), "alexnet-owt-7be5be79.pth"),
    "squeeze": Trunk("squeezenet1_1", (1, 4, 7, 9, 10, 11, 12), "squeezenet1_1-b8a52dc0.pth"),
    "vgg": Trunk("vgg16", (3, 8, 15, 22, 29), "vgg16-397923af.pth"),
}


class Lpips:
    """Distance of images by the activations of a trunk; smallest for equal ones."""

    alike_is = "smallest"

    def __init__(self, features: nn.Sequential, ends: tuple[int, ...], heads: tuple[Tensor, ...], name: str) -> None:
        self.name = name
        self._features, self._ends = features.eval().requires_grad_(False), ends
        self._roots = [head.sqrt() for head in heads]
        self._shift, self._scale = (torch.tensor(v).view(1, 3, 1, 1) for v in (SHIFT, SCALE))

    def to(self, device: str) -> Lpips:
        """Move to a device; returns itself."""
        self._features.to(device)
        self._roots = [root.to(device) for root in self._roots]
        self._shift, self._scale = self._shift.to(device), self._scale.to(device)
        return self

    @torch.inference_mode()
    def prepare(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors (n, values) float32 of images (n, 3, h, w) in [0, 1], and the squared length of each.

        Raises ValueError: not three bands, or images too small for the trunk.
        """
        if images.shape[1] != 3 or min(images.shape[2:]) < 32:
            raise ValueError(
                f"LPIPS wants images of 3 bands and at least 32 px a side, got {tuple(images.shape[1:])}. Name three "
                "bands, or leave LPIPS out."
            )
        at_once = max(1, FORWARD_VALUES // images[0].numel())
        vectors = torch.cat([self._vectors(part) for part in torch.split(images, at_once)])
        return vectors, vectors.square().sum(1)

    def compare(self, queries: tuple[Tensor, Tensor], gallery: tuple[Tensor, Tensor]) -> Tensor:
        """Return distances (q, g), at least 0."""
        (a, a2), (b, b2) = queries, gallery
        return (a2[:, None] + b2[None] - 2 * (a @ b.T)).clamp_min(0)

    def _vectors(self, images: Tensor) -> Tensor:
        x = (2 * images - 1 - self._shift) / self._scale
        layers: list[Tensor] = []
        for place, module in enumerate(self._features):
            x = module(x)
            if place in self._ends:
                length = x.square().sum(1, keepdim=True).sqrt() + 1e-10
                layers.append((x / length * (self._roots[len(layers)] / (x.shape[2] * x.shape[3]) ** 0.5)).flatten(1))
            if len(layers) == len(self._ends):
                break
        return torch.cat(layers, 1)


def load_lpips(trunk: str, weights: str, heads: str | None = None) -> Lpips:
    """Build LPIPS from weights that are named.

    trunk: a key of `TRUNKS`. weights: file:PATH (torchvision's file, or its tensors as safetensors) or random:SEED.
    heads: file of the channel weights (version 0.1); None: of the installed package `lpips` or `torchmetrics`.
    The name is `LPIPS(alex)` only where the bytes of the file are those that torchvision's name promises.
    Raises ValueError: weights that do not fit, or a spec that names none; FileNotFoundError: nothing there.
    """
    kind = lookup(TRUNKS, trunk, "LPIPS trunk")
    scheme, colon, what = weights.partition(":")
    if scheme not in ("file", "random") or not colon or not what or (scheme == "random" and not what.isdecimal()):
        raise ValueError(
            f"LPIPS weights {weights!r} name no source. Write file:PATH of {kind.file}, or random:SEED for a random "
            "trunk, which gives a distance of its own and is not LPIPS."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(what) if scheme == "random" else 0)
        features = getattr(trunks, kind.builder)(weights=None).features
    if scheme == "random":
        name = f"LPIPS*({_of(trunk)}random trunk, seed {what})"
    else:
        name = _load_trunk(features, trunk, kind, Path(what))
    return Lpips(features, kind.ends, _heads(trunk, len(kind.ends), heads), name)


def _of(trunk: str) -> str:
    return "" if trunk == "alex" else f"{trunk}, "


def _load_trunk(features: nn.Sequential, trunk: str, kind: Trunk, path: Path) -> str:
    """Fill the trunk from a file; return the heading that its bytes deserve."""
    state = read_state(path)
    found = {key.removeprefix("features."): value for key, value in state.items() if not key.startswith("classifier.")}
    wanted = {key: tuple(value.shape) for key, value in features.state_dict().items()}
    if {key: tuple(value.shape) for key, value in found.items()} != wanted:
        raise ValueError(
            f"{path} does not fit the trunk {trunk!r}: it holds {_short(found)}, the trunk has {_short(wanted)}. "
            f"Give {kind.file} of torchvision."
        )
    features.load_state_dict(found)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    promised = kind.file.rpartition("-")[2].removesuffix(".pth")
    return f"LPIPS({trunk})" if sha256.startswith(promised) else f"LPIPS*({trunk}, unverified file {sha256[:8]})"


def _short(names: Mapping[str, object]) -> str:
    return f"{len(names)} tensors ({', '.join(sorted(names)[:3])} ...)"


def _heads(trunk: str, layers: int, file: str | None) -> tuple[Tensor, ...]:
    path = Path(file) if file else _installed(trunk)
    state = read_state(path)
    keys = [f"lin{layer}.model.1.weight" for layer in range(layers)]
    if absent := [key for key in keys if key not in state]:
        raise ValueError(f"{path} holds no channel weights of {trunk!r}: {absent} are missing. Give its {trunk}.pth.")
    heads = tuple(state[key].float() for key in keys)
    if any(bool((head < 0).any()) for head in heads):
        raise ValueError(f"{path} holds negative channel weights; they would be no distance. Give version 0.1.")
    return heads


def _installed(trunk: str) -> Path:
    for package, folder in HEAD_PLACES:
        found = find_spec(package)  # found without being imported
        for place in (found.submodule_search_locations or ()) if found else ():
            if (path := Path(place) / folder / f"{trunk}.pth").is_file():
                return path
    names = " or ".join(package for package, _ in HEAD_PLACES)
    raise FileNotFoundError(
        f"Asked for the channel weights of LPIPS {trunk!r}; none are given and no package {names} is installed. "
        "Install sandan[embeddings], or name a file."
    )
