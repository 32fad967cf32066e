"""Plans: a run with a product; what cannot be is refused before anything starts."""

from pathlib import Path

import pytest
import yaml

from jobs.config import RunConfig
from jobs.parsing import load
from jobs.schedule_config import NotifyConfig, PlanConfig

PLAN = {
    "product": "runs/korea",
    "scenes": "scenes/*.tif",
    "models": ["net"],
    "grid": {"crs": "EPSG:5179", "resolution_m": 10},
}


def plan(tmp_path, *changes: str, **more) -> PlanConfig:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(PLAN | more))
    return load(PlanConfig, str(path), changes)


def test_a_plan_is_a_run_wherever_it_is_put(tmp_path):
    found = plan(tmp_path, "fuse.threshold=0.4", gates={"min_scenes": 3}, keep=2)
    run = found.run_at("runs/korea/runs/7")
    assert type(run) is RunConfig
    assert (run.out, run.fuse.threshold, run.scenes) == ("runs/korea/runs/7", 0.4, "scenes/*.tif")
    assert run.model_dump() == {**found.model_dump(include=set(RunConfig.model_fields)), "out": run.out}


def test_a_run_is_extended_to_a_plan(tmp_path):
    (tmp_path / "map.yaml").write_text(yaml.safe_dump({k: v for k, v in PLAN.items() if k != "product"} | {"out": "o"}))
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({"extends": "map.yaml", "product": "p", "out": ""}))
    assert load(PlanConfig, str(tmp_path / "plan.yaml")).product == "p"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("out=runs/june", "lie in PRODUCT/runs; take it out"),
        ("grid=auto", "scenes come and go; give crs and resolution"),
        ("models=[]", "names no bundle"),
        ("gates.min_seen=0.9", "add area: FILE"),
        ("gates.min_miou=0.5", "compares with `labels`"),
        ("gates.max_lots=0.5", "did you mean 'max_lost'"),
        ("keep=0", "greater than or equal to 1"),
        ("scenes=https://elsewhere.org/a.tif", "may not be opened"),
        ("notify={url: 'https://hooks.example.org/secret-path'}", "name its host in notify.hosts"),
        ("notify={url: 'http://hooks.example.org/x', hosts: [hooks.example.org]}", "a scheme of ['https']"),
        ("notify={url: 'https://me:pw@hooks.example.org/x', hosts: [hooks.example.org]}", "no user or password"),
        ("notify={url_env: HOOK}", "name the host that may be told"),
        ("notify={hosts: [hooks.example.org]}", "give one of url and url_env"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, change, told):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        plan(tmp_path, change)
    assert told in str(error.value)
    assert "secret-path" not in str(error.value)


def test_a_webhook_may_be_a_secret_of_the_environment():
    found = NotifyConfig(url_env="HOOK", hosts=("hooks.example.org",))
    found.check("https://hooks.example.org/services/T0/B1")
    with pytest.raises(ValueError, match=r"host 'elsewhere\.org'") as error:
        found.check("https://elsewhere.org/services/T0/B1")
    assert "T0" not in str(error.value)


def test_the_plan_of_the_documentation_is_one(tmp_path):
    text = (Path(__file__).resolve().parents[2] / "docs" / "schedule.md").read_text()
    (tmp_path / "plan.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    found = load(PlanConfig, str(tmp_path / "plan.yaml"))
    assert found.gates.model_fields_set == {"min_scenes", "max_lacking", "min_seen", "max_gained", "max_lost"}
