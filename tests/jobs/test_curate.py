"""Curation from the command line: drawings contaminated by photographs, one over-full class, copies, a damaged file."""

import csv
import json
from collections import Counter

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from jobs import curate
from jobs.curate_parser import VERBS
from jobs.shell import BAD_INPUT, DONE
from models.autoencoder import AutoencoderSpec, build_autoencoder
from models.embedder_card import read_embedder_card
from models.image_bundle import save_image_bundle
from models.image_cards import AutoencoderCard
from tests.jobs.curation_world import DIRTY, MANY, PHOTOS, picture_run, write_pictures
from tests.jobs.vectors import write_embedder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    photos = write_pictures(folder / "files")
    path = picture_run(folder)
    assert curate.main(["report", path]) == DONE
    return path, folder / "out/curation", photos


@pytest.fixture
def fresh(world):
    """Give the world without any version."""
    import shutil

    for found in (*world[1].glob("[0-9]*"), world[1] / "clean"):
        shutil.rmtree(found, ignore_errors=True)
    for name in ("kept.csv", "account.json"):
        (world[1] / name).unlink(missing_ok=True)
    return world


@pytest.fixture
def no_page(monkeypatch):
    """Leave out what takes longest, where a test does not look at it."""
    monkeypatch.setattr("jobs.curate_report.write_report", lambda desk: {})


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def removed(out, version: int) -> set[str]:
    return {row["id"] for row in rows(out / f"{version:04d}/removed.csv")}


def test_the_frame_has_the_documents_columns_first_and_numpys_values(world):
    _, out, _ = world
    frame = rows(out / "frame.csv")
    assert list(frame[0])[:5] == ["name", "label", "width", "height", "pixel"]
    table = pyarrow.parquet.read_table(out / "frame.parquet").to_pydict()
    assert list(table) == list(frame[0])
    assert table["name"] == [row["name"] for row in frame]
    for row, pixel, low in zip(frame, table["pixel"], table["red_min"], strict=True):
        if row["damaged"] == "True":
            assert (row["name"], row["pixel"]) == ("birds/006.png", "")
            continue
        image = np.asarray(Image.open(out.parents[1] / "files" / row["name"]))
        assert pixel == pytest.approx(image.mean())
        assert float(row["pixel"]) == pytest.approx(image.mean())
        assert (int(row["height"]), int(row["width"])) == image.shape[:2]
        assert float(row["green_sd"]) == pytest.approx(image[..., 1].std())
        assert low == image[..., 0].min()
        assert row["label"] == row["name"].split("/")[0]


def test_the_report_judges_what_was_planted(world):
    _, out, _ = world
    facts = json.loads((out / "curation.json").read_text())
    assert facts["over_full"] == ["cars"]
    assert facts["target"] == round((11 + 1 + 4 * 12) / 6)
    assert facts["flagged"] == list(DIRTY)
    assert (facts["exact_copies"], facts["copies"]) == (1, 2)
    assert "1 groups of copies lie on both sides" in facts["verdicts"]["copies"]
    frame = {row["name"]: row for row in rows(out / "frame.csv")}
    assert frame["cats/004.png"]["exact_group"] == frame["cats/001.png"]["exact_group"]
    assert frame["trees/003.png"]["duplicate_group"] == frame["trees/002.png"]["duplicate_group"]
    assert frame["trees/003.png"]["exact_group"] != frame["trees/002.png"]["exact_group"]
    page = (out / "report.html").read_text()
    for title in (
        "Tiles by class",
        "Width",
        "Height",
        "Mean pixel",
        "Flagged classes: example pairs",
        "Copies side by side",
    ):
        assert f"<h3>{title}</h3>" in page
    assert "Samples with labels" not in page, "nobody labelled a pixel"


