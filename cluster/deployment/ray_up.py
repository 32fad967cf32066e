"""Files for `ray up`, on AWS, on Google Cloud and on machines of one's own."""

from __future__ import annotations

from typing import Any

from cluster.deployment.spec import NODE, Deployment, Workers

PORT = 6379
GIB = 2**30
HEAD = "head"


def aws(deployment: Deployment) -> dict[str, Any]:
    """Return the file for AWS."""
    place = deployment.aws
    if place is None:
        raise ValueError("asked for a cluster on AWS; found no section `aws`; add it")
    disk = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": place.disk_gb, "VolumeType": "gp3"}}]
    common = {
        "ImageId": place.image_id,
        "BlockDeviceMappings": disk,
        "IamInstanceProfile": {"Name": place.instance_profile},
        # Version 2 of the metadata service only: the other one answers to whoever makes a process fetch a URL.
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    }
    spot = {"InstanceMarketOptions": {"MarketType": "spot"}}
    groups = {
        group.name: _node_type(group, {**common, "InstanceType": group.aws_instance, **(spot if group.spot else {})})
        for group in deployment.workers
        if group.aws_instance
    }
    head = {**common, "InstanceType": deployment.head.aws_instance}
    provider = {
        "type": "aws",
        "region": place.region,
        "availability_zone": ",".join(place.zones),
        "cache_stopped_nodes": False,  # a stopped spot machine cannot be started again
        "use_internal_ips": True,
    }
    return _in_containers(deployment, provider, {"ssh_user": place.ssh_user}, head, groups)


def gcp(deployment: Deployment) -> dict[str, Any]:
    """Return the file for Google Cloud."""
    place = deployment.gcp
    if place is None:
        raise ValueError("asked for a cluster on Google Cloud; found no section `gcp`; add it")
    disk = {"diskSizeGb": place.disk_gb, "sourceImage": place.source_image}
    common = {
        "disks": [{"boot": True, "autoDelete": True, "type": "PERSISTENT", "initializeParams": disk}],
        "serviceAccounts": [
            {"email": place.service_account, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
        ],
    }

    def node_config(group: Workers) -> dict[str, Any]:
        kind = f"zones/{place.zone}/acceleratorTypes/{group.gcp_accelerator}"
        cards = [{"acceleratorType": kind, "acceleratorCount": group.gpus}] if group.gcp_accelerator else None
        # A machine with a GPU cannot be moved while it runs; Ray wants scheduling as a list.
        fixed = {"onHostMaintenance": "TERMINATE"} if group.gpus else {}
        spot = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"} if group.spot else {}
        return {
            **common,
            "machineType": group.gcp_machine,
            **({"guestAccelerators": cards} if cards else {}),
            **({"scheduling": [{**fixed, **spot}]} if fixed or spot else {}),
        }

    groups = {g.name: _node_type(g, node_config(g)) for g in deployment.workers if g.gcp_machine}
    head = {**common, "machineType": deployment.head.gcp_machine}
    provider = {
        "type": "gcp",
        "region": place.region,
        "availability_zone": place.zone,
        "project_id": place.project,
        "use_internal_ips": True,
    }
    return _in_containers(deployment, provider, {"ssh_user": place.ssh_user}, head, groups)


def onprem(deployment: Deployment) -> dict[str, Any]:
    """Return the file for machines of one's own, on which Sandan is installed."""
    place = deployment.onprem
    if place is None:
        raise ValueError("asked for a cluster of one's own machines; found no section `onprem`; add it")
    # Version 2 of the autoscaler takes the head for a worker and starts one of several.
    head = f"RAY_enable_autoscaler_v2=0 {_head_command(deployment, place.ray)}"
    return {
        "cluster_name": deployment.name,
        "provider": {"type": "local", "head_ip": place.head, "worker_ips": list(place.workers)},
        "auth": {"ssh_user": place.ssh_user, "ssh_private_key": place.ssh_key},
        "max_workers": len(place.workers),
        "min_workers": len(place.workers),
        "idle_timeout_minutes": deployment.idle_minutes,
        "file_mounts": {deployment.token_on_nodes: deployment.token_file},
        "setup_commands": [_protect(deployment), _on_path(place.ray)],
        "head_start_ray_commands": [f"{place.ray} stop", head],
        "worker_start_ray_commands": [f"{place.ray} stop", _worker_command(deployment, place.ray)],
    }


def _node_type(group: Workers, node_config: dict[str, Any]) -> dict[str, Any]:
    resources = {"CPU": group.cpus, **({"GPU": group.gpus} if group.gpus else {})}
    return {
        "resources": {**resources, "memory": group.memory_gib * GIB * 8 // 10},
        "labels": {"sandan-group": group.name, "sandan-spot": str(group.spot).lower()},
        "min_workers": group.least,
        "max_workers": group.most,
        "priority": int(group.spot),  # first what is cheap, else what can be had
        "node_config": node_config,
    }


def _in_containers(
    deployment: Deployment,
    provider: dict[str, Any],
    auth: dict[str, Any],
    head: dict[str, Any],
    groups: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    if not groups:
        raise ValueError(f"no group of workers says which machines it is made of on {provider['type']}; name them")
    return {
        "cluster_name": deployment.name,
        "max_workers": sum(group["max_workers"] for group in groups.values()),
        "idle_timeout_minutes": deployment.idle_minutes,
        "provider": provider,
        "auth": auth,
        "docker": {"image": deployment.image, "container_name": deployment.name, "pull_before_run": True},
        "head_node_type": HEAD,
        # No CPUs: no unit of work lands beside the driver.
        "available_node_types": {HEAD: {"resources": {"CPU": 0}, "node_config": head}, **groups},
        "file_mounts": {deployment.token_on_nodes: deployment.token_file},
        "setup_commands": [_protect(deployment)],
        "head_start_ray_commands": ["ray stop", f"ulimit -n 65536; {_head_command(deployment, 'ray')}"],
        "worker_start_ray_commands": ["ray stop", f"ulimit -n 65536; {_worker_command(deployment, 'ray')}"],
    }


def _protect(deployment: Deployment) -> str:
    return f"chmod 600 {deployment.token_on_nodes}"


def _on_path(ray: str) -> str:
    # `ray down` runs `ray stop` on the head, wherever that is; where it finds none it says that all went well.
    line = f'PATH="{ray.rpartition("/")[0]}:$PATH"'
    return f"grep -qsF '{line}' ~/.bashrc || echo '{line}' >> ~/.bashrc"


def _environment(deployment: Deployment) -> str:
    known = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": deployment.token_on_nodes, **NODE}
    return " ".join(f"{key}={value}" for key, value in known.items())


def _head_command(deployment: Deployment, ray: str) -> str:
    # The dashboard, through which jobs are submitted, listens to this machine alone: reach it through ssh.
    options = f"--head --port={PORT} --num-cpus=0 --dashboard-host=127.0.0.1"
    return f"{_environment(deployment)} {ray} start {options} --autoscaling-config=~/ray_bootstrap_config.yaml"


def _worker_command(deployment: Deployment, ray: str) -> str:
    return f"{_environment(deployment)} {ray} start --address=$RAY_HEAD_IP:{PORT}"
