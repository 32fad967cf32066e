"""What went wrong with a unit, as data: from an exception to the kind that decides what is done about it.

A worker describes an exception by names, numbers and texts, because an exception itself may not unpickle elsewhere; and
nothing is imported to understand it, because whoever decides may have neither torch nor GDAL.
"""

from __future__ import annotations

import enum
import errno
import os
import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TEXT_LIMIT = 2_000
_TRACEBACK_LIMIT = 32_000
_CHAIN_LIMIT = 32


class Kind(enum.StrEnum):
    """Kinds of faults, the weakest first: where several are found in one chain of exceptions, the last one counts."""

    INPUT = "input"
    """The unit's own data, or a fault of the program: it would come back anywhere."""
    TRANSIENT = "transient"
    """Storage or network: later it may work."""
    DENIED = "denied"
    """No right to read or write, or a write that failed without a word why: another worker may fare better, otherwise
    every other unit meets the same."""
    TAKEN = "taken"
    """The node was taken away (preempted, drained, died): no unit did that."""
    SILENT = "silent"
    """The worker no longer answered: it is hung, stopped or out of reach."""
    START = "start"
    """The worker hung before it was ready: in an import, in loading a model, on a mount that is stuck."""
    OVERDUE = "overdue"
    """The unit ran for longer than any unit may."""
    NODE = "node"
    """The worker died, or can compute no more (a broken CUDA context)."""
    MEMORY = "memory"
    """Too little of it: alone on a worker it may fit."""
    FATAL = "fatal"
    """The output takes nothing more (disk full, quota, read-only): no worker would fare better."""


_SEVERITY = {kind: rank for rank, kind in enumerate(Kind)}

_BY_ERRNO = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EROFS), Kind.FATAL),
    errno.ENOMEM: Kind.MEMORY,
    **dict.fromkeys((errno.EACCES, errno.EPERM), Kind.DENIED),
    **dict.fromkeys(
        (
            *(errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.ENAMETOOLONG, errno.ELOOP),
            *(errno.EFBIG, errno.EBADF, errno.EILSEQ, errno.ENOTEMPTY, errno.EXDEV, errno.ESPIPE, errno.ENOEXEC),
        ),
        Kind.INPUT,
    ),
}
"""Any other number is a trouble of device or network: ``TRANSIENT``."""

_BY_NAME = {
    **dict.fromkeys(("OutOfDiskError",), Kind.FATAL),
    **dict.fromkeys(("MemoryError", "OutOfMemoryError"), Kind.MEMORY),
    **dict.fromkeys(("AcceleratorError", "CudaAPIError", "CUDARuntimeError", "BrokenExecutor"), Kind.NODE),
    **dict.fromkeys(
        ("PermissionError", "PermissionDeniedError", "UnauthenticatedError", "NotSupportedError"), Kind.DENIED
    ),
    **dict.fromkeys(("ConnectionError", "TimeoutError", "StorageError", "GenericError", "JoinError"), Kind.TRANSIENT),
}

_NUMBER = re.compile(r"(?:os error|\[errno) (\d+)\b", re.IGNORECASE)
"""How libraries in Rust, and exceptions that quote others, tell the number of the system's error."""

_STRERROR = {
    os.strerror(number).lower(): kind
    for number, kind in {
        **{number: kind for number, kind in _BY_ERRNO.items() if kind is not Kind.INPUT},
        **dict.fromkeys(
            (
                *(errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.EMFILE, errno.ETIMEDOUT, errno.ECONNRESET),
                *(errno.ECONNREFUSED, errno.ECONNABORTED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPIPE),
            ),
            Kind.TRANSIENT,
        ),
    }.items()
}

