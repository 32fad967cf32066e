"""Test-time augmentation: the views in which a tile is shown to a network, and their way back."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class View:
    """A flip of the last two axes. Flips are their own inverse; `invert` says which direction is meant."""

    name: str
    axes: tuple[int, ...]
    """The axes that are reversed: -1 is left-right, -2 is up-down."""

    def apply(self, image: Tensor) -> Tensor:
        """Show the view: (..., h, w) of any dtype to the same shape. Channels move together."""
        return image.flip(self.axes) if self.axes else image

    def invert(self, logits: Tensor) -> Tensor:
        """Bring what a network said about the view back to the pixels of the original."""
        return self.apply(logits)


IDENTITY = View("identity", ())
LEFT_RIGHT = View("left-right", (-1,))
UP_DOWN = View("up-down", (-2,))
BOTH = View("both", (-2, -1))

# Each entry is a group: a view of a view is in the entry too. Only then does the mean over the views
# commute with each of them.
VIEWS: dict[str, tuple[View, ...]] = {
    "none": (IDENTITY,),
    "flips4": (IDENTITY, LEFT_RIGHT, UP_DOWN, BOTH),
}
