"""What hrefs mean, and which are never opened."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import object_store
from tiler import stac_documents
from tiler.sources import Sources
from tiler.stac_documents import Documents, parsed, shown

WEB = Sources(schemes=("s3", "gs", "https"), hosts=("data.example.org",))


def never(address):
    raise AssertionError(f"{address} was asked")


def documents(start, sources=WEB):
    return Documents(str(start), sources, never)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "stac" / "s2").mkdir(parents=True)
    (tmp_path / "stac" / "catalog.json").write_text('{"type": "Catalog"}')
    (tmp_path / "secret.tif").write_text("not yours")
    return tmp_path / "stac"


@pytest.mark.parametrize(
    ("href", "base", "address"),
    [
        ("./a.tif", "s3://b/x/item.json", "s3://b/x/a.tif"),
        ("../a.tif", "s3://b/x/y/item.json", "s3://b/x/a.tif"),
        ("../../../../a.tif", "s3://b/x/item.json", "s3://b/a.tif"),
        ("s3://c/x/../../a.tif", "s3://b/i.json", "s3://c/a.tif"),
        ("/a.tif", "s3://b/x/i.json", "s3://b/a.tif"),
        ("a.tif", "https://data.example.org/x/i.json", "https://data.example.org/x/a.tif"),
        ("../../../a.tif", "https://data.example.org/x/i.json", "https://data.example.org/a.tif"),
        ("s3://b/a.tif", "https://data.example.org/x/i.json", "s3://b/a.tif"),
        ("https://data.example.org/a.tif", "s3://b/i.json", "https://data.example.org/a.tif"),
    ],
)
def test_hrefs_are_seen_from_their_document(href, base, address):
    assert documents(base).raster(href, base) == address


@pytest.mark.parametrize(
    ("href", "told"),
    [
        ("https://evil.example.net/a.tif", "not among"),
        ("//evil.example.net/a.tif", "not among"),
        ("http://data.example.org/a.tif", "does not name http"),
        ("https://u:p@data.example.org/a.tif", "credentials"),
        ("ftp://data.example.org/a.tif", "may not be opened"),
        ("file:///etc/passwd", "local file, named by a catalogue that is not local"),
        ("https://data.example.org/a.tif?sig=abcdef", "signed"),
        ("s3://b/*.tif", "pattern"),
        ("s3://b/a[1].tif", "pattern"),
        ("vrt://a.tif", "may not be opened"),
        (7, "not an address"),
        (None, "not an address"),
        ("", "not an address"),
    ],
)
def test_what_a_catalogue_on_a_host_may_not_name(href, told):
    base = "https://data.example.org/x/i.json"
    with pytest.raises(ValueError, match=told) as error:
        documents(base).raster(href, base)
    assert "abcdef" not in str(error.value)


@pytest.mark.parametrize(
    "href", ["../secret.tif", "/etc/passwd", "file:///etc/passwd", "s2/../../secret.tif", "link.tif"]
)
def test_a_local_catalogue_stays_in_its_folder(folder, href):
    os.symlink(folder.parent / "secret.tif", folder / "link.tif")
    with pytest.raises(ValueError, match="outside of the catalogue's folder"):
        documents(folder).raster(href, str(folder / "catalog.json"))


@pytest.mark.parametrize("href", ["/vsicurl/https://evil.net/a.tif", "/vsizip//etc/a.zip/a.tif", "GTIFF_DIR:1:a.tif"])
def test_gdals_own_names_are_files_at_most(folder, href):
    with pytest.raises(ValueError, match=r"outside of|not opened here|driver's own"):
        documents(folder).raster(href, str(folder / "catalog.json"))


def test_local_files_of_a_local_catalogue(folder):
    inside = folder / "s2" / "a b.tif"
    for href in ("./s2/a b.tif", str(inside), "s2/../s2/a b.tif", "file://" + str(inside).replace(" ", "%20")):
        assert documents(folder).raster(href, str(folder / "catalog.json")) == str(inside)
    assert documents(folder).raster("../s2/a b.tif", str(folder / "s2" / "item.json")) == str(inside)
    assert documents(folder).start == documents(folder / "catalog.json").start == str(folder / "catalog.json")


@settings(max_examples=50)
@given(st.text(max_size=40), st.sampled_from(["s3://b/x/i.json", "https://data.example.org/x/i.json", "/data/i.json"]))
def test_whatever_an_href_says_it_stays_where_it_may(href, base):
    try:
        found = documents(base).raster(href, base)
    except ValueError:
        return
    assert found.startswith(("s3://", "gs://", "https://data.example.org/", "/data/"))
    assert not ("://" not in base and "://" not in found and not found.startswith("/data/"))


def test_documents_are_json_objects_of_limited_size(folder, monkeypatch):
    read = documents(folder).read
    assert read(str(folder / "catalog.json")) == {"type": "Catalog"}
    for text, told in (("[1]", "holds list"), ("{", "no JSON"), ("[" * 100_000, "no JSON"), ("\x00", "no JSON")):
        (folder / "x.json").write_text(text)
        with pytest.raises(ValueError, match=told):
            read(str(folder / "x.json"))
    with pytest.raises(ValueError, match="cannot be read"):
        read(str(folder / "none.json"))
    monkeypatch.setattr(stac_documents, "MOST_BYTES", 100)
    (folder / "x.json").write_text(json.dumps({"a": "b" * 200}))
    with pytest.raises(ValueError, match="more than 0 MiB"):
        read(str(folder / "x.json"))
    assert parsed(b"{}", "x") == {}


def test_documents_of_an_object_store(monkeypatch):
    import obstore
    from obstore.store import from_url

    with object_store("catalogues") as address:
        obstore.put(from_url(address), "x/catalog.json", b'{"type": "Catalog"}')
        here = documents(f"{address}/x/catalog.json")
        assert here.read(here.address("catalog.json", here.start)) == {"type": "Catalog"}
        with pytest.raises(ValueError, match="cannot be reached"):
            here.read(here.address("absent.json", here.start))
        monkeypatch.setattr(stac_documents, "MOST_BYTES", 10)
        with pytest.raises(ValueError, match="more than 0 MiB"):
            here.read(here.start)


def test_queries_are_not_shown():
    assert shown("https://h/a?token=abc") == "'https://h/a?...'"
    assert len(shown("x" * 5000)) < 300