_BY_TEXT = {
    **_STRERROR,
    "free disk space available is": Kind.FATAL,  # GDAL, before it creates a file that would not fit
    **dict.fromkeys(
        ("out of memory", "can't allocate memory", "unable to allocate", "bad_alloc", "status_alloc_failed"),
        Kind.MEMORY,
    ),
    **dict.fromkeys(
        ("cuda error", "cuda driver", "cudaerror", "cudnn_status_", "cublas_status_", "device-side assert"), Kind.NODE
    ),
    **dict.fromkeys(("nccl error", "hip error", "uncorrectable ecc"), Kind.NODE),
    **dict.fromkeys(("accessdenied", "access denied", "expiredtoken", "response code: 403"), Kind.DENIED),
    # What GDAL says in an exception when a disk is full; the reason goes to its log alone.
    **dict.fromkeys(("write failed", "write error", "error writing"), Kind.DENIED),
    **dict.fromkeys(
        (
            *("timed out", "timeout", "connection reset", "connection refused", "connection closed", "curl error"),
            *("response code: 429", "response code: 5", "slowdown", "slow down", "service unavailable"),
            *("temporary failure in name resolution", "could not resolve host", "can't start new thread"),
        ),
        Kind.TRANSIENT,
    ),
}


@dataclass(frozen=True)
class Link:
    """One exception of a chain."""

    names: tuple[str, ...]
    """Names of its class and of all bases."""
    errno: int | None
    """The system's number of the error, where it is an ``OSError`` that has one."""
    text: str
    """What it says, shortened."""


@dataclass(frozen=True)
class Seen:
    """An exception as a worker saw it: what travels."""

    chain: tuple[Link, ...]
    """The exception, then what it was raised from or while handling."""
    trace: str
    """The traceback, ending in the exception's own lines."""


@dataclass(frozen=True)
class Fault:
    """What ended an attempt at a unit."""

    kind: Kind
    error: str
    """All that is known: a traceback, or what was said of a lost worker."""

    @property
    def reason(self) -> str:
        """The last line of the error."""
        return self.error.strip().rpartition("\n")[2]


def describe(error: BaseException) -> Seen:
    """Describe an exception, with what caused it."""
    trace = "".join(traceback.format_exception(error))
    return Seen(tuple(_link(one) for one in _chain(error)), _shortened(trace, _TRACEBACK_LIMIT))


def fault_of(seen: Seen) -> Fault:
    """Return the fault that an exception is."""
    return Fault(classify(seen.chain), seen.trace)


def classify(chain: Sequence[Link]) -> Kind:
    """Return the gravest kind of which a chain of exceptions shows a sign; ``INPUT`` where there is none."""
    signs = (kind for link in chain for kind in _signs(link))
    return max(signs, key=_SEVERITY.__getitem__, default=Kind.INPUT)


def _signs(link: Link) -> Iterator[Kind]:
    if link.errno is not None:
        yield _BY_ERRNO.get(link.errno, Kind.TRANSIENT)
    yield from (_BY_NAME[name] for name in link.names if name in _BY_NAME)
    yield from (_BY_ERRNO.get(int(number), Kind.TRANSIENT) for number in _NUMBER.findall(link.text))
    text = link.text.lower()
    yield from (kind for words, kind in _BY_TEXT.items() if words in text)


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < _CHAIN_LIMIT:
        one = waiting.pop(0)
        if one is None or any(one is other for other in found):
            continue
        found.append(one)
        waiting.append(one.__cause__ or (None if one.__suppress_context__ else one.__context__))
        waiting.extend(one.exceptions if isinstance(one, BaseExceptionGroup) else ())
    return found


def _link(error: BaseException) -> Link:
    number = error.errno if isinstance(error, OSError) else None  # GDAL's errors have numbers of their own by this name
    try:
        text = str(error)
    except Exception:  # whoever wrote such a __str__ must not decide the fate of the unit
        text = ""
    names = tuple(one.__name__ for one in type(error).__mro__)
    return Link(names, number if isinstance(number, int) else None, _shortened(text, _TEXT_LIMIT))


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]}\n... {len(text) - limit} characters left out ...\n{text[-(limit - head) :]}"
