"""Telling a webhook how a tick ended. That it cannot be told never fails a tick."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from cluster.redact import redact, redacted
from jobs.schedule_config import NotifyConfig


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: its target is a host that nobody named."""

    def redirect_request(self, *_: Any) -> None:
        return None


def notify(config: NotifyConfig, told: Mapping[str, Any]) -> str:
    """Post what is told, as JSON; return `told`, or why that could not be done.

    The host alone is named in it: the path of a webhook's address is often its secret.
    """
    url = config.url or os.environ.get(config.url_env, "")
    if not url:
        return f"not told: the environment has no {config.url_env}"
    headers = {"Content-Type": "application/json", "User-Agent": "sandan"}
    if config.token_env:
        headers["Authorization"] = f"Bearer {os.environ.get(config.token_env, '')}"
    try:
        config.check(url)
        body = json.dumps(redacted(told), default=str).encode()
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")
        with urllib.request.build_opener(_Stay).open(request, timeout=config.timeout_s):
            return "told"
    except urllib.error.HTTPError as error:
        error.close()
        return f"not told: the webhook answered {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return redact(f"not told: {str(error).replace(url, 'the webhook')}")
