"""The storage behind `benchmarks/scale.py`: an object store on this machine that may wait, and headers to be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FILES = 300
WAIT_S = 0.05
"""What a request to an object store of the same region takes."""
THREADS = (1, 4, 16)


@contextmanager
def object_store(wait_s: float = 0.0) -> Iterator[str]:
    """Start moto in a process of its own, with a bucket, and set the environment; yield the bucket's address."""
    words = [sys.executable, __file__, "serve", str(wait_s)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    place = f"127.0.0.1:{server.stdout.readline().strip()}"
    secret = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    region = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    ours = {"AWS_ENDPOINT_URL": f"http://{place}", "AWS_ALLOW_HTTP": "true"}
    gdal = {"AWS_S3_ENDPOINT": place, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
    gdal |= {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    before = dict(os.environ)
    os.environ.update({**secret, **region, **ours, **gdal})
    try:
        urllib.request.urlopen(urllib.request.Request(f"http://{place}/scale", method="PUT"), timeout=30).close()
        yield "s3://scale"
    finally:
        server.terminate()
        server.wait()
        os.environ.clear()
        os.environ.update(before)


def serve(wait_s: float) -> None:
    """Serve until killed; tell the port first."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    inner = DomainDispatcherApplication(create_backend_app)

    def waiting(environ: Any, start: Any) -> Any:
        time.sleep(wait_s)
        return inner(environ, start)

    class Kept(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open, as those of a real store do

    server = make_server("127.0.0.1", 0, waiting, threaded=True, request_handler=Kept)
    print(server.server_port, flush=True)
    server.serve_forever()


def write_files(folder: Path) -> None:
    """Write small GeoTIFFs of a tiled scene's form, each elsewhere."""
    import numpy as np
    import rasterio
    from affine import Affine

    folder.mkdir(parents=True, exist_ok=True)
    form = {"driver": "GTiff", "count": 4, "height": 512, "width": 512, "dtype": "uint16", "crs": "EPSG:32652"}
    values = np.random.default_rng(1).integers(1, 9000, (4, 512, 512), np.uint16)
    for number in range(FILES):
        place = Affine(10.0, 0.0, 300_000.0 + 5120 * (number % 20), 0.0, -10.0, 4_100_000.0 + 5120 * (number // 20))
        how = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "nodata": 0}
        with rasterio.open(folder / f"s{number:04}.tif", "w", transform=place, **form, **how) as file:
            file.write(values)


def read_headers(scenes: str, out: str, threads: int) -> float:
    """Return the seconds that `plan_run` takes with so many threads."""
    from jobs import plan
    from jobs.config import RunConfig

    plan.THREADS = threads
    started = time.monotonic()
    run = plan.plan_run(RunConfig(out=out, scenes=scenes, sensor="SN10"))
    assert len(run.scenes) == FILES
    return time.monotonic() - started


def measure_headers(folder: Path) -> dict[str, Any]:
    """Return milliseconds a scene by place and threads; each in a process of its own, whose caches are empty."""
    write_files(folder)
    found: dict[str, Any] = {"files": FILES, "wait_s": WAIT_S, "disk": _by_threads(f"{folder}/*.tif")}
    with object_store(WAIT_S) as bucket:
        from cluster.storage import Storage

        storage = Storage(f"{bucket}/scenes")
        for file in sorted(folder.glob("*.tif")):
            storage.put_file(file.name, file)
        found["object store"] = _by_threads(f"{bucket}/scenes/*.tif")
    return found


def _by_threads(scenes: str) -> dict[str, float]:
    found = {}
    for threads in THREADS:
        words = [sys.executable, __file__, "headers", scenes, str(threads)]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        found[f"{threads} threads, ms a scene"] = 1000 * json.loads(done.stdout.splitlines()[-1]) / FILES
    return found


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(float(sys.argv[2]))
    else:
        print(json.dumps(read_headers(sys.argv[2], "runs/none", int(sys.argv[3]))))