def test_versions_close_and_are_undone_by_leaving_them_out(fresh, capsys, no_page):
    path, out, photos = fresh
    assert curate.main(["filter", path, "--duplicates", "near", "--dry-run"]) == DONE
    assert not list(out.glob("[0-9]*"))
    assert curate.main(["filter", path, "--duplicates", "near"]) == DONE
    assert removed(out, 1) == {"birds/006.png", "cats/004.png", "trees/003.png"}
    assert curate.main(["clean", path]) == DONE
    assert not (out / "0002").exists(), "nobody decided yet"
    assert "repeat with --by rule" in capsys.readouterr().out
    assert curate.main(["clean", path, "--by", "rule"]) == DONE
    assert removed(out, 2) == photos, "planted photographs, all and only these"
    assert curate.main(["balance", path, "--seed", "2"]) == DONE
    assert {name.split("/")[0] for name in removed(out, 3)} == {"cars"}
    assert len(removed(out, 3)) == MANY - 10
    everything = {row["name"] for row in rows(out / "frame.csv")}
    before = {number: (out / f"000{number}/removed.csv").read_bytes() for number in (1, 2, 3)}
    capsys.readouterr()
    for versions, gone in (
        ("all", removed(out, 1) | removed(out, 2) | removed(out, 3)),
        ("3,1", removed(out, 1) | removed(out, 3)),
        ("none", set()),
    ):
        assert curate.main(["apply", path, "--versions", versions]) == DONE
        assert {row["id"] for row in rows(out / "kept.csv")} == everything - gone
        account = json.loads((out / "account.json").read_text())
        assert account["start"] - sum(one["removed"] for one in account["versions"]) == account["kept"]
        assert f"= {len(everything - gone)} kept" in capsys.readouterr().out
    assert {n: (out / f"000{n}/removed.csv").read_bytes() for n in (1, 2, 3)} == before


def test_a_verb_begins_with_what_is_kept_and_overlaps_are_counted_once(fresh, capsys, no_page):
    path, out, _ = fresh
    assert curate.main(["balance", path]) == DONE
    assert curate.main(["balance", path, "--seed", "5"]) == DONE
    both = removed(out, 1) & removed(out, 2)
    assert both != removed(out, 1)
    assert curate.main(["apply", path]) == DONE
    assert f"version 2: {len(both)} of its {MANY - 10} tiles were taken by earlier ones" in capsys.readouterr().out
    assert curate.main(["apply", path, "--versions", "1"]) == DONE
    assert curate.main(["balance", path]) == DONE
    assert "nothing to leave out; no version is written" in capsys.readouterr().out
    assert curate.main(["balance", path, "--on", "all", "--seed", "9"]) == DONE
    assert len(removed(out, 3)) == MANY - 10
    left = Counter(row["id"].split("/")[0] for row in rows(out / "kept.csv"))
    assert left["cars"] == 10


def test_counts_that_do_not_close_are_refused(fresh, capsys, no_page):
    path, out, _ = fresh
    assert curate.main(["filter", path]) == DONE
    assert curate.main(["apply", path]) == DONE
    kept, good = (out / "kept.csv").read_bytes(), (out / "0001/removed.csv").read_text()
    for text, told in (
        (good + "cats/001.png,mine,none,user\n", "holds 2 rows and was written with 1: the counts do not close"),
        (good.replace("birds/006.png", "birds/099.png"), "lists 1 tiles that"),
        ("id,reason\nbirds/006.png,x\n", "not the columns"),
    ):
        (out / "0001/removed.csv").write_text(text)
        capsys.readouterr()
        assert curate.main(["apply", path]) == BAD_INPUT
        assert told in capsys.readouterr().err
    (out / "0001/version.json").unlink()
    (out / "0001/removed.csv").write_text(good + good.splitlines()[1] + "\n")
    assert curate.main(["apply", path]) == BAD_INPUT
    assert "lists 1 tiles twice: the counts do not close" in capsys.readouterr().err
    assert (out / "kept.csv").read_bytes() == kept
    for words, told in (
        ("7", "no version 7; there are [1]"),
        ("1,x", "numbers with commas"),
        ("1,1", "name one twice"),
    ):
        (out / "0001/removed.csv").write_text(good)
        assert curate.main(["apply", path, "--versions", words]) == BAD_INPUT
        assert told in capsys.readouterr().err


def test_the_user_decides_against_the_rule_and_with_vectors_of_their_own(fresh, capsys):
    path, out, photos = fresh
    frame = rows(out / "frame.csv")
    ids = np.array([row["name"] for row in frame])
    codes = np.random.default_rng(0).normal(size=(len(ids), 3)) + 9 * np.isin(ids, sorted(photos))[:, None]
    np.savez(out / "codes.npz", ids=ids, vectors=codes)
    words = ["clean", path, "--classes", "suns", "--vectors", f"autoencoder={out / 'codes.npz'}", "--reducers", "pca"]
    assert curate.main([*words, "--reducer", "autoencoder", "--remove", "1"]) == DONE
    suns = {name for name in photos if name.startswith("suns")}
    assert removed(out, 1) == {f"suns/{index:03d}.png" for index in range(PHOTOS, 12)}, "the smaller cluster: drawings"
    assert {row["by"] for row in rows(out / "0001/removed.csv")} == {"user"}
    assert {row["reducer"] for row in rows(out / "0001/scores.csv")} == {"pca", "autoencoder"}
    clusters = {row["id"]: row["autoencoder"] for row in rows(out / "0001/clusters.csv")}
    assert {name for name, cluster in clusters.items() if cluster == "0"} == suns
    assert (out / "0001/autoencoder-1.png").read_bytes().startswith(b"\x89PNG")
    assert "autoencoder: named by the user" in capsys.readouterr().out


