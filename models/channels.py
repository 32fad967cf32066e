"""From the channels of one network to those of another, by their names."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ChannelMap:
    """Which channel of a saved network becomes which channel of a new one; names that both have are the same thing."""

    saved: tuple[str, ...]
    wanted: tuple[str, ...]

    def __post_init__(self) -> None:
        for names in (self.saved, self.wanted):
            if len(set(names)) != len(names):
                raise ValueError(f"Channels must have unique names to be mapped, got {list(names)}. Rename one.")
        if not set(self.saved) & set(self.wanted):
            raise ValueError(
                f"The source has the channels {list(self.saved)}, the network {list(self.wanted)}: none in common. "
                "Rename the bands of the sensor, or map by position with stem='tile' or stem='zero'."
            )

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves."""
        return self.saved == self.wanted

    def stem(self, weight: Tensor) -> Tensor:
        """Return the first convolution of the new network: (out, saved, kh, kw) to (out, wanted, kh, kw).

        The slices of channels that the source has are its own, to the last bit; those of new channels are zero, so
        that at first the network answers as the source does, whatever the new channels hold.
        Raises ValueError: the weight has another number of channels than the source has names.
        """
        if weight.shape[1] != len(self.saved):
            raise ValueError(
                f"The card of the source names {len(self.saved)} channels {list(self.saved)}, but its first "
                f"convolution takes {weight.shape[1]}. Card and weights do not belong together."
            )
        made = weight.new_zeros(weight.shape[0], len(self.wanted), *weight.shape[2:])
        for place, name in enumerate(self.wanted):
            if name in self.saved:
                made[:, place] = weight[:, self.saved.index(name)]
        return made

    def values(self, saved: Sequence[float], own: Sequence[float]) -> list[float]:
        """Return one number per wanted channel: that of the source where it has the channel, else from `own`."""
        return [
            saved[self.saved.index(name)] if name in self.saved else value
            for name, value in zip(self.wanted, own, strict=True)
        ]

    def __str__(self) -> str:
        if self.is_identity:
            return "as saved"
        new = [name for name in self.wanted if name not in self.saved]
        dropped = [name for name in self.saved if name not in self.wanted]
        parts = [f"names {len(self.saved)} -> {len(self.wanted)}"]
        parts += [f"new (zero): {', '.join(new)}"] if new else []
        parts += [f"dropped: {', '.join(dropped)}"] if dropped else []
        parts += ["reordered"] if not new and not dropped else []
        return "; ".join(parts)
