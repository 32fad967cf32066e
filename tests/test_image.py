"""The Dockerfile agrees with the pins, with the files of clusters, and with good manners; nothing is built here."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CLUSTER = yaml.safe_load((ROOT / "cluster" / "cluster.yaml").read_text())
KUBERAY = yaml.safe_load((ROOT / "cluster" / "kuberay" / "raycluster.yaml").read_text())
TEXT = (ROOT / "Dockerfile").read_text()
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]


def instructions(text: str) -> list[tuple[str, str]]:
    """Return word and rest of each instruction; lines that go on are joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    words = [" ".join(line.split()).partition(" ") for line in joined if line.strip()]
    return [(word, rest) for word, _, rest in words]


STEPS = instructions(TEXT)


def only(word: str) -> str:
    (found,) = [rest for name, rest in STEPS if name == word]
    return found


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(line.count("==") == 1 for line in lines)
    return {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ]", text)[0].lower().replace("_", "-") for text in requirements}


def test_the_reader_of_instructions_joins_lines_and_drops_comments():
    assert instructions("# a\nFROM x:1\nRUN a \\\n    # why\n    && b\n\nUSER u") == [
        ("FROM", "x:1"),
        ("RUN", "a && b"),
        ("USER", "u"),
    ]


def test_the_base_is_one_version_of_a_python_that_is_allowed():
    python = re.fullmatch(r"python:3\.(\d+)\.(\d+)-slim-[a-z]+(@sha256:[0-9a-f]{64})?", only("FROM"))
    assert python is not None
    assert 11 <= int(python.group(1)) <= 13, "the versions that constraints.txt is tested with"
    assert PROJECT["requires-python"] == ">=3.11"


def test_versions_are_those_of_the_constraints():
    (install,) = [rest for word, rest in STEPS if word == "RUN" and "pip install" in rest]
    assert "--constraint constraints.txt" in install
    assert not re.search(r"[=<>]=|--(extra-)?index-url|--trusted-host", install), "pins stand in constraints.txt"
    extras = re.search(r"'\.\[(.*)\]'", install)
    assert extras is not None
    wanted = names_of(PROJECT["dependencies"])
    for extra in extras.group(1).split(","):
        wanted |= names_of(PROJECT["optional-dependencies"][extra])
    assert wanted - pins().keys() == set(), "every direct requirement has a pin"


def test_the_cluster_runs_the_same_ray_and_this_version_of_sandan():
    assert KUBERAY["spec"]["rayVersion"] == pins()["ray"]
    assert CLUSTER["image"].rpartition(":")[2] == PROJECT["version"]
    assert f"docker build --tag {CLUSTER['image']} ." in TEXT


def test_it_runs_as_the_user_of_the_kubernetes_files():
    user, group = only("USER").split(":")
    context = KUBERAY["spec"]["headGroupSpec"]["template"]["spec"]["securityContext"]
    assert (int(user), int(group)) == (context["runAsUser"], context["runAsGroup"])
    assert user != "0"
    assert f"--uid {user} --gid {group}" in TEXT
    after = [word for word, _ in STEPS[[word for word, _ in STEPS].index("USER") :]]
    assert not {"RUN", "COPY"} & set(after), "what is installed belongs to root"


@pytest.mark.parametrize(
    "bad", [r"\bADD\b", r":latest\b", r"(?i)(password|secret|api_?key|auth_token)\s*=", r"\bsudo\b"]
)
def test_good_manners(bad):
    assert not [step for step in STEPS if re.search(bad, " ".join(step))]


def test_packages_of_the_system_leave_no_lists_behind():
    for word, rest in STEPS:
        if word == "RUN" and "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists" in rest


def test_all_that_is_copied_exists_and_nothing_else_can_get_in():
    copied = [name.removeprefix("./") for word, rest in STEPS if word == "COPY" for name in rest.split()[:-1]]
    assert IGNORED[0] == "*", "a list of what may come in, not of what may not"
    assert {line[1:] for line in IGNORED if line.startswith("!")} == set(copied)
    assert all((ROOT / name).exists() for name in copied)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert {name.split(".")[0] for name in packages} <= set(copied)
    assert {PROJECT["readme"], *PROJECT["license-files"]} <= set(copied)
