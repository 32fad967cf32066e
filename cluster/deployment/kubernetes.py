"""Files for Kubernetes with the KubeRay operator."""

from __future__ import annotations

from typing import Any

import yaml

from cluster.deployment.spec import NODE, Deployment, Kubernetes, Workers

SHARED = "/runs"
"""Where the volume that all pods share is seen."""
CONFIGURED = "/etc/sandan"
"""Where the head, and the schedule, see what they are to do."""
Document = dict[str, Any]


def documents(deployment: Deployment, ray_version: str) -> dict[str, list[Document]]:
    """Return file name to the documents of it.

    Args:
        deployment: with a section `kubernetes`.
        ray_version: of the image, such as 2.60.0: the operator starts Ray accordingly.

    Raises:
        ValueError: there is no such section.
    """
    place = deployment.kubernetes
    if place is None:
        raise ValueError("asked for a cluster on Kubernetes; found no section `kubernetes`; add it")
    files = {
        "raycluster.yaml": [_cluster(deployment, place, ray_version)],
        "rayjob.yaml": [_job(deployment, place, ray_version)],
        "cronjob.yaml": _cron_job(deployment, place, ray_version),
        "networkpolicy.yaml": [_network_policy(deployment, place)],
    }
    return files | ({"storage.yaml": [_volume(deployment, place)]} if place.storage_class else {})


def _named(kind: str, version: str, deployment: Deployment, place: Kubernetes, spec: Any, name: str = "") -> Document:
    metadata = {"name": name or deployment.name, "namespace": place.namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _cluster(deployment: Deployment, place: Kubernetes, ray_version: str) -> Document:
    return _named("RayCluster", "ray.io/v1", deployment, place, _cluster_spec(deployment, place, ray_version))


def _cluster_spec(deployment: Deployment, place: Kubernetes, ray_version: str) -> dict[str, Any]:
    return {
        "rayVersion": ray_version,
        # The operator makes the token, and gives it to every pod.
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"version": "v2", "idleTimeoutSeconds": 60 * deployment.idle_minutes},
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0"},  # no unit of work lands beside the driver
            "template": {"spec": _head(deployment, place)},
        },
        "workerGroupSpecs": [_group(deployment, place, group) for group in deployment.workers],
    }


def _head(deployment: Deployment, place: Kubernetes) -> dict[str, Any]:
    pod = _pod(deployment, place, "ray-head", deployment.head.cpus, deployment.head.memory_gib, 0)
    # The run's configuration, or the plan: kubectl create configmap NAME-run --from-file=map.yaml
    pod["containers"][0].setdefault("volumeMounts", []).append({"name": "run", "mountPath": CONFIGURED})
    pod.setdefault("volumes", []).append(
        {"name": "run", "configMap": {"name": f"{deployment.name}-run", "optional": True}}
    )
    return pod


def _group(deployment: Deployment, place: Kubernetes, group: Workers) -> dict[str, Any]:
    pod = _pod(deployment, place, "ray-worker", group.cpus, group.memory_gib, group.gpus)
    container = pod["containers"][0]
    # Told that it will go, a node takes no new units and has time to finish those that it has.
    drain = ["/bin/sh", "-c", f"python -m cluster.drain --seconds {deployment.drain_s}"]
    container["lifecycle"] = {"preStop": {"exec": {"command": drain}}}
    pod["terminationGracePeriodSeconds"] = deployment.drain_s + 10
    tolerated = [{"key": place.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}] if group.gpus else []
    if group.spot and place.spot_label:
        pod["nodeSelector"] = dict(place.spot_label)
        tolerated += [
            {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}
            for key, value in place.spot_label.items()
        ]
    if tolerated:
        pod["tolerations"] = tolerated
    return {
        "groupName": group.name,
        "replicas": group.least,
        "minReplicas": group.least,
        "maxReplicas": group.most,
        "priority": int(group.spot),  # first what is cheap, else what can be had
        "labels": {"sandan-group": group.name, "sandan-spot": str(group.spot).lower()},
        "rayStartParams": {},
        "template": {"spec": pod},
    }


