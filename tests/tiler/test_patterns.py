"""Which files a pattern means, on a disk and in a bucket."""

from obstore.store import MemoryStore

from tiler.patterns import expand


def test_patterns_mean_files_in_name_order(tmp_path):
    for name in ("b.tif", "a.TIF", "c.txt", "d.png", "below/e.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    inside = [f"{tmp_path}/{n}" for n in ("a.TIF", "b.tif", "d.png")]
    assert expand(str(tmp_path)) == inside
    assert expand(f"{tmp_path}/*.tif") == [f"{tmp_path}/b.tif"]
    assert expand([f"{tmp_path}/b.tif", f"{tmp_path}/[ab].*", f"{tmp_path}/b.tif"]) == inside[:2]
    assert expand(f"{tmp_path}/nothing*.tif") == []
    assert expand(()) == []


def test_patterns_on_a_bucket(monkeypatch):
    store = MemoryStore()
    for key in ("s/x/b.tif", "s/x/a.TIF", "s/x/c.txt", "s/y/d.tif"):
        store.put(key, b"12345")
    opened = []
    monkeypatch.setattr("obstore.store.from_url", lambda url, **_: opened.append(url) or store)
    assert expand("s3://bucket/s/x/*.tif") == ["s3://bucket/s/x/b.tif"]
    assert expand("s3://bucket/s/x") == ["s3://bucket/s/x/a.TIF", "s3://bucket/s/x/b.tif"]
    assert expand("s3://bucket/s/?/[bd].tif") == ["s3://bucket/s/x/b.tif", "s3://bucket/s/y/d.tif"]
    assert expand("s3://bucket/s/x/only.tif") == ["s3://bucket/s/x/only.tif"]  # named: no listing needed
    assert set(opened) == {"s3://bucket"}
