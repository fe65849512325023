"""The job files of clouds: their fields are those of the services, and they run what a worker of a scheduler runs."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from nwbpipe.errors import OverwriteError, RequestError
from nwbpipe.project import Project, write_cloud_jobs
from nwbpipe.project.submit import _cloud_jobs
from tests.fixtures.projects import HEAD, STEPS, make_project

pytestmark = pytest.mark.usefixtures("test_processors")

KINDS = """
[executor.kinds.standard]
workers = 3
memory = "2GiB"
queue = "lab-queue"
[executor.kinds.ephys]
workers = 1
cores = 8
gpu = 1
memory = "16GB"
walltime = "10:00:00"
queue = "gpu"
options = { accelerator = "nvidia-tesla-t4", machine_type = "n1-standard-8" }
"""
EPHYS = STEPS + 'resources = { kind = "ephys", cpu = 8, gpu = 1, time_limit_s = 3600 }\n'
# Fields of Job and its parts, of Google Batch v1: https://cloud.google.com/batch/docs/reference/rest/v1/projects.locations.jobs
GOOGLE: dict[str, Any] = {
    "name": str, "uid": str, "priority": str, "notifications": list, "labels": dict,
    "taskGroups": [{
        "name": str, "taskCount": int, "parallelism": int, "schedulingPolicy": str, "taskCountPerNode": int,
        "requireHostsFile": bool, "permissiveSsh": bool, "runAsNonRoot": bool, "taskEnvironments": list,
        "taskSpec": {
            "runnables": [{
                "displayName": str, "ignoreExitStatus": bool, "background": bool, "alwaysRun": bool,
                "environment": dict, "timeout": str, "labels": dict, "script": dict, "barrier": dict,
                "container": {
                    "imageUri": str, "commands": [str], "entrypoint": str, "volumes": [str], "options": str,
                    "blockExternalNetwork": bool, "username": str, "password": str, "enableImageStreaming": bool,
                },
            }],
            "computeResource": {"cpuMilli": int, "memoryMib": int, "bootDiskMib": int},
            "maxRunDuration": str, "maxRetryCount": int, "environments": dict, "volumes": list, "environment": dict,
            "lifecyclePolicies": [{"action": str, "actionCondition": {"exitCodes": [int]}}],
        },
    }],
    "allocationPolicy": {
        "location": dict, "serviceAccount": dict, "labels": dict, "network": dict, "placement": dict, "tags": [str],
        "instances": [{
            "installGpuDrivers": bool, "installOpsAgent": bool, "blockProjectSshKeys": bool, "instanceTemplate": str,
            "policy": {
                "machineType": str, "minCpuPlatform": str, "provisioningModel": str, "bootDisk": dict, "disks": list,
                "reservation": str,
                "accelerators": [{"type": str, "count": int, "installGpuDrivers": bool, "driverVersion": str}],
            },
        }],
    },
    "logsPolicy": {"destination": str, "logsPath": str, "cloudLoggingOption": dict},
}  # fmt: skip


def check(value: Any, fields: Any, place: str = "job") -> None:
    """Hold a document to the fields of its type."""
    if isinstance(fields, type):
        assert isinstance(value, fields), place
    elif isinstance(fields, list):
        assert isinstance(value, list), place
        for item in value:
            check(item, fields[0], place)
    else:
        assert set(value) <= set(fields), place
        for name, item in value.items():
            check(item, fields[name], f"{place}.{name}")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.fixtures.projects.Project", lambda _: None)
        make_project(folder, 4, "")
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that counts as one whose stores are buckets."""
    monkeypatch.setattr(_cloud_jobs, "is_remote", lambda _root: True)
    return open_project(template, tmp_path / "lab", KINDS)


def open_project(template: Path, folder: Path, kinds: str) -> Project:
    shutil.copytree(template / "nwb", folder / "nwb")
    (folder / "nwbpipe.toml").write_text(HEAD + EPHYS + kinds)
    return Project(folder)


def read(folder: Path) -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in folder.iterdir()}


