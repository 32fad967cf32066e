"""Files for `ray up`: what is rendered passes every check, and each way to break it is told in a sentence."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from cluster.deployment import ray_up
from cluster.deployment.check_ray_up import problems
from cluster.deployment.spec import Deployment

SPEC = {
    "image": "registry.example.org:5000/sandan:0.1.0",
    "workers": [
        {
            "name": "gpu-spot",
            "cpus": 8,
            "memory_gib": 32,
            "gpus": 1,
            "most": 8,
            "spot": True,
            "aws_instance": "g6.2xlarge",
            "gcp_machine": "n1-standard-8",
            "gcp_accelerator": "nvidia-tesla-t4",
        },
        {
            "name": "gpu",
            "cpus": 8,
            "memory_gib": 32,
            "gpus": 1,
            "least": 1,
            "most": 3,
            "aws_instance": "g6.2xlarge",
            "gcp_machine": "g2-standard-8",
        },
        {"name": "wide", "cpus": 64, "memory_gib": 256, "most": 1},
    ],
    "aws": {
        "region": "ap-northeast-2",
        "zones": ["ap-northeast-2a", "ap-northeast-2c"],
        "image_id": "ami-0123456789abcdef0",
        "instance_profile": "sandan-node",
    },
    "gcp": {
        "project": "maps",
        "region": "asia-northeast3",
        "zone": "asia-northeast3-a",
        "source_image": "projects/maps/global/images/family/ray",
        "service_account": "sandan@maps.iam.gserviceaccount.com",
    },
    "onprem": {"head": "10.0.0.10", "workers": ["10.0.0.11", "10.0.0.12"], "ssh_user": "sandan"},
}
DEPLOYMENT = Deployment.model_validate(SPEC)
RENDERERS = {"aws": ray_up.aws, "gcp": ray_up.gcp, "onprem": ray_up.onprem}
Break = Callable[[dict[str, Any]], object]


def node(config: dict[str, Any], name: str = "gpu") -> dict[str, Any]:
    return config["available_node_types"][name]


def replace(config: dict[str, Any], part: str, old: str, new: str) -> None:
    commands = config[f"{part}_start_ray_commands"]
    assert any(old in command for command in commands)
    config[f"{part}_start_ray_commands"] = [command.replace(old, new) for command in commands]


@pytest.mark.parametrize("place", RENDERERS)
def test_what_is_rendered_passes(place: str) -> None:
    config = RENDERERS[place](DEPLOYMENT)
    before = copy.deepcopy(config)
    assert problems(config) == []
    assert config == before, "a check changes nothing"


def test_groups_without_machines_of_a_cloud_are_left_out_there() -> None:
    assert set(ray_up.aws(DEPLOYMENT)["available_node_types"]) == {"head", "gpu-spot", "gpu"}
    without = Deployment.model_validate({**SPEC, "workers": SPEC["workers"][2:]})
    with pytest.raises(ValueError, match="no group of workers says which machines it is made of on aws"):
        ray_up.aws(without)


@pytest.mark.parametrize("place", RENDERERS)
def test_a_place_that_is_not_described_cannot_be_rendered(place: str) -> None:
    here = DEPLOYMENT.model_copy(update={place: None})
    with pytest.raises(ValueError, match=f"found no section `{place}`; add it"):
        RENDERERS[place](here)


BROKEN: dict[str, tuple[str, Break, str]] = {
    "unknown key": ("aws", lambda c: c.update(max_worker=3), "unknown key 'max_worker'; did you mean 'max_workers'?"),
    "half a GPU": ("aws", lambda c: node(c)["resources"].update(GPU=0.5), "resources.GPU: 0.5 is not of type"),
    "more at least than at most": ("aws", lambda c: node(c).update(min_workers=99), "`max_workers` is smaller"),
    "no such head": ("aws", lambda c: c.update(head_node_type="hed"), "`head_node_type` must be one of"),
    "typo of AWS": ("aws", lambda c: node(c)["node_config"].update(InstanceTyp="x"), "did you mean 'InstanceType'?"),
    "wrong type for AWS": ("aws", lambda c: node(c)["node_config"].update(ImageId=3), "parameter ImageId, value: 3"),
    "no image on AWS": ("aws", lambda c: node(c)["node_config"].pop("ImageId"), "ImageId is missing"),
    "typo of GCP": ("gcp", lambda c: node(c)["node_config"].update(machinType="x"), "did you mean 'machineType'?"),
    "typo in the scheduling of GCP": (
        "gcp",
        lambda c: node(c)["node_config"].update(scheduling=[{"preemptable": True}]),
        "scheduling: unknown key 'preemptable'; did you mean 'preemptible'?",
    ),
    "a GPU of GCP that is to be moved": (
        "gcp",
        lambda c: node(c, "gpu-spot")["node_config"].update(scheduling=[{"provisioningModel": "SPOT"}]),
        "needs scheduling: [{onHostMaintenance: TERMINATE}]",
    ),
    "work on the head": ("aws", lambda c: node(c, "head")["resources"].update(CPU=4), "the head (head) has CPUs"),
    "the head on spot": (
        "aws",
        lambda c: node(c, "head")["node_config"].update(InstanceMarketOptions={"MarketType": "spot"}),
        "the head (head) is a spot machine",
    ),
    "workers on spot alone": ("gcp", lambda c: c["available_node_types"].pop("gpu"), "all workers (gpu-spot) are spot"),
    "stopped spot machines": (
        "aws",
        lambda c: c["provider"].update(cache_stopped_nodes=True),
        "cache_stopped_nodes must be false",
    ),
    "no token mode": ("aws", lambda c: replace(c, "worker", "RAY_AUTH_MODE=token ", ""), "set RAY_AUTH_MODE=token"),
    "no token": ("gcp", lambda c: replace(c, "head", "RAY_AUTH_TOKEN_PATH", "PATH_"), "set RAY_AUTH_TOKEN_PATH"),
    "the token in sight": (
        "aws",
        lambda c: replace(c, "head", "RAY_AUTH_TOKEN_PATH=~/.sandan/token", "RAY_AUTH_TOKEN=deadbeef"),
        "holds the secret itself",
    ),
    "a token that nobody brings": (
        "onprem",
        lambda c: c.update(file_mounts={}),
        "does not bring the token to ~/.sandan",
    ),
    "an open dashboard": (
        "aws",
        lambda c: replace(c, "head", "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0"),
        "--dashboard-host must not be 0.0.0.0",
    ),
    "Ray's own commands": ("aws", lambda c: c.pop("head_start_ray_commands"), "head_start_ray_commands is missing"),
    "a node of before": (
        "aws",
        lambda c: c.update(worker_start_ray_commands=c["worker_start_ray_commands"][1:]),
        "begin with `ray stop`",
    ),
    "no autoscaler": (
        "aws",
        lambda c: replace(c, "head", "--autoscaling-config=~/ray_bootstrap_config.yaml", ""),
        "no worker would come",
    ),
    "the newer autoscaler on own machines": (
        "onprem",
        lambda c: replace(c, "head", "RAY_enable_autoscaler_v2=0 ", ""),
        "set RAY_enable_autoscaler_v2=0",
    ),
    "work on the head of own machines": (
        "onprem",
        lambda c: replace(c, "head", "--num-cpus=0", ""),
        "lacks --num-cpus=0",
    ),
    "another image every day": ("aws", lambda c: c["docker"].update(image="sandan:latest"), "another one tomorrow"),
    "no provider": ("aws", lambda c: c.pop("provider"), "`provider.type` is missing"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told(name: str) -> None:
    place, break_it, told = BROKEN[name]
    config = copy.deepcopy(RENDERERS[place](DEPLOYMENT))
    break_it(config)
    found = problems(config)
    assert any(told in one for one in found), found


@pytest.mark.parametrize("wrong", [None, [], "x", 3])
def test_what_is_no_mapping_is_told(wrong: Any) -> None:
    assert problems(wrong) == [f"the file should hold a mapping of keys to values, found {type(wrong).__name__}"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image": "sandan"}, "image"),
        ({"image": "sandan:latest"}, "may be another one tomorrow"),
        ({"workers": []}, "workers"),
        ({"workers": [SPEC["workers"][0]] * 2}, "found twice: gpu-spot"),
        ({"workers": [{**SPEC["workers"][0], "least": 9}]}, "least .9. is more than most .8."),
        ({"drain_s": 600}, "drain_s"),
        ({"name": "Sandan Cluster"}, "name"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Deployment.model_validate({**SPEC, **changes})
