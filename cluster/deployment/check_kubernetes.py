"""Checks of documents for Kubernetes, without a cluster: the custom resources' own schemas, taken strictly, then what
they let through and a run then suffers from.

An API server drops fields that it does not know without a word; here they are errors.
"""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

KUBERAY = ("RayCluster", "RayJob", "RayService", "RayCronJob")
GROUPS = {
    "CronJob": "batch",
    "Job": "batch",
    "NetworkPolicy": "networking.k8s.io",
    "Role": "rbac.authorization.k8s.io",
    "RoleBinding": "rbac.authorization.k8s.io",
    **dict.fromkeys(("ConfigMap", "PersistentVolumeClaim", "Secret", "Service", "ServiceAccount"), ""),
}
"""Of kinds of Kubernetes itself: the client's models do not tell."""
SIMPLE: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float)}
"""Types of the client's models that YAML has, too."""
INT_OR_STRING = "x-kubernetes-int-or-string"
PRESERVE = "x-kubernetes-preserve-unknown-fields"


def strict(schema: Any) -> Any:
    """Return a schema of a custom resource that allows no field which it does not name.

    Args:
        schema: an `openAPIV3Schema`.
    """
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get(INT_OR_STRING):
        return {"type": ["integer", "string"]}
    found = {key: _strict_part(key, value) for key, value in schema.items()}
    if "properties" in found and "additionalProperties" not in found and not schema.get(PRESERVE):
        found["additionalProperties"] = False
    return found


def _strict_part(key: str, value: Any) -> Any:
    if key in ("properties", "patternProperties"):
        return {name: strict(part) for name, part in value.items()}
    return strict(value)


