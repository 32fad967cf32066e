"""Documents for Kubernetes: what is rendered passes every check, and each way to break it is told in a sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.deployment.check_kubernetes import problems, strict
from cluster.deployment.kubernetes import documents
from cluster.deployment.spec import Deployment
from tests.cluster.deployment.test_check_ray_up import SPEC

SCHEMAS = Path(__file__).resolve().parents[4] / "shared" / "kuberay"
PLACE = {"storage_class": "nfs", "spot_label": {"cloud.google.com/gke-spot": "true"}}
DEPLOYMENT = Deployment.model_validate({**SPEC, "kubernetes": PLACE})
FILES = documents(DEPLOYMENT, "2.60.0")
Break = Callable[[dict[str, Any]], object]

needs_schemas = pytest.mark.skipif(not SCHEMAS.is_dir(), reason=f"KubeRay's schemas absent: {SCHEMAS}")


@needs_schemas
@pytest.mark.parametrize("name", FILES)
def test_what_is_rendered_passes(name: str) -> None:
    for document in FILES[name]:
        before = copy.deepcopy(document)
        assert problems(document, SCHEMAS) == []
        assert document == before, "a check changes nothing"


def test_without_a_shared_volume_there_is_none() -> None:
    without = documents(Deployment.model_validate({**SPEC, "kubernetes": {}}), "2.60.0")
    assert set(FILES) - set(without) == {"storage.yaml"}
    assert "persistentVolumeClaim" not in json.dumps(without["raycluster.yaml"])


def test_a_deployment_without_kubernetes_cannot_be_rendered() -> None:
    with pytest.raises(ValueError, match="found no section `kubernetes`; add it"):
        documents(Deployment.model_validate(SPEC), "2.60.0")


def cluster_of(document: dict[str, Any]) -> dict[str, Any]:
    return document["spec"].get("rayClusterSpec") or document["spec"]


def group(document: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return cluster_of(document)["workerGroupSpecs"][number]


def pod(part: dict[str, Any]) -> dict[str, Any]:
    return part["template"]["spec"]


BROKEN: dict[str, tuple[str, int, Break, str]] = {
    "unknown key": ("raycluster.yaml", 0, lambda d: d["spec"].update(rayVersio="2"), "did you mean 'rayVersion'?"),
    "unknown key in a pod": (
        "raycluster.yaml",
        0,
        lambda d: pod(group(d)).update(tolerationz=[]),
        "unknown key 'tolerationz'; did you mean 'tolerations'?",
    ),
    "missing key": (
        "raycluster.yaml",
        0,
        lambda d: group(d).pop("maxReplicas"),
        "'maxReplicas' is a required property",
    ),
    "wrong type": ("raycluster.yaml", 0, lambda d: group(d).update(maxReplicas="8"), "'8' is not of type 'integer'"),
    "no token": ("raycluster.yaml", 0, lambda d: d["spec"].pop("authOptions"), "authOptions.mode must be token"),
    "no token for a job": ("rayjob.yaml", 0, lambda d: cluster_of(d).pop("authOptions"), "authOptions.mode must be"),
    "work on the head": (
        "raycluster.yaml",
        0,
        lambda d: d["spec"]["headGroupSpec"].update(rayStartParams={}),
        'must say num-cpus: "0"',
    ),
    "no workers": ("raycluster.yaml", 0, lambda d: d["spec"].update(workerGroupSpecs=[]), "nobody would do the work"),
    "another image every day": (
        "raycluster.yaml",
        0,
        lambda d: pod(group(d))["containers"][0].update(image="sandan"),
        "image 'sandan' may be another one tomorrow",
    ),
    "a node of unknown size": (
        "raycluster.yaml",
        0,
        lambda d: pod(group(d))["containers"][0].pop("resources"),
        "resources.limits lack cpu and memory",
    ),
    "no drain": (
        "raycluster.yaml",
        0,
        lambda d: pod(group(d))["containers"][0].pop("lifecycle"),
        "no lifecycle.preStop",
    ),
    "no time to drain": (
        "raycluster.yaml",
        0,
        lambda d: pod(group(d)).pop("terminationGracePeriodSeconds"),
        "terminationGracePeriodSeconds is 30 or less",
    ),
    "no version": ("raycluster.yaml", 0, lambda d: d["spec"].pop("rayVersion"), "rayVersion is missing"),
    "a cluster that stays": (
        "rayjob.yaml",
        0,
        lambda d: d["spec"].update(shutdownAfterJobFinishes=False),
        "shutdownAfterJobFinishes must be true",
    ),
    "no cluster": ("rayjob.yaml", 0, lambda d: d["spec"].pop("rayClusterSpec"), "there is no cluster to run on"),
    "two runs at once": (
        "cronjob.yaml",
        4,
        lambda d: d["spec"].update(concurrencyPolicy="Allow"),
        "concurrencyPolicy must be Forbid",
    ),
    "typo in a CronJob": (
        "cronjob.yaml",
        4,
        lambda d: d["spec"].update(startingDeadlineSecond=3),
        "unknown key; did you mean 'startingDeadlineSeconds'?",
    ),
    "wrong type in a CronJob": ("cronjob.yaml", 4, lambda d: d["spec"].update(schedule=3), "should be str, found 3"),
    "typo in a role": ("cronjob.yaml", 2, lambda d: d["rules"][0].update(verb=["get"]), "did you mean 'verbs'?"),
    "typo in a policy": ("networkpolicy.yaml", 0, lambda d: d["spec"].update(ingres=[]), "did you mean 'ingress'?"),
    "typo in a volume": ("storage.yaml", 0, lambda d: d["spec"].update(accessMode="x"), "did you mean 'accessModes'?"),
    "no such version": ("raycluster.yaml", 0, lambda d: d.update(apiVersion="ray.io/v7"), "there is no version v7"),
    "of nobody": ("raycluster.yaml", 0, lambda d: d.update(apiVersion="v1"), "KubeRay's is ray.io/v1"),
    "no such kind": ("networkpolicy.yaml", 0, lambda d: d.update(kind="NetworkPolice"), "has no such kind"),
    "of another group": ("cronjob.yaml", 4, lambda d: d.update(apiVersion="apps/v1"), "apps/v1 has no such kind"),
    "no name": ("storage.yaml", 0, lambda d: d.update(metadata={}), "metadata.name is missing"),
}


@needs_schemas
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told(name: str) -> None:
    file, number, break_it, told = BROKEN[name]
    document = copy.deepcopy(FILES[file][number])
    break_it(document)
    found = problems(document, SCHEMAS)
    assert any(told in one for one in found), found


@needs_schemas
def test_kuberays_own_schedule_is_refused() -> None:
    job = FILES["rayjob.yaml"][0]["spec"]
    document = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCronJob",
        "metadata": {"name": "monthly"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": job},
    }
    assert any("has no concurrencyPolicy" in told for told in problems(document, SCHEMAS))


@pytest.mark.parametrize("wrong", [None, [], {"kind": "RayCluster"}, "x"])
def test_what_is_no_document_is_told(wrong: Any) -> None:
    assert problems(wrong, None) == ["a document needs apiVersion, kind and metadata"]


def test_schemas_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give the folder of KubeRay's schemas"):
        problems(FILES["raycluster.yaml"][0], None)
    with pytest.raises(ValueError, match=r"found no RayCluster.openapi.json in \S+; give the folder"):
        problems(FILES["raycluster.yaml"][0], tmp_path)


def test_a_strict_schema_allows_what_is_named() -> None:
    loose = {
        "type": "object",
        "properties": {
            "a": {"type": "object", "properties": {"b": {"type": "string"}}},
            "port": {"anyOf": [{"type": "integer"}], "x-kubernetes-int-or-string": True},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"c": {}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    found = strict(loose)
    assert found["additionalProperties"] is False
    assert found["properties"]["a"]["additionalProperties"] is False
    assert found["properties"]["port"] == {"type": ["integer", "string"]}
    assert "additionalProperties" not in found["properties"]["any"]
    assert found["properties"]["labels"]["additionalProperties"] == {"type": "string"}
