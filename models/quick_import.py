"""Importing the libraries that networks come from, without torch's compiler: 1.2 of 2.8 seconds, in every worker.

torchvision asks the compiler, while it is imported, for a function that only its `roi_align` calls, and timm lets the
compiler leave out one loop of one family of networks. Both get a stand-in that asks the compiler when it is called.
Whatever else asks for the compiler gets it: then an import takes as long as it does anyway.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
ASKED = f"{COMPILER}.utils"
"""The module that torchvision imports a function from."""
FUNCTION = "is_compile_supported"


@contextmanager
def without_compiler() -> Iterator[None]:
    """Let libraries be imported that only mention torch's compiler; nothing changes where it is loaded already."""
    import torch.compiler

    if COMPILER in sys.modules:
        yield
        return
    disable, stand_in = torch.compiler.disable, _Utils(ASKED)
    sys.modules[ASKED] = stand_in
    torch.compiler.disable = functools.partial(_disabled_later, disable)
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if sys.modules.get(ASKED) is stand_in:
            del sys.modules[ASKED]


class _Utils(ModuleType):
    """Stands for the module until anything but the one function is asked of it."""

    def __getattr__(self, name: str) -> Any:
        if name == FUNCTION:
            return _is_compile_supported
        if name.startswith("__"):  # what the import system asks of every module
            raise AttributeError(name)
        return getattr(_utils(), name)


def _utils() -> ModuleType:
    """Return the module itself."""
    if isinstance(sys.modules.get(ASKED), _Utils):
        del sys.modules[ASKED]
    return importlib.import_module(ASKED)


def _is_compile_supported(device_type: str) -> Any:
    return getattr(_utils(), FUNCTION)(device_type)


def _disabled_later(disable: Callable[..., Any], function: Any = None, *arguments: Any, **options: Any) -> Any:
    """Return a function that the compiler leaves out; as a decorator with or without options."""
    if function is None:
        return functools.partial(_disabled_later, disable, **options)

    @functools.cache
    def disabled() -> Callable[..., Any]:
        return disable(function, *arguments, **options)

    @functools.wraps(function)
    def call(*values: Any, **named: Any) -> Any:
        return disabled()(*values, **named)

    return call
