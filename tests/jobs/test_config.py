"""Configuration: parsed once, and every mistake is answered with what would be right."""

import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import jobs
from jobs.config import EngineConfig, InferConfig, RunConfig
from jobs.curate_recipe import CurateRecipe
from jobs.embed_recipe_config import recipe_kind
from jobs.parsing import load
from jobs.recipe_config import RecipeConfig

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted([*ROOT.glob("examples/**/*.yaml"), *Path(jobs.__file__).parent.glob("recipes/**/*.yaml")])
MINIMAL = {"out": "o", "scenes": "s/*.tif"}


def write(folder: Path, name: str = "map.yaml", **values: object) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values))
    return str(path)


def refusal(folder: Path, *overrides: str, kind: type = RunConfig, **values: object) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load(kind, write(folder, **values), overrides)
    text = str(error.value)
    assert "\n" not in text
    return text


def resolved(path: Path) -> dict:
    values = yaml.safe_load(path.read_text())
    parent = values.pop("extends", None)
    return (resolved(path.parent / parent) if parent else {}) | values


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_shipped_file_loads(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    values = resolved(path)
    if values.get("task") == "curate":
        assert load(CurateRecipe, str(path)).run == values["run"]
        return
    config = load(recipe_kind if "network" in values else RunConfig, str(path))
    assert config.out == values["out"]


def test_there_are_shipped_files():
    assert len(SHIPPED) >= 3


def test_the_least_that_a_run_needs(tmp_path):
    config = load(RunConfig, write(tmp_path, **MINIMAL))
    assert (config.out, config.scenes, config.sensor, config.grid) == ("o", "s/*.tif", "SN10", "auto")
    assert config.infer == InferConfig(tile_px=512, overlap_px=64, tta="flips4", precision="auto", batch="auto")
    assert config.outputs == ("cog", "stac", "report")


def test_extends_is_relative_to_the_file_and_merges_mappings_only(tmp_path):
    write(tmp_path, "deep/base.yaml", **MINIMAL, infer={"tile_px": 256, "overlap_px": 96}, outputs=["cog", "stac"])
    write(tmp_path, "deep/middle.yaml", extends="base.yaml", infer={"tta": "none"})
    path = write(tmp_path, "top.yaml", extends="deep/middle.yaml", out="p", infer={"tile_px": 128}, outputs=["report"])
    config = load(RunConfig, path, ["infer.batch=3"])
    assert config.out == "p"
    assert config.infer == InferConfig(tile_px=128, overlap_px=96, tta="none", batch=3)
    assert config.outputs == ("report",)


def test_extends_in_a_circle_is_refused(tmp_path):
    write(tmp_path, "a.yaml", extends="b.yaml", **MINIMAL)
    write(tmp_path, "b.yaml", extends="c/../a.yaml")
    (tmp_path / "c").mkdir()
    write(tmp_path, "self.yaml", extends="self.yaml")
    for name in ("a.yaml", "b.yaml", "self.yaml"):
        with pytest.raises(ValueError, match="circle"):
            load(RunConfig, str(tmp_path / name))


def test_extends_of_an_absent_file_names_it(tmp_path):
    assert "nowhere.yaml does not exist" in refusal(tmp_path, extends="nowhere.yaml", **MINIMAL)


def test_no_file_no_yaml_no_mapping(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.yaml does not exist"):
        load(RunConfig, str(tmp_path / "gone.yaml"))
    for text, told in (("a: [1", "not valid YAML"), ("- 1\n- 2", "found list"), ("", "found NoneType")):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(ValueError, match=told) as error:
            load(RunConfig, str(path))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "unknown", "near"),
    [
        ({"sensors": "SN10"}, "sensors", "sensor"),
        ({"model": []}, "model", "models"),
        ({"infer": {"overlap": 64}}, "infer.overlap", "overlap_px"),
        ({"fuse": {"treshold": 0.4}}, "fuse.treshold", "threshold"),
        ({"engine": {"worker": 2}}, "engine.worker", "workers"),
        ({"labels": {"files": "a", "code": {}, "codes": {1: 1}}}, "labels.code", "codes"),
        ({"grid": {"crs": "EPSG:5179", "resolution": 10}}, "resolution", "resolution_m"),
        ({"scenes": [{"id": "a", "file": "x.tif"}]}, "file", "files"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(tmp_path, values, unknown, near):
    text = refusal(tmp_path, **(MINIMAL | values))
    assert unknown in text
    assert f"did you mean {near!r}?" in text


def test_an_unknown_key_of_a_recipe(tmp_path):
    recipe = {"out": "o", "network": {"architecture": "unet", "weights": "random:1"}, "data": {"run": "map.yaml"}}
    assert load(RecipeConfig, write(tmp_path, **recipe)).network.encoder == "efficientnet-b5"
    changed = recipe | {"data": {"run": "map.yaml", "split": {"blocks_px": 3}}}
    assert "did you mean 'block_px'?" in refusal(tmp_path, kind=RecipeConfig, **changed)
    assert "'network.weights' is required" in refusal(
        tmp_path, kind=RecipeConfig, **(recipe | {"network": {"architecture": "unet"}})
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"modalities": ["no2"]}, "modalities.0"),
        ({"modalities": [{"sensor": "GEMS", "files": "air/{day}.tif"}]}, "known are {id}, {date} and {date:%y%m%d}"),
        ({"scenes": []}, "the list is empty"),
        ({"scenes": ""}, "the list is empty"),
        ({"scenes": [{"files": "x.tif"}]}, "required"),
        ({"scenes": [{"id": "a/b", "files": "x.tif"}]}, "'a/b'"),
        ({"fuse": {"threshold": 1}}, "fuse.threshold"),
        ({"infer": {"batch": 0}}, "infer.batch"),
        ({"infer": {"tta": "rot90"}}, "infer.tta"),
        ({"outputs": ["cog", "pdf"]}, "'pdf'"),
        ({"grid": {"crs": "EPSG:5179"}}, "resolution_m"),
        ({"grid": {"crs": "EPSG:5179", "resolution_m": 10, "resolution_deg": 1}}, "give one of"),
        ({"grid": {"crs": "EPSG:5179", "resolution_m": 0}}, "grid"),
        ({"engine": {"kind": "rya"}}, "did you mean 'ray'?"),
        ({"engine": {"workers": 0}}, "workers is 0"),
        ({"engine": {"gpus_per_worker": 1.5}}, "must be a whole number"),
    ],
)
def test_a_value_that_does_not_fit_is_named(tmp_path, values, told):
    assert told in refusal(tmp_path, **(MINIMAL | values))