@cache
def _schema(folder: Path, kind: str, version: str) -> dict[str, Any] | None:
    file = folder / f"{kind}.openapi.json"
    if not file.is_file():
        raise ValueError(
            f"asked to check a {kind}; found no {file.name} in {folder}; give the folder of KubeRay's schemas"
        )
    versions = json.loads(file.read_text())
    if version not in versions:
        return None
    schema = strict(versions[version])
    # These two the API server adds to every kind.
    schema["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    return dict(schema)


def problems(document: Any, schemas: Path | None) -> list[str]:
    """Return what is wrong with one document, in sentences; empty where nothing is.

    Args:
        document: what one document of a YAML file holds.
        schemas: folder with KubeRay's schemas (`RayCluster.openapi.json`, ...); needed for its kinds alone.

    Raises:
        ValueError: the folder lacks a schema that the document needs.
    """
    if not isinstance(document, dict) or not {"apiVersion", "kind", "metadata"} <= document.keys():
        return ["a document needs apiVersion, kind and metadata"]
    kind = str(document["kind"])
    group, _, version = str(document["apiVersion"]).rpartition("/")
    if not isinstance(document["metadata"], dict) or not document["metadata"].get("name"):
        return [f"{kind}: metadata.name is missing"]
    if kind in KUBERAY and group != "ray.io":
        return [f"{kind}: apiVersion is {document['apiVersion']}; KubeRay's is ray.io/v1"]
    if kind in KUBERAY:
        if schemas is None:
            raise ValueError(f"to check a {kind}, give the folder of KubeRay's schemas")
        schema = _schema(schemas, kind, version)
        if schema is None:
            return [f"{kind}: there is no version {version} of it"]
        found = list(_against(document, schema))
    else:
        found = list(_of_kubernetes(document))
    return [f"{kind} {document['metadata']['name']}: {told}" for told in (found or list(_rules(kind, document)))]


def _against(document: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    from jsonschema import Draft202012Validator

    for error in Draft202012Validator(schema).iter_errors(document):
        where = ".".join(map(str, error.absolute_path)) or "the document"
        if error.validator == "additionalProperties":
            known = list(error.schema.get("properties", ()))
            for key in (key for key in error.instance if key not in known):
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                yield f"{where}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        else:
            yield f"{where}: {error.message[:300]}"


def _of_kubernetes(document: Mapping[str, Any]) -> Iterator[str]:
    """Kinds of Kubernetes itself, against the models of its Python client."""
    from kubernetes import client

    group, _, version = str(document["apiVersion"]).rpartition("/")
    name = f"{version[:1].upper()}{version[1:]}{document['kind']}"
    model = getattr(client, name, None)
    if model is None or GROUPS.get(document["kind"], group) != group:
        yield f"apiVersion {document['apiVersion']} has no such kind"
        return
    yield from _against_model(copy.deepcopy(dict(document)), model.__name__, "")


def _against_model(value: Any, kind: str, where: str) -> Iterator[str]:
    from kubernetes import client

    if kind.startswith("list["):
        if not isinstance(value, list):
            yield f"{where}: should be a list, found {type(value).__name__}"
            return
        for number, part in enumerate(value):
            yield from _against_model(part, kind[5:-1], f"{where}.{number}")
    elif kind.startswith("dict("):
        if not isinstance(value, dict):
            yield f"{where}: should be a mapping, found {type(value).__name__}"
    elif hasattr(client, kind):
        model = getattr(client, kind)
        if not isinstance(value, dict):
            yield f"{where}: should be a mapping, found {type(value).__name__}"
            return
        known = {key: name for name, key in model.attribute_map.items()}
        for key, part in value.items():
            path = f"{where}.{key}".lstrip(".")
            if key not in known:
                near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
                yield f"{path}: unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
            else:
                yield from _against_model(part, model.openapi_types[known[key]], path)
    else:
        wanted = SIMPLE.get(kind)
        if wanted is not None and (not isinstance(value, wanted) or (isinstance(value, bool) and kind != "bool")):
            yield f"{where}: should be {kind}, found {value!r}"


def _rules(kind: str, document: Mapping[str, Any]) -> Iterator[str]:
    spec = document.get("spec") or {}
    if kind == "RayCronJob":
        yield "has no concurrencyPolicy: runs overlap, and every missed tick is made up for; use a CronJob"
    if kind == "CronJob" and spec.get("concurrencyPolicy") != "Forbid":
        yield "spec.concurrencyPolicy must be Forbid: two runs would work for one map"
    if kind == "RayJob":
        if "rayClusterSpec" not in spec and "clusterSelector" not in spec:
            yield "spec.rayClusterSpec is missing: there is no cluster to run on"
        if not spec.get("shutdownAfterJobFinishes") and "rayClusterSpec" in spec:
            yield "spec.shutdownAfterJobFinishes must be true: the cluster would stay, and cost, when the run is done"
    cluster = spec if kind == "RayCluster" else spec.get("rayClusterSpec")
    if cluster:
        yield from _of_cluster(cluster)


def _of_cluster(cluster: Mapping[str, Any]) -> Iterator[str]:
    if (cluster.get("authOptions") or {}).get("mode") != "token":
        yield "authOptions.mode must be token: without it whoever reaches a port runs code"
    head = cluster.get("headGroupSpec") or {}
    if str((head.get("rayStartParams") or {}).get("num-cpus")) != "0":
        yield 'headGroupSpec.rayStartParams must say num-cpus: "0": units of work would land beside the driver'
    groups = cluster.get("workerGroupSpecs") or []
    if not groups:
        yield "workerGroupSpecs is empty: nobody would do the work"
    for name, part in [("headGroupSpec", head), *((f"workerGroupSpecs.{g.get('groupName')}", g) for g in groups)]:
        yield from (f"{name}: {told}" for told in _of_pod(_pod(part), worker=part is not head))
    version = cluster.get("rayVersion")
    if not version:
        yield "rayVersion is missing: the operator starts each version of Ray in another way"


def _pod(group: Mapping[str, Any]) -> Mapping[str, Any]:
    return (group.get("template") or {}).get("spec") or {}


def _of_pod(pod: Mapping[str, Any], worker: bool) -> Iterator[str]:
    containers: Sequence[Mapping[str, Any]] = pod.get("containers") or []
    if not containers:
        yield "its pod has no containers"
        return
    first = containers[0]
    image = str(first.get("image", ""))
    if ":" not in image.rpartition("/")[2] or image.endswith(":latest"):
        yield f"image {image!r} may be another one tomorrow; give a version, or a digest (@sha256:...)"
    limits = (first.get("resources") or {}).get("limits") or {}
    missing = [key for key in ("cpu", "memory") if key not in limits]
    if missing:
        yield f"resources.limits lack {' and '.join(missing)}: Ray would count those of the whole node as its own"
    if worker and not ((first.get("lifecycle") or {}).get("preStop")):
        yield "no lifecycle.preStop: a pod that is taken away would not be drained, and loses what it works on"
    if worker and first.get("lifecycle") and int(pod.get("terminationGracePeriodSeconds", 30)) <= 30:
        yield "terminationGracePeriodSeconds is 30 or less: preStop would be cut short; give 10 s more than it takes"