def _pod(
    deployment: Deployment, place: Kubernetes, container: str, cpus: int, memory_gib: int, gpus: int
) -> dict[str, Any]:
    needs: dict[str, Any] = {"cpu": str(cpus), "memory": f"{memory_gib}Gi"}
    if gpus:
        needs[place.gpu_resource] = str(gpus)
    pod: dict[str, Any] = {
        "automountServiceAccountToken": container
        == "ray-head",  # the autoscaler asks for pods; workers ask for nothing
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 100, "fsGroup": 100},
        "containers": [
            {
                "name": container,
                "image": deployment.image,
                "resources": {"limits": needs, "requests": dict(needs)},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "env": [{"name": name, "value": value} for name, value in NODE.items()],
            }
        ],
    }
    if place.storage_class:
        pod["containers"][0]["volumeMounts"] = [{"name": "runs", "mountPath": SHARED}]
        pod["volumes"] = [{"name": "runs", "persistentVolumeClaim": {"claimName": f"{deployment.name}-runs"}}]
    return pod


def _job(deployment: Deployment, place: Kubernetes, ray_version: str) -> Document:
    spec = _job_spec(deployment, place, ray_version, f"python -m jobs.map {CONFIGURED}/map.yaml")
    return _named("RayJob", "ray.io/v1", deployment, place, spec)


def _job_spec(deployment: Deployment, place: Kubernetes, ray_version: str, command: str) -> dict[str, Any]:
    return {
        "entrypoint": command,
        "submissionMode": "SidecarMode",  # no pod beside the cluster whose connection may hang
        "backoffLimit": 2,  # each try is a new cluster; what an earlier one finished is not done again
        "activeDeadlineSeconds": 24 * 3600,
        "preRunningDeadlineSeconds": 1800,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 600,
        "rayClusterSpec": _cluster_spec(deployment, place, ray_version),
    }


def _cron_job(deployment: Deployment, place: Kubernetes, ray_version: str) -> list[Document]:
    """A CronJob that makes a RayJob: KubeRay's own has no `concurrencyPolicy` and catches up on every missed tick.

    The RayJob is a tick of the plan: kubectl create configmap NAME-run --from-file=plan.yaml
    """
    name = f"{deployment.name}-schedule"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": place.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    metadata = {"name": name, "namespace": place.namespace}
    rbac = "rbac.authorization.k8s.io/v1"
    rules = [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get", "list"]}]
    container = {
        "name": "schedule",
        "image": deployment.image,
        "command": ["python", "-m", "cluster.deployment.make_job", f"{CONFIGURED}/rayjob.yaml"],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "job", "mountPath": CONFIGURED}],
    }
    pod = {
        "serviceAccountName": name,
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 100},
        "containers": [container],
        "volumes": [{"name": "job", "configMap": {"name": f"{deployment.name}-job"}}],
    }
    spec = {
        "schedule": place.schedule,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 3600,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
    }
    tick = _job_spec(deployment, place, ray_version, f"python -m jobs.schedule {CONFIGURED}/plan.yaml")
    job = yaml.safe_dump(_named("RayJob", "ray.io/v1", deployment, place, tick), sort_keys=False, width=1000)
    job_metadata = {"name": f"{deployment.name}-job", "namespace": place.namespace}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": job_metadata, "data": {"rayjob.yaml": job}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": rules},
        {"apiVersion": rbac, "kind": "RoleBinding", "metadata": metadata, "subjects": [subject], "roleRef": role},
        _named("CronJob", "batch/v1", deployment, place, spec, name),
    ]


def _network_policy(deployment: Deployment, place: Kubernetes) -> Document:
    """Only pods of the cluster reach its pods: three ports of Ray answer without a token."""
    own = {"podSelector": {"matchLabels": {"ray.io/cluster": deployment.name}}}
    operator = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}}}
    spec = {
        "podSelector": {"matchLabels": {"ray.io/cluster": deployment.name}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [own]}, {"from": [operator], "ports": [{"protocol": "TCP", "port": 8265}]}],
    }
    return _named("NetworkPolicy", "networking.k8s.io/v1", deployment, place, spec)


def _volume(deployment: Deployment, place: Kubernetes) -> Document:
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": place.storage_class,
        "resources": {"requests": {"storage": f"{place.storage_gib}Gi"}},
    }
    return _named("PersistentVolumeClaim", "v1", deployment, place, spec, f"{deployment.name}-runs")
