"""Networks without the first values of their weights, which another source of weights overwrites."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode


class NotInitialised(TorchFunctionMode):
    """Builds networks whose weights are whatever lay in memory: all of them are set later.

    A third of the time to build U-Net++ on EfficientNet-B5; and on encoders of timm torch loads its compiler to draw
    numbers for a network that has no memory.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if getattr(func, "__module__", "") == "torch.nn.init":
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)
