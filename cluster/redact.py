"""Secrets taken out of what is kept or shown: logs, run records, reports."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
LEAST = 6
"""Shorter values of variables are not looked for: they would be found in any text."""

_NAME = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|API_?KEY|ACCESS_KEY|PRIVATE_KEY|SIGNATURE", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(://)[^/\s@]+@")
_IN_QUERY = re.compile(
    r"([?&](?:x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|sig|signature|"
    r"(?:access_|subscription-|api_?)?(?:token|key|secret)|password)=)[^&\s\"']+",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"(?i)\b([a-z_]*(?:secret|token|password|passwd|api_?key)[a-z_]*[\"']?\s*[=:]\s*[\"']?)[^\s\"',&}]+"
)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text without secrets.

    Taken out are: the values of environment variables whose name says that they are secret, names and passwords in
    addresses, signatures and tokens in queries of addresses, and what is assigned to a name like `password`.

    Args:
        text: any.
        environment: variables; this process's if None.
    """
    for name, value in (os.environ if environment is None else environment).items():
        if len(value) >= LEAST and _NAME.search(name) and value in text and not os.path.exists(value):
            text = text.replace(value, f"<{name}>")
    text = _IN_ADDRESS.sub(rf"\1{HIDDEN}@", text)
    text = _IN_QUERY.sub(rf"\1{HIDDEN}", text)
    return _ASSIGNED.sub(rf"\1{HIDDEN}", text)


def redacted(value: Any) -> Any:
    """Return plain data (nested dicts and lists) with `redact` applied to every text in it."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return value