def test_networks_of_ours_make_vectors(fresh, tmp_path, capsys):
    path, out, _ = fresh
    numbers = {"offset": (128.0,) * 3, "scale": (64.0,) * 3, "channels": ("red", "green", "blue"), "sensor": "RGB"}
    facts = {"name": "ae", "training_data": "ab" * 6, "weights": "random:0", "side_px": 32, "width": 2, "bottleneck": 6}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        spec = AutoencoderSpec(in_channels=3, side_px=32, width=2, bottleneck=6)
        network = build_autoencoder(spec, numbers["offset"], numbers["scale"])
    save_image_bundle(tmp_path / "ae", network, AutoencoderCard(kind="autoencoder", **facts, **numbers))
    embedder = write_embedder(tmp_path / "vit", ("red", "green", "blue"))
    words = ["clean", path, "--reducers", "mean_pool", "--encoder", f"ae={tmp_path / 'ae'}"]
    assert curate.main([*words, "--encoder", f"vit={embedder}"]) == DONE
    told = {row["reducer"]: row for row in rows(out / "clean/scores.csv")}
    assert list(told) == ["mean_pool", "ae", "vit"]
    assert told["ae"]["dimension"] == "6"
    assert int(told["vit"]["dimension"]) == read_embedder_card(embedder).dimension
    capsys.readouterr()
    (tmp_path / "no").mkdir()
    for bundle, why in ((tmp_path / "no", "no bundle there"), (None, "NAME=BUNDLE is needed")):
        assert curate.main(["clean", path, "--encoder", "ae" if bundle is None else f"ae={bundle}"]) == BAD_INPUT
        assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["clean", "--classes", "dogs"], "['dogs'] are no classes of the data set"),
        (["clean", "--classes", "boats"], "2 clusters of 1 tiles of boats"),
        (["clean", "--clusters", "40"], "40 clusters of 24 tiles of suns, tents"),
        (["clean", "--clusters", "1"], "ask for at least 2"),
        (["clean", "--reducers", "umap"], "['umap'] are unknown"),
        (["clean", "--remove", "5"], "has the clusters 0 to 1"),
        (["clean", "--vectors", "codes"], "NAME=FILE.npz is needed"),
        (["clean", "--vectors", "codes=nowhere.npz"], "no such file"),
        (["balance", "--times", "1"], "a number above 1"),
        (["balance", "--split", "test"], "no tile is left of it"),
        (["filter", "--missing", "2"], "a number of 0 to 1"),
        (["filter", "--list", "nowhere.csv"], "no such file"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(fresh, capsys, words, told):
    path, out, _ = fresh
    assert curate.main([words[0], path, *words[1:]]) == BAD_INPUT
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not list(out.glob("[0-9]*"))


def test_filters_know_sizes_outliers_and_lists(fresh):
    path, out, _ = fresh
    frame = rows(out / "frame.csv")
    (out / "mine.csv").write_text("id\ncars/000.png\n")
    words = ["--min-width", "36", "--max-height", "44", "--outliers", "3", "--list", str(out / "mine.csv")]
    assert curate.main(["filter", path, *words]) == DONE
    wanted = {
        row["name"]
        for row in frame
        if row["damaged"] == "True"
        or int(row["width"]) < 36
        or int(row["height"]) > 44
        or float(row["outlier_score"]) > 3
        or row["name"] == "cars/000.png"
    }
    assert removed(out, 1) == wanted
    why = {row["id"]: row for row in rows(out / "0001/removed.csv")}
    assert "listed" in why["cars/000.png"]["rule"]
    assert "user" in why["cars/000.png"]["by"]


def test_a_dry_run_before_anything_touches_nothing(tmp_path, capsys):
    write_pictures(tmp_path / "files")
    assert curate.main(["report", picture_run(tmp_path), "--dry-run"]) == DONE
    assert "would ingest what is not ingested yet, then look at 2 of 2 units" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_examples(capsys, verb):
    with pytest.raises(SystemExit) as stop:
        curate.main([verb, "--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert f"sandan curate {verb} {'eda' if verb == 'recipe' else 'images'}.yaml" in told
    assert "--dry-run" in told
