"""The page on clusters holds what it shows: the configuration loads, the manifest is one for KubeRay."""

import re
from typing import Any, get_args

import pytest
import yaml

import tiny
from spinlock.config.model import Parallelism
from spinlock.execution.executors.slurm_script import WARNED_SECONDS

PAGE = (tiny.ROOT / "docs" / "cluster.md").read_text()
MANIFEST = tiny.ROOT / "configs" / "cluster" / "rayjob.yaml"

RAY_JOB = {
    "entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit", "rayClusterSpec",
    "activeDeadlineSeconds", "clusterSelector", "runtimeEnvYAML", "submissionMode", "submitterPodTemplate",
    "submitterConfig", "suspend", "jobId", "metadata", "entrypointNumCpus", "entrypointNumGpus",
    "entrypointResources", "deletionStrategy", "managedBy",
}  # fmt: skip
HEAD = {"rayStartParams", "template", "serviceType", "headService", "enableIngress"}
WORKERS = {
    "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template", "suspend",
    "idleTimeoutSeconds", "numOfHosts", "scaleStrategy",
}  # fmt: skip
"""The fields of ray.io/v1 that KubeRay documents."""


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    (found,) = yaml.safe_load_all(MANIFEST.read_text())
    return found


def test_the_manifest_has_the_fields_of_a_ray_job(job):
    assert (job["apiVersion"], job["kind"], set(job)) == (
        "ray.io/v1", "RayJob", {"apiVersion", "kind", "metadata", "spec"},
    )  # fmt: skip
    assert set(job["spec"]) <= RAY_JOB
    cluster = job["spec"]["rayClusterSpec"]
    assert set(cluster) == {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
    assert set(cluster["headGroupSpec"]) <= HEAD
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        assert {"rayStartParams", "template"} <= set(group)
    for group in cluster["workerGroupSpecs"]:
        assert set(group) <= WORKERS
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_all_pods_have_one_image_and_mount_the_volume_of_the_dataset(job):
    cluster = job["spec"]["rayClusterSpec"]
    pods = [group["template"]["spec"] for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]]
    containers = [container for pod in pods for container in pod["containers"]]
    assert len({container["image"] for container in containers}) == 1
    for pod in pods:
        claims = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
        assert set(claims.values()) == {"spinlock-data"}
        for container in pod["containers"]:
            mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert mounted == dict.fromkeys(claims, "/data")
    assert re.findall(r"--(?:config|output) (\S+)", job["spec"]["entrypoint"]) == [
        "/data/my.yaml",
        "/data/my.h5",
    ]
    assert f"rayproject/ray:{cluster['rayVersion']}-" in PAGE


def test_the_command_of_the_manifest_is_one_that_the_program_knows(job):
    from spinlock.cli.program import build_parser

    name, *words = job["spec"]["entrypoint"].split()
    options = build_parser().parse_args(words)
    assert (name, options.command, options.executor) == ("spinlock", "generate", "ray")


def test_the_configuration_on_the_page_loads(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    parallelism = yaml.safe_load(text)["simulation"]["parallelism"]
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, {"simulation.parallelism": parallelism})
    slurm = config.simulation.parallelism.slurm
    assert (slurm.tasks, slurm.options["gres"]) == (32, "gpu:1")


def test_the_page_names_every_executor():
    executors = set(get_args(Parallelism.model_fields["strategy"].annotation)) - {"inline"}
    assert {name for name in executors if f"`{name}`" in PAGE or f"--executor {name}" in PAGE} == executors


def test_numbers_on_the_page_are_those_of_the_code():
    assert WARNED_SECONDS == 60
    assert Parallelism.model_fields["slurm"].get_default().poll_seconds == 10
    assert "A minute before the limit" in PAGE
    assert "every ten\nseconds" in PAGE
