"""Configuration: what a recipe with `task: embed` may say, and which model a recipe's `task` means."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from jobs.frozen import Frozen
from jobs.image_recipe_config import AutoencodeRecipeConfig, ClassifyRecipeConfig
from jobs.recipe_config import Recipe, RecipeConfig
from models.embedder_card import METHODS
from models.linear_spec import LinearSpec
from models.lora_spec import LoraSpec
from tiler.item_split import ItemSplit


class EmbedNetworkConfig(Frozen):
    """Which embedder a recipe trains, and from which weights."""

    architecture: str = "vit_base_patch16_224"
    """A vision transformer of timm."""
    weights: str
    """file:PATH, hub:ID[@rev], recipe:FOLDER or random:SEED; there is no default on purpose."""
    side_px: int = Field(default=224, ge=8)
    """Side of the square that it sees; larger images are resized by area."""
    depth: int | None = Field(default=None, ge=1)
    """Blocks; none: those of the architecture."""
    patch_px: int | None = Field(default=None, ge=1)
    """Side of a patch; none: that of the architecture."""
    grid: int | None = Field(default=None, ge=1)
    """Cells a side in which patch tokens are averaged; none: the vector is made of the [CLS] token."""
    linear: LinearSpec | None = None
    """A linear map behind that, fitted to pairs of the method before anything is trained; none: no map."""
    lora: LoraSpec | None = LoraSpec()
    """The adapter that is trained; null: all weights are."""
    stem: Literal["auto", "names", "tile", "zero"] = "auto"
    """What to do where the source has other channels: `models.weights.initialise`."""
    positions: Literal["drawn", "sine-cosine"] = "drawn"
    """How position embeddings begin where weights are random."""

    @model_validator(mode="after")
    def _own_positions(self) -> EmbedNetworkConfig:
        if self.positions != "drawn" and not self.weights.startswith("random:"):
            raise ValueError(
                f"network.positions: {self.positions!r} is for weights random:SEED alone; {self.weights!r} brings its "
                f"own, so leave it out"
            )
        return self


class EmbedDataConfig(Frozen):
    """Which images a recipe trains on."""

    run: str | tuple[str, ...]
    """Run YAML with `frames` or with `scenes` (they are ingested if they are not yet), or a frame store; or several."""
    channels: tuple[str, ...] = ()
    """In the order of the network; none: all bands."""
    scaling: Literal["standard", "per_image", "range"] = "standard"
    """By mean and standard deviation of what trains; by those of each image; or the valid range to 0..1."""
    split: ItemSplit = ItemSplit()
    """Which items validate."""
    missing_limit: float = Field(default=0.9, ge=0, le=1)
    """Items that lack a larger share are not used."""
    exclude: tuple[str, ...] = ()
    """CSV files with a column id, such as OUT/curation/0003/removed.csv: frames, or windows of scenes, that are left
    out; besides what `curation` of the runs leaves out."""
    tile_px: int = Field(default=512, ge=32)
    """Of scenes: side of a window."""
    max_days: float = Field(default=400.0, gt=0)
    """Of scenes: a next acquisition that is later than this is no positive."""
    min_days: float = Field(default=0.5, ge=0)
    """Of scenes: what was seen sooner after is of the same pass, and no positive either."""
    samples_per_epoch: Annotated[int, Field(ge=1)] | Literal["all"] = "all"
    """"all": each anchor once; a number: so many of them, other ones in each epoch."""
    validation_samples: int | None = Field(default=1000, ge=1)
    """Validate on so many triplets, evenly spread; null: on all."""

    @field_validator("run")
    @classmethod
    def _some(cls, run: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not run:
            raise ValueError("data.run: the list is empty; name a run")
        return run

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs, also where it is one."""
        return (self.run,) if isinstance(self.run, str) else self.run


def is_frame_store(run: str) -> bool:
    """Whether an entry of `data.run` is a frame store itself, not the YAML of a run."""
    return run.rstrip("/").endswith(".zarr")


class NegativeConfig(Frozen):
    """Which items may be negatives of frames."""

    exclude_hours: float = Field(default=0.0, ge=0)
    """None within so many hours of the anchor."""
    same_month: bool = False
    """Only from the anchor's month of the year: an ablation, in which the season tells nothing."""


class BlurConfig(Frozen):
    """The positives of simclr-as-written."""

    sigma_px: tuple[float, float] = (0.1, 2.0)
    """Range from which the Gaussian's standard deviation is drawn."""

    @model_validator(mode="after")
    def _range(self) -> BlurConfig:
        low, high = self.sigma_px
        if not 0 <= low <= high < float("inf"):
            raise ValueError(f"blur.sigma_px: {list(self.sigma_px)} is no range [a, b] from 0 on")
        return self


class EmbedRecipeConfig(Recipe):
    """A recipe of an embedder: what makes images alike, and which network learns it."""

    task: Literal["embed"]
    network: EmbedNetworkConfig
    data: EmbedDataConfig
    method: str
    """timely: neighbours in time are alike, more than with another image; timely-ntxent: they are, more than with all
    other images of the batch; simclr-as-written: an image and its blurred self are; simclr-ntxent: two
    augmentations of an image are, more than of any others; frozen: nothing is trained."""
    margin: float = Field(default=0.5, gt=0)
    """By how much farther a negative must be than a positive, in cosine distance."""
    positive_hours: tuple[float, ...] = (3.0,)
    """Of frames: how far positives lie from their anchor."""
    negative: NegativeConfig = NegativeConfig()
    blur: BlurConfig = BlurConfig()
    temperature: float = Field(default=0.1, gt=0)
    """Of simclr-ntxent and timely-ntxent."""
    augment: tuple[str | dict[str, dict[str, Any] | None], ...] = (
        {"RandomResizedCrop": {"scale": [0.2, 1.0], "p": 1.0}},
        "HorizontalFlip",
        {"ColorJitter": {"p": 0.8}},
        {"GaussianBlur": {"p": 0.5}},
    )
    """Of simclr-ntxent: operations of `tiler.augment`."""
    pair_augment: tuple[str | dict[str, dict[str, Any] | None], ...] = ()
    """Of timely-ntxent: operations that change either image of a pair, each by itself."""

    @field_validator("method")
    @classmethod
    def _known(cls, method: str) -> str:
        if method not in METHODS:
            raise ValueError(f"method: {method!r} is none of {', '.join(METHODS)}{_hint(method, METHODS)}")
        return method


def _hint(word: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else ""


TASKS: dict[str, type[Recipe]] = {
    "segment": RecipeConfig,
    "embed": EmbedRecipeConfig,
    "classify": ClassifyRecipeConfig,
    "autoencode": AutoencodeRecipeConfig,
}


def recipe_kind(values: Mapping[str, Any]) -> type[Recipe]:
    """Return the model of a recipe by its `task`; without one it segments.

    Raises:
        ValueError: an unknown task.
    """
    task = values.get("task", "segment")
    if not isinstance(task, str) or task not in TASKS:
        raise ValueError(f"task: {task!r:.200} is none of {', '.join(TASKS)}{_hint(str(task)[:200], tuple(TASKS))}")
    return TASKS[task]
