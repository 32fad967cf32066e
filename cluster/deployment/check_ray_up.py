"""Checks of a file for `ray up`, without a cloud: Ray's own, then what Ray lets through and a run then suffers from."""

from __future__ import annotations

import copy
import difflib
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

GCP_INSTANCE = {
    "machineType", "disks", "guestAccelerators", "scheduling", "serviceAccounts", "networkInterfaces", "labels", "tags",
    "metadata", "minCpuPlatform", "canIpForward", "description", "shieldedInstanceConfig", "reservationAffinity",
    "advancedMachineFeatures", "confidentialInstanceConfig", "deletionProtection", "hostname",
    "networkPerformanceConfig",
    "privateIpv6GoogleAccess", "resourceManagerTags", "resourcePolicies", "sourceMachineImage", "params",
}  # fmt: skip
"""Fields of an instance, from the reference of Compute Engine's `instances.insert`, that may be chosen."""
GCP_SCHEDULING = {
    "onHostMaintenance", "automaticRestart", "preemptible", "provisioningModel", "instanceTerminationAction",
    "minNodeCpus", "nodeAffinities", "locationHint", "maxRunDuration", "availabilityDomain", "terminationTime",
    "localSsdRecoveryTimeout", "onInstanceStopAction", "hostErrorTimeoutSeconds",
}  # fmt: skip
RAY_OF_AWS = {"SubnetIds", "SecurityGroupIds", "KeyName"}
"""Keys of a node configuration that Ray takes, and turns into others."""


def problems(config: Any) -> list[str]:
    """Return what is wrong with a file for `ray up`, in sentences; empty where nothing is.

    Args:
        config: what the YAML file holds.
    """
    if not isinstance(config, dict):
        return [f"the file should hold a mapping of keys to values, found {type(config).__name__}"]
    if not isinstance(config.get("provider"), dict) or "type" not in config["provider"]:
        return ["`provider.type` is missing; give aws, gcp or local"]
    found = list(_of_ray(config))
    if found:
        return found
    return [*_of_nodes(config), *_of_commands(config), *_of_files(config)]


def _of_ray(config: dict[str, Any]) -> Iterator[str]:
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    # Ray says what it fills in; a check says what is wrong.
    logging.getLogger("ray.autoscaler._private.util").setLevel(logging.ERROR)
    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except jsonschema.ValidationError as error:
        yield _told(error)
    except KeyError as error:
        yield f"key {error} is missing"
    except Exception as error:  # Ray raises whatever its defaults stumble over
        yield f"Ray refuses it: {error}"


def _told(error: Any) -> str:
    where = ".".join(map(str, error.absolute_path)) or "the file"
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", ()))
        unknown = [key for key in error.instance if key not in known]
        return "; ".join(f"{where}: unknown key {key!r}{_nearest(key, known)}" for key in unknown)
    return f"{where}: {error.message}"


def _nearest(key: str, known: Any) -> str:
    near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _of_nodes(config: Mapping[str, Any]) -> Iterator[str]:
    kind, types = config["provider"]["type"], config.get("available_node_types", {})
    head = config.get("head_node_type")
    for name, node in types.items():
        settings = node["node_config"]
        yield from (f"available_node_types.{name}.node_config: {told}" for told in _of_settings(kind, settings))
        if name == head and node["resources"].get("CPU") != 0:
            yield f"the head ({name}) has CPUs for work; give it resources: {{CPU: 0}}, drivers need the machine"
        if name == head and _is_spot(kind, settings):
            yield f"the head ({name}) is a spot machine: when it goes, every run stops; take it on demand"
    spot = [name for name, node in types.items() if _is_spot(kind, node["node_config"])]
    workers = [name for name in types if name != head]
    if workers and set(spot) >= set(workers):
        yield f"all workers ({', '.join(workers)}) are spot machines; add a group on demand for when there are none"
    if kind == "aws" and spot and config["provider"].get("cache_stopped_nodes", True):
        yield "provider.cache_stopped_nodes must be false: a spot machine that was stopped cannot be started again"