def test_what_is_required_is_named(tmp_path):
    assert "'out' is required" in refusal(tmp_path, scenes="x")


def test_overrides_are_yaml_at_any_depth_in_order(tmp_path):
    scenes = [{"id": "a", "files": "a.tif"}, {"id": "b", "files": "b.tif", "bands": {"red": 3}}]
    path = write(tmp_path, out="o", scenes=scenes)
    changes = ["scenes.1.id=c", "scenes.0.acquired=2024-05-06", "scenes.1.bands.red=4", "fuse.threshold=0.25"]
    config = load(RunConfig, path, [*changes, "outputs=[cog]", "grid={crs: EPSG:5179, resolution_m: 10}", "out=p"])
    assert [s.id for s in config.scenes] == ["a", "c"]
    assert config.scenes[0].acquired.isoformat() == "2024-05-06T00:00:00+00:00"
    assert config.scenes[1].bands == {"red": 4}
    assert (config.fuse.threshold, config.outputs, config.out) == (0.25, ("cog",), "p")
    assert config.grid.crs == "EPSG:5179"
    assert load(RunConfig, path, ["out=1=2"]).out == "1=2"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("infer.overlap_px", "wants key=value"),
        ("=3", "wants key=value"),
        ("out.deeper=3", "'out' is 'o', not a mapping"),
        ("scenes.7.id=x", "items 0 to 0"),
        ("scenes.first.id=x", "items 0 to 0"),
        ("scenes.-1={}", "items 0 to 0"),
        ("outputs=[cog", "not a YAML value"),
        ("infer.overlap=3", "did you mean 'overlap_px'?"),
    ],
)
def test_a_malformed_override_is_refused(tmp_path, override, told):
    text = refusal(tmp_path, override, out="o", scenes=[{"id": "a", "files": "a.tif"}])
    assert told in text
    assert override.split("=")[0] in text


@given(st.text(string.ascii_lowercase + "_", min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_any_unknown_key_is_refused_in_one_sentence(tmp_path_factory, key):
    folder = tmp_path_factory.getbasetemp()
    if key in EngineConfig.model_fields:
        return
    text = refusal(folder, **MINIMAL, engine={key: 1})
    assert f"unknown key 'engine.{key}'" in text
    assert any(repr(known) in text for known in EngineConfig.model_fields)


def test_the_resolved_configuration_is_frozen_and_comes_back_the_same(tmp_path):
    config = load(RunConfig, write(tmp_path, **MINIMAL, labels={"files": "l.tif", "codes": {3: 1}}))
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(ValueError, match="frozen"):
        config.out = "elsewhere"


def test_hosts_are_asked_only_if_the_run_names_them(tmp_path):
    address = "https://data.example.org/a.tif"
    told = refusal(tmp_path, f"scenes={address}", **MINIMAL)
    assert "scenes: 'https://data.example.org/a.tif' may not be opened" in told
    assert "sources: {schemes: [https], hosts: [HOST]}" in told
    sources = {"schemes": ["s3", "https"], "hosts": ["data.example.org"]}
    config = load(RunConfig, write(tmp_path, **MINIMAL, sources=sources), [f"scenes={address}"])
    assert config.scenes == address
    told = refusal(tmp_path, "area=https://other.example.org/a.gpkg", **MINIMAL, sources=sources)
    assert "area: " in told
    assert "its host 'other.example.org' is not among ['data.example.org']" in told


def test_long_values_and_many_errors_are_told_shortly(tmp_path):
    told = refusal(tmp_path, out="o", scenes=[{"id": "/" * 5000, "files": 1}] * 50)
    assert "scenes.0.id" in told
    assert "more like these" in told
    assert len(told) < 5000


def test_extends_goes_through_a_few_files_only(tmp_path):
    write(tmp_path, "0.yaml", **MINIMAL)
    for number in range(1, 20):
        write(tmp_path, f"{number}.yaml", extends=f"{number - 1}.yaml")
    assert load(RunConfig, str(tmp_path / "15.yaml")).out == "o"
    with pytest.raises(ValueError, match=r"16\.yaml: `extends` goes through more than 16 files"):
        load(RunConfig, str(tmp_path / "16.yaml"))


@pytest.mark.parametrize("out", ["/", "runs/a\nb", "runs/" + "x" * 201, "runs/a\\b"])
def test_a_recipe_whose_bundle_could_have_no_name_is_refused_before_it_trains(out, tmp_path):
    recipe = {"out": out, "network": {"architecture": "unet", "weights": "random:1"}, "data": {"run": "r.yaml"}}
    assert "cannot name a bundle" in refusal(tmp_path, kind=RecipeConfig, **recipe)
    assert load(RecipeConfig, write(tmp_path, **recipe | {"out": "."})).out == "."
