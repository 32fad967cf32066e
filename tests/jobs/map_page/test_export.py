"""The page as a folder: the same pictures as the server's, an index of them, and resuming."""

import json
import shutil
from contextlib import ExitStack

import pytest

from jobs.export_page import main
from jobs.map_page.description import ShownRun
from jobs.map_page.export import Export, export
from jobs.map_page.pictures import png_of, tile_picture
from jobs.map_page.published_run import open_published
from tests.jobs.worlds import files_below


@pytest.fixture(scope="module")
def exported(published, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "page"
    words = [str(published.out), "--out", str(folder), "--layers", "class,imagery-colour"]
    assert main(words) == 0
    return folder, words


def indexed(folder):
    index = json.loads((folder / "tiles.json").read_text())
    return {
        f"{layer}/{zoom}/{x}/{y}.png"
        for layer, zooms in index.items()
        for zoom, columns in zooms.items()
        for x, rows in columns.items()
        for first, last in zip(rows[::2], rows[1::2], strict=True)
        for y in range(first, last + 1)
    }


def test_the_index_names_exactly_the_tiles_that_are_there(exported):
    folder, _ = exported
    there = {one.relative_to(folder).as_posix() for one in folder.rglob("*.png") if "tiles" in one.parts}
    assert there == indexed(folder)
    assert len(there) > 4


def test_tiles_are_those_of_the_server(exported, shown):
    folder, _ = exported
    told = json.loads((folder / "page.json").read_text())
    for facts in told["runs"][0]["layers"]:
        layer = shown.by_id[facts["id"]]
        zoom = facts["zoom"]
        for x, y in layer.bounds.tiles(zoom):
            path = folder / facts["tiles"].format(z=zoom, x=x, y=y)
            picture = tile_picture(layer, zoom, x, y)
            assert path.exists() == (picture is not None)
            if picture is not None:
                assert path.read_bytes() == png_of(picture)


def test_the_page_is_whole_and_names_nothing_elsewhere(exported):
    folder, _ = exported
    assert (folder / "static" / "leaflet" / "LICENSE").exists()
    for path in [folder / "index.html", *(folder / "static").glob("*.*")]:
        text = path.read_text()
        assert "//" not in text.replace("http://www.w3.org/2000/svg", "") or path.suffix == ".js", path.name
        assert "https://" not in text, path.name
    told = json.loads((folder / "page.json").read_text())
    assert told["place"] is False
    assert {scene["id"] for scene in told["runs"][0]["scenes"]} == {"a", "b"}


def test_a_finished_page_is_left_and_a_lost_column_is_made_again(exported):
    folder, words = exported
    before = files_below(folder / "tiles")
    assert main(words) == 0
    assert files_below(folder / "tiles") == before
    rows = sorted((folder / "tiles").rglob("rows.json"))[-1]
    shutil.rmtree(rows.parent)
    assert main(words) == 0
    after = files_below(folder / "tiles")
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert {name.rsplit("/", 1)[0] for name in changed} == {rows.parent.relative_to(folder / "tiles").as_posix()}


def test_another_map_replaces_the_tiles(exported, other, tmp_path):
    folder, _ = exported
    mine = shutil.copytree(folder, tmp_path / "page")
    assert main([str(other.out), "--out", str(mine), "--layers", "class", "--zoom", "12"]) == 0
    (only,) = (mine / "tiles").iterdir()
    assert only.name == f"a-{open_published(str(other.out), ExitStack()).key}"
    assert {path.split("/")[3] for path in indexed(mine)} <= {str(zoom) for zoom in range(13)}


def test_an_interrupted_export_goes_on(published, tmp_path, monkeypatch):
    run = ShownRun.of("a", open_published(str(published.out), ExitStack()), ["class"])
    page, calls = Export([run], "", None), []

    def failing(*at):
        calls.append(at)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        return tile_picture(*at)

    monkeypatch.setattr("jobs.map_page.export.tile_picture", failing)
    with pytest.raises(OSError, match="No space"):
        export(page, str(tmp_path / "page"))
    assert not (tmp_path / "page" / "page.json").exists()
    monkeypatch.undo()
    assert export(page, str(tmp_path / "page")) == len(indexed(tmp_path / "page")) > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layers", "clas"], "--layers clas"),
        (["--zoom", "40"], "--zoom 40"),
        (["--compare", "nowhere"], "nowhere has no published map"),
        (["--out", "s3://bucket/page"], "local folder"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(published, tmp_path, capsys, words, said):
    assert main([str(published.out), "--out", str(tmp_path / "page"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


def test_a_folder_with_other_things_is_not_touched(published, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("all of it")
    assert main([str(published.out), "--out", str(tmp_path)]) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_dry_run_counts(published, tmp_path, capsys):
    assert main([str(published.out), "--out", str(tmp_path / "page"), "--dry-run"]) == 0
    assert "tiles of 7 layers" in capsys.readouterr().out
    assert not (tmp_path / "page").exists()
