"""All files of a deployment, as text."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import yaml

from cluster.deployment import kubernetes, machines, ray_up
from cluster.deployment.spec import Deployment

HEADER = "# Rendered from {source} by `sandan cluster render`: change that, not this.\n"


def rendered(deployment: Deployment, source: str) -> dict[str, str]:
    """Return path to text of every file that a deployment asks for.

    Args:
        deployment: what to render.
        source: name of the file that it was read from, to be told in each.
    """
    files: dict[str, list[Any]] = {}
    for name, section, render in (
        ("aws.yaml", deployment.aws, ray_up.aws),
        ("gcp.yaml", deployment.gcp, ray_up.gcp),
        ("onprem.yaml", deployment.onprem, ray_up.onprem),
    ):
        if section is not None:
            files[name] = [render(deployment)]
    if deployment.kubernetes is not None:
        found = kubernetes.documents(deployment, version("ray"))
        files |= {f"kuberay/{name}": documents for name, documents in found.items()}
    head = HEADER.format(source=source)
    texts = {name: head + _yaml(documents) for name, documents in files.items()}
    if deployment.onprem is not None:
        texts |= {f"systemd/{name}": head + text for name, text in machines.units(deployment).items()}
        texts |= {name: head + text for name, text in machines.schedule(deployment).items()}
    return texts


class _Plain(yaml.SafeDumper):
    """No anchors: people read these files."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(documents: Iterable[Any]) -> str:
    return "---\n".join(yaml.dump(d, Dumper=_Plain, sort_keys=False, width=1000) for d in documents)
