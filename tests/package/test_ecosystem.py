"""What other programs read: workflows, manifests, images and hooks, each looked at by a tool of its own kind."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.package.documents import blocks
from tests.package.source import ROOT
from tests.package.test_docs import wrong

GITHUB = ROOT / ".github"
EXAMPLES = ROOT / "examples"
PIPELINES = ROOT / "docs/howto/deploy-pipelines.md"
SCRIPTS = Path(sysconfig.get_path("scripts"))


def lint(tool: str, *words: object, said: str = "") -> None:
    """Run an installed tool, which has to find nothing; ``said`` is what it has to say of that."""
    done = subprocess.run(
        [str(SCRIPTS / tool), *map(str, words)], capture_output=True, text=True, timeout=120, check=False
    )
    answer = done.stdout + done.stderr
    assert done.returncode == 0, answer
    assert said in answer


def loaded(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.fixture
def shown(tmp_path: Path) -> dict[str, Path]:
    """The complete files of YAML in the how-to about pipelines: a workflow and manifests."""
    found = [block.text for block in blocks(PIPELINES) if block.language == "yaml"]
    files = {"workflow": tmp_path / "deploy.yml", "manifests": tmp_path / "manifests.yml"}
    for file, mark in zip(files.values(), ("\njobs:\n", "\nkind: Deployment\n"), strict=True):
        [text] = [text for text in found if mark in text]
        file.write_text(text, encoding="utf-8")
    return files


def test_the_workflows_are_githubs_and_let_nobody_do_more_than_they_must(shown: dict[str, Path]) -> None:
    files = [*sorted((GITHUB / "workflows").iterdir()), shown["workflow"]]
    assert len(files) > 2
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    lint("zizmor", "--offline", "--config", GITHUB / "zizmor.yml", *files, said="No findings to report")


def test_a_change_is_checked_on_the_oldest_and_the_newest_python() -> None:
    job = loaded(GITHUB / "workflows/ci.yml")["jobs"]["test"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert job["strategy"]["matrix"]["python"] == [versions[0], versions[-1]]
    assert job["steps"][-1]["run"] == ".ci/run"


def test_the_manifests_are_kubernetes(shown: dict[str, Path]) -> None:
    lint("kubernetes-validate", "--strict", shown["manifests"], said="deployment/app")


def test_the_services_start_in_order_and_are_reached_from_this_machine_alone() -> None:
    file = EXAMPLES / "compose.yaml"
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)
    services = loaded(file)["services"]
    for name in ("postgresql", "mysql"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"
        assert services["upgrade"]["depends_on"][name]["condition"] == "service_healthy"
    assert services["app"]["depends_on"] == {"upgrade": {"condition": "service_completed_successfully"}}
    program, *words = services["upgrade"]["command"]
    assert (program, wrong(words)) == ("agno-store", None)
    assert services["upgrade"]["environment"].items() <= services["app"]["environment"].items()
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert (file.parent / services["app"]["build"]["context"]).resolve() == ROOT


def test_the_image_is_made_of_what_is_there_and_runs_as_nobody_special() -> None:
    file = EXAMPLES / "Dockerfile"
    lint("hadolint", file)
    text = file.read_text(encoding="utf-8")
    *_, last = text.split("\nFROM ")
    assert re.search(r"^USER 10001$", last, re.MULTILINE)
    sources = [word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()]
    allowed = re.findall("^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert [pattern for pattern in allowed if Path(source).match(pattern)], f".dockerignore leaves out {source}"


def test_the_hooks_are_pre_commits_and_call_what_is_installed() -> None:
    lint("pre-commit", "validate-config", ROOT / ".pre-commit-config.yaml")
    lint("pre-commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml")
    [repository] = loaded(ROOT / ".pre-commit-config.yaml")["repos"]
    for hook in repository["hooks"]:
        assert (repository["repo"], hook["language"]) == ("local", "system")  # nothing is fetched
        folder, _, program = hook["entry"].split()[0].rpartition("/")
        assert (folder, (SCRIPTS / program).exists()) == (".venv/bin", True)
    [hook] = loaded(ROOT / ".pre-commit-hooks.yaml")
    program, *words = hook["entry"].split()
    assert (program, wrong(words)) == ("agno-store", None)