def test_aws_gets_a_definition_and_an_array_of_jobs(project: Project, tmp_path: Path) -> None:
    from botocore.session import get_session
    from botocore.validate import ParamValidator

    commands = write_cloud_jobs(project, "aws", "lab/nwbpipe:1", tmp_path / "jobs", ["m1/*"])
    documents = read(tmp_path / "jobs")
    assert [command.partition(" --cli")[0] for command in commands] == [
        "aws batch register-job-definition", "aws batch submit-job",
    ] * 2  # fmt: skip
    service = get_session().get_service_model("batch")  # as Amazon publishes it
    operations = {"definition": "RegisterJobDefinition", "job": "SubmitJob"}
    for name, document in documents.items():
        shape = service.operation_model(operations[name.removesuffix(".json").rpartition("-")[2]]).input_shape
        report = ParamValidator().validate(document, shape)
        assert not report.has_errors(), f"{name}: {report.generate_report()}"
        assert f"jobs/{name}" in " ".join(commands)
    definition = documents["nwbpipe-lab-ephys-definition.json"]
    needs = {item["type"]: item["value"] for item in definition["containerProperties"]["resourceRequirements"]}
    assert needs == {"VCPU": "8", "MEMORY": "15259", "GPU": "1"}
    assert definition["containerProperties"]["command"] == [
        "nwbpipe", "run", "--project=/project/nwbpipe.toml", "--executor=local", "--workers=1", "--kind=ephys",
        "--idle=150", "--session=m1/*",
    ]  # fmt: skip
    assert definition["timeout"] == {"attemptDurationSeconds": 36000}
    standard = documents["nwbpipe-lab-standard-job.json"]
    assert (standard["jobQueue"], standard["arrayProperties"]) == ("lab-queue", {"size": 3})
    assert "arrayProperties" not in documents["nwbpipe-lab-ephys-job.json"]  # an array has two jobs at least


def test_google_gets_a_job_for_each_kind(project: Project, tmp_path: Path) -> None:
    commands = write_cloud_jobs(project, "google", "lab/nwbpipe:1", tmp_path / "jobs")
    documents = read(tmp_path / "jobs")
    for document in documents.values():
        check(document, GOOGLE)
    assert commands[0].startswith("gcloud batch jobs submit nwbpipe-lab-standard --location=LOCATION --config=")
    job = documents["nwbpipe-lab-ephys.json"]
    assert job["taskGroups"][0]["taskSpec"]["computeResource"] == {"cpuMilli": 8000, "memoryMib": 15259}
    assert job["allocationPolicy"]["instances"] == [
        {
            "policy": {
                "machineType": "n1-standard-8",
                "accelerators": [{"type": "nvidia-tesla-t4", "count": 1}],
            },
            "installGpuDrivers": True,
        }
    ]
    assert documents["nwbpipe-lab-standard.json"]["taskGroups"][0]["taskCount"] == 3


def test_commands_are_quoted_names_differ_and_no_file_of_the_user_is_replaced(
    template: Path, tmp_path: Path, project: Project
) -> None:
    folder = tmp_path / "jobs; touch x"
    commands = write_cloud_jobs(project, "google", "lab/nwbpipe:1", folder)
    assert shlex.split(commands[0])[-1] == f"--config={folder / 'nwbpipe-lab-standard.json'}"
    assert write_cloud_jobs(project, "google", "lab/nwbpipe:1", folder) == commands  # the same again
    mine = folder / "nwbpipe-lab-ephys.json"
    mine.write_text(mine.read_text().replace('"labels"', '"label"'))
    before = read(folder)
    with pytest.raises(OverwriteError, match="with another content"):
        write_cloud_jobs(project, "google", "lab/nwbpipe:1", folder)
    assert read(folder) == before
    other = open_project(template, tmp_path / "long", KINDS)
    other.spec.path.write_text(other.spec.path.read_text().replace('name = "lab"', f'name = "{"l" * 70}"'))
    write_cloud_jobs(Project(other.spec.path), "google", "lab/nwbpipe:1", tmp_path / "two")
    assert sorted(len(name) <= 63 for name in read(tmp_path / "two")) == [True, True]


def test_what_a_cloud_can_t_run_is_refused_before_a_file_is_written(
    template: Path, tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = KINDS.replace('queue = "lab-queue"\n', "").replace("accelerator", "other")
    other = open_project(template, tmp_path / "other", bare)
    with pytest.raises(RequestError, match="lacks a job queue of AWS Batch"):
        write_cloud_jobs(other, "aws", "lab/nwbpipe:1", tmp_path / "jobs")
    with pytest.raises(RequestError, match="does not name its GPU"):
        write_cloud_jobs(other, "google", "lab/nwbpipe:1", tmp_path / "jobs")
    with pytest.raises(RequestError, match="there is no cloud 'gcp'"):
        write_cloud_jobs(other, "gcp", "lab/nwbpipe:1", tmp_path / "jobs")
    monkeypatch.undo()
    with pytest.raises(RequestError, match="the store 'state' is a folder of this machine"):
        write_cloud_jobs(project, "aws", "lab/nwbpipe:1", tmp_path / "jobs")
    assert not (tmp_path / "jobs").exists()
