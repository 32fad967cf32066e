"""What a run says of a collection of images: folders or lists, classes, masks, the split, and what becomes of sizes."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

COLUMNS = ("path", "label", "split", "source", "mask", "group")
"""Of a list, by the names that it may call otherwise (`columns`); only the first must be there."""
MaskKind = Literal["png", "via", "pixel_annotation_tool"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MaskSpec(_Frozen):
    """Where the masks of images are, and what their values mean."""

    kind: MaskKind = "png"
    """png: an image of the same name; via: a JSON of the VGG Image Annotator; pixel_annotation_tool: its
    `_watershed_mask.png`, or its `_color_mask.png` where `colours` are given."""
    root: str | None = None
    """Folder of the masks; none: beside the images."""
    suffix: str | None = None
    """Between the image's name and the mask's ending, such as "_mask"; default: none, or that of the tool."""
    threshold: int = Field(default=128, ge=1, le=255)
    """From this grey value a pixel is of class 1; without `codes` and `colours`."""
    codes: dict[int, int] = {}
    """Value in the mask to class index; other values are not labelled."""
    colours: dict[str, int] = {}
    """Colour such as "#ff8000" to class index; other colours are not labelled."""
    file: str | None = None
    """The JSON of VIA, any version."""
    attribute: str = "class"
    """Of a region of VIA: which of its attributes names the class."""
    classes: dict[str, int] = {}
    """Value of that attribute to class index; regions of other values are background."""
    without: Literal["leave_out", "background", "unlabelled"] = "leave_out"
    """What an image without a mask is; an image of VIA without regions is background all the same."""

    @field_validator("colours")
    @classmethod
    def _are_colours(cls, colours: dict[str, int]) -> dict[str, int]:
        for colour in colours:
            if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
                raise ValueError(f"{colour!r} is no colour; write it as '#rrggbb', in quotes")
        return {colour.lower(): index for colour, index in colours.items()}

    @model_validator(mode="after")
    def _fits_its_kind(self) -> MaskSpec:
        indices = [*self.codes.values(), *self.colours.values(), *self.classes.values()]
        if any(not 0 <= index < 255 for index in indices):
            raise ValueError(f"class indices run from 0 (background) to 254, got {sorted(set(indices))}")
        if self.kind == "via":
            if not self.file or not self.classes:
                raise ValueError(
                    "masks of VIA need `file` (its JSON) and `classes` (value of `attribute` to class index)"
                )
            if min(self.classes.values()) < 1:
                raise ValueError("classes of VIA count from 1; what is not listed is background already")
        elif self.file or self.classes:
            raise ValueError(f"`file` and `classes` are of masks of VIA, the kind is {self.kind}; set `kind: via`")
        if self.codes and self.colours:
            raise ValueError("a mask has `codes` or `colours`, not both; take one out")
        if self.kind == "pixel_annotation_tool" and not (self.codes or self.colours):
            raise ValueError("masks of the Pixel Annotation Tool need `codes` (its label ids), or `colours`")
        return self

    @property
    def ending(self) -> str:
        """What stands between the name of an image and the ending of its mask."""
        if self.suffix is not None or self.kind != "pixel_annotation_tool":
            return self.suffix or ""
        return "_color_mask" if self.colours else "_watershed_mask"

    @property
    def label_values(self) -> tuple[int, ...]:
        """Class indices that a mask may hold."""
        given = {*self.codes.values(), *self.colours.values(), *self.classes.values()} or {1}
        thresholded = self.kind == "png" and not self.codes and not self.colours
        background = thresholded or self.kind == "via" or self.without == "background"
        return tuple(sorted(given | ({0} if background else set())))


class CollectionSpec(_Frozen):
    """Images below one folder."""

    name: str = Field(default="", pattern=r"^[^/\\]*$")
    """What its images are called by as a source; "" where there is one collection only."""
    root: str
    """Folder of the images; folders in it are looked through too, names that begin with a dot are not."""
    list: str | None = None
    """CSV with the columns of `COLUMNS`; none: every image below the folder."""
    columns: dict[str, str] = {}
    """Column of `COLUMNS` to what the list calls it."""
    encoding: str = "utf-8-sig"
    """Of the list; spreadsheets in Korean often write cp949."""
    classes: Literal["none", "folder", "list"] = "none"
    """What names the class of an image: nothing, its first folder (below that of the split), or the list."""
    masks: MaskSpec | None = None

    @model_validator(mode="after")
    def _has_its_list(self) -> CollectionSpec:
        if self.list is None and (self.classes == "list" or self.columns):
            raise ValueError("`classes: list` and `columns` need a `list`; name the CSV")
        unknown = sorted(set(self.columns) - set(COLUMNS))
        if unknown:
            raise ValueError(f"columns: {unknown} are unknown; known are {list(COLUMNS)}")
        return self


class SplitSpec(_Frozen):
    """Which images train, which choose the best state of a network, and which judge it."""

    by: Literal["ratio", "list", "folder"] = "ratio"
    """ratio: drawn by `seed`, the same share of every class and source; list: the column split; folder: the first
    folder below the root, called train, validation (val, valid) or test."""
    validation: float = Field(default=0.15, ge=0, lt=1)
    """Share of the images, rounded up."""
    test: Annotated[float, Field(ge=0, lt=1)] | Literal["same-as-val"] = 0.15
    """Share of the images, rounded up; or what was meant to choose also judges, which favours what was chosen."""
    seed: int = 0

    @model_validator(mode="after")
    def _leaves_some(self) -> SplitSpec:
        if self.by == "ratio" and self.validation + self.test_share >= 1:
            raise ValueError(f"validation {self.validation:g} and test {self.test_share:g} leave nothing to train on")
        return self

    @property
    def same_as_val(self) -> bool:
        """Whether validation also judges."""
        return self.test == "same-as-val"

    @property
    def test_share(self) -> float:
        """Share of images that only judge."""
        return 0.0 if isinstance(self.test, str) else self.test


class ImagesSpec(_Frozen):
    """A collection of images as a data set of equal tiles."""

    layout: Literal["images"]
    root: str | None = None
    """Of the only collection; with `list`, `columns`, `encoding`, `classes` and `masks` as in `CollectionSpec`."""
    list: str | None = None
    columns: dict[str, str] = {}
    encoding: str = "utf-8-sig"
    classes: Literal["none", "folder", "list"] = "none"
    masks: MaskSpec | None = None
    collections: tuple[CollectionSpec, ...] = ()
    """Several of them, with names, instead of `root`."""
    sources: tuple[str, ...] = ()
    """Names of the collections, and values of the column source, that are used; none given: all."""
    class_names: tuple[str, ...] = ()
    """Classes of whole images; none given: those that are found. An image of another class is an error."""
    split: SplitSpec = SplitSpec()
    side_px: int = Field(default=256, ge=8, le=8192)
    """Height and width that every image gets."""
    fit: Literal["stretch", "pad", "crop"] = "stretch"
    """How: both axes are resized; the shape is kept and padding is missing; or the middle square is taken."""
    label_fit: Literal["nearest", "most", "any"] = "nearest"
    """Where masks shrink: the pixel in the middle, the class of most of the area, or a class wherever there is any."""
    preprocess: tuple[str | dict[str, dict[str, Any] | None], ...] = ()
    """Operations of `tiler.preprocess` on the resized image, in order."""
    missing_limit: float | None = Field(default=None, ge=0, le=1)
    """Largest missing ratio (padding) of an image that is kept; default: all."""

    @model_validator(mode="after")
    def _one_or_several(self) -> ImagesSpec:
        if (self.root is None) == (not self.collections):
            raise ValueError("layout images needs `root`, or several named `collections`, not both")
        if self.collections:
            alone = [key for key in ("list", "columns", "classes", "masks") if key in self.model_fields_set]
            if alone:
                raise ValueError(f"`{alone[0]}` belongs into each of the `collections`; move it there")
            names = [c.name for c in self.collections]
            if not all(names) or len(set(names)) < len(names):
                raise ValueError(f"collections need names of their own, got {names}")
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError(f"class_names: a name stands there twice in {list(self.class_names)}; take one out")
        return self

    @property
    def parts(self) -> tuple[CollectionSpec, ...]:
        """The collections, however they were written."""
        if self.root is None:
            return self.collections
        given = {key: getattr(self, key) for key in ("root", "list", "columns", "encoding", "classes", "masks")}
        return (CollectionSpec(**given),)

    @property
    def tile_px(self) -> int:
        """Side of every tile."""
        return self.side_px


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return a hint at the known name that is most like one, or nothing."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else ""
