"""Configuration of the map itself: how scenes become one, and what files it is published in."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobs.frozen import Frozen


class FuseConfig(Frozen):
    """How scenes become one map, and logits classes."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability from which a pixel is of the class."""
    rule: Literal["mean", "latest", "clearest", "best_n"] = "mean"
    """What a pixel that several scenes saw takes: the mean of all, the newest scene, the one with the fewest clouds, or
    the mean of the `best_n` with the fewest."""
    best_n: int = Field(default=3, ge=1)
    """Of the rule of that name."""

    @property
    def most(self) -> int | None:
        """How many scenes a pixel takes; None for all."""
        return {"mean": None, "latest": 1, "clearest": 1, "best_n": self.best_n}[self.rule]

    @model_validator(mode="after")
    def _told(self) -> FuseConfig:
        if self.rule != "best_n" and "best_n" in self.model_fields_set and self.best_n != 3:
            raise ValueError(
                f"best_n {self.best_n} is of the rule best_n, the rule is {self.rule}; set fuse.rule=best_n"
            )
        return self


class PublishConfig(Frozen):
    """In what files a map is published."""

    one_file_px: int = Field(default=131_072, ge=1)
    """Height and width up to which every product is one GeoTIFF; a larger map is published in sheets."""
    sheet_cells: int = Field(default=16, ge=1)
    """Side of a sheet in cells of the map grid (2048 px): the same sheet is the same place in every run."""
