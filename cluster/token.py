"""The secret of an embedded Ray, and of the cluster that is joined: private before Ray touches it.

Ray looks into `RAY_AUTH_TOKEN`, then the file that `RAY_AUTH_TOKEN_PATH` names, then `~/.ray/auth_token`; where there
is none it makes the last one, readable by everyone. Whoever reads it runs code as its owner.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
import sys
from pathlib import Path

logger = logging.getLogger(__name__)


def private_token(embedded: bool) -> None:
    """Turn token authentication on, and see to the file of the token.

    A file at Ray's own place that others can read is made private, and a warning says so. One that
    ``RAY_AUTH_TOKEN_PATH`` names belongs to whoever put it there (a mounted secret, a group's): where everyone can read
    it, that is only told.

    Args:
        embedded: make a file where there is none, and turn tokens on; a cluster has its own token and its own mode.
    """
    if embedded and "ray" not in sys.modules:  # Ray reads the mode at import; set later, it would refuse itself
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    with contextlib.suppress(RuntimeError):  # there is no home: Ray says what it needs
        path = Path(named) if named else Path.home() / ".ray" / "auth_token"
        if embedded:
            _make(path)
        _check(path, ours=not named)


def _make(path: Path) -> None:
    with contextlib.suppress(OSError):  # it exists, or there can be none: Ray says what it needs
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))


def _check(path: Path, ours: bool) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return
    if not mode & (0o077 if ours else 0o007):
        return
    mended = False
    if ours:
        with contextlib.suppress(OSError):
            path.chmod(0o600)
            mended = True
    what = "it is private now" if mended else "make it private (chmod 600)"
    logger.warning(
        "Ray's token %s could be read by others (mode %o): whoever has it may run code as you; %s, and if others use "
        "this machine, delete it while no Ray runs, so that the next one has another",
        *(path, mode, what),
    )