def _is_spot(kind: str, settings: Mapping[str, Any]) -> bool:
    if kind == "aws":
        return (settings.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
    found = settings.get("scheduling") or []
    plans = found if isinstance(found, list) else [found]
    return any(plan.get("preemptible") or plan.get("provisioningModel") == "SPOT" for plan in plans)


def _of_settings(kind: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """What Ray passes on without a look: a typo in it fails when the first machine is started."""
    if kind == "aws":
        from botocore.session import Session
        from botocore.validate import ParamValidator

        shape = Session().get_service_model("ec2").operation_model("RunInstances").input_shape
        unknown = [key for key in settings if key not in RAY_OF_AWS and key not in shape.members]
        yield from (f"unknown key {key!r}{_nearest(key, shape.members)}" for key in unknown)
        asked = {key: value for key, value in settings.items() if key not in RAY_OF_AWS and key not in unknown}
        report = ParamValidator().validate({**asked, "MinCount": 1, "MaxCount": 1}, shape)
        if report.has_errors():
            yield from (line.replace(" in input", "") for line in report.generate_report().splitlines())
        if "ImageId" not in settings:
            yield "ImageId is missing: Ray would take an image of its own choice, and another one with its next version"
    if kind == "gcp":
        yield from (f"unknown key {key!r}{_nearest(key, GCP_INSTANCE)}" for key in settings if key not in GCP_INSTANCE)
        plans = settings.get("scheduling") or []
        if not isinstance(plans, list):
            yield "scheduling must be a list of one mapping: Ray merges it so"
            return
        for plan in plans:
            yield from (
                f"scheduling: unknown key {key!r}{_nearest(key, GCP_SCHEDULING)}"
                for key in plan
                if key not in GCP_SCHEDULING
            )
        if settings.get("guestAccelerators") and not any(p.get("onHostMaintenance") == "TERMINATE" for p in plans):
            yield "a machine with guestAccelerators needs scheduling: [{onHostMaintenance: TERMINATE}]"


def _of_commands(config: Mapping[str, Any]) -> Iterator[str]:
    for part in ("head", "worker"):
        key = f"{part}_start_ray_commands"
        commands = config.get(key)
        if not commands:
            yield f"{key} is missing: Ray's own commands start a cluster without a token; write them out"
            continue
        starts = [command for command in commands if re.search(r"\bray start\b", command)]
        if not starts:
            yield f"{key}: none of the commands is `ray start`"
        for command in starts:
            yield from (f"{key}: {told}" for told in _of_start(command, part, config["provider"]["type"]))
        if not any(re.search(r"\bray stop\b", command) for command in commands):
            yield f"{key}: begin with `ray stop`; a second `ray up` would find the node of the first"


def _of_start(command: str, part: str, kind: str) -> Iterator[str]:
    if "RAY_AUTH_MODE=token" not in command:
        yield "set RAY_AUTH_MODE=token before `ray start`: without it whoever reaches a port runs code"
    elif "RAY_AUTH_TOKEN_PATH=" not in command and "RAY_AUTH_TOKEN=" not in command:
        yield "set RAY_AUTH_TOKEN_PATH before `ray start`: each node would make a token of its own"
    if re.search(r"\bRAY_AUTH_TOKEN=", command):
        yield "RAY_AUTH_TOKEN holds the secret itself, which every process listing shows; give RAY_AUTH_TOKEN_PATH"
    if re.search(r"--dashboard-host[= ]('|\")?(0\.0\.0\.0|::)", command):
        yield "--dashboard-host must not be 0.0.0.0 (all of the world); 127.0.0.1 is reached through ssh"
    if part == "head" and "--autoscaling-config" not in command:
        yield "`ray start` of the head lacks --autoscaling-config=~/ray_bootstrap_config.yaml: no worker would come"
    if part == "head" and kind == "local":
        if "RAY_enable_autoscaler_v2=0" not in command:
            yield "set RAY_enable_autoscaler_v2=0 before `ray start`: version 2 starts one of several own machines"
        if not re.search(r"--num-cpus[= ]0\b", command):
            yield "`ray start` of the head lacks --num-cpus=0: units of work would land beside the driver"


def _of_files(config: Mapping[str, Any]) -> Iterator[str]:
    mounts = config.get("file_mounts") or {}
    starts = [*(config.get("head_start_ray_commands") or []), *(config.get("worker_start_ray_commands") or [])]
    paths = {found for command in starts for found in re.findall(r"RAY_AUTH_TOKEN_PATH=['\"]?([^\s'\"]+)", command)}
    for path in sorted(paths):
        if not any(path == mount or path.startswith(mount.rstrip("/") + "/") for mount in mounts):
            yield f"file_mounts does not bring the token to {path}, where the nodes look for it"
    image = (config.get("docker") or {}).get("image", "")
    if image and (":" not in image.rpartition("/")[2] or image.endswith(":latest")):
        yield f"docker.image {image} may be another one tomorrow; give a version, or a digest (@sha256:...)"
