"""`python -m cluster.deployment.make_job RAYJOB.yaml`: what a CronJob runs in a cluster, to start a run there.

Makes a RayJob like the one in the file through Kubernetes' own interface. Its name ends with the minute in which it was
due, so that a try that is repeated makes no second one; while an earlier one of the same name before that still works,
none is made.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds who it is."""
ENDED = ("Complete", "Failed", "Suspended")
TIMEOUT_S = 30.0
CONFLICT = 409


@dataclass(frozen=True)
class Api:
    """The RayJobs of one namespace."""

    base: str
    namespace: str
    token: str
    context: ssl.SSLContext | None = None

    @classmethod
    def here(cls) -> Api:
        """Return that of the pod that this process runs in; KeyError or OSError where it is none."""
        base = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        return cls(base, (ACCOUNT / "namespace").read_text().strip(), (ACCOUNT / "token").read_text().strip(), context)

    def ask(self, method: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask, and return the answer; urllib.error.HTTPError where it is refused."""
        url = f"{self.base}/apis/ray.io/v1/namespaces/{self.namespace}/rayjobs"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=self.context) as answer:
            return dict(json.load(answer))


def make_job(api: Api, document: Mapping[str, Any], now_s: float) -> str:
    """Make a RayJob, unless one of this schedule still works; return what was done, as a sentence.

    Args:
        api: where.
        document: the RayJob; its name gets the minute added.
        now_s: seconds since 1970.

    Raises:
        urllib.error.HTTPError: Kubernetes refused.
    """
    stem = str(document["metadata"]["name"])
    name = f"{stem}-{time.strftime('%Y%m%d%H%M', time.gmtime(now_s))}"
    for job in api.ask("GET").get("items", ()):
        other, state = job["metadata"]["name"], (job.get("status") or {}).get("jobDeploymentStatus", "")
        if other.startswith(f"{stem}-") and other != name and state not in ENDED:
            return f"{other} still works ({state or 'new'}): none made"
    body = {**document, "metadata": {**document["metadata"], "name": name, "namespace": api.namespace}}
    try:
        api.ask("POST", body)
    except urllib.error.HTTPError as error:
        if error.code != CONFLICT:
            raise
        return f"{name} is there already"
    return f"{name} made"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) != 1:
        print(f"usage: python -m cluster.deployment.make_job RAYJOB.yaml\n{__doc__}", file=sys.stderr)
        return 2
    try:
        document = yaml.safe_load(Path(words[0]).read_text())
        print(make_job(Api.here(), document, time.time()))
        return 0
    except (KeyError, OSError, yaml.YAMLError) as error:  # a refusal (HTTPError) is an OSError, too
        print(f"make_job: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
