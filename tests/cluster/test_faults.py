"""From an exception to its kind, by a table of what libraries really raise."""

from __future__ import annotations

import errno
import os
import pickle
from concurrent.futures.process import BrokenProcessPool

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.faults import Fault, Kind, Link, classify, describe, fault_of
from cluster.storage import Storage, StorageError


def named(name: str, *bases: type) -> type:
    """A class as a library that is not imported here has it."""
    return type(name, bases or (Exception,), {})


RasterioIOError = named("RasterioIOError", named("RasterioError"), OSError)
TorchMemory = named("OutOfMemoryError", RuntimeError)
BaseError = named("BaseError")
GenericError, DeniedError = named("GenericError", BaseError), named("PermissionDeniedError", BaseError)


class CPLE_AppDefinedError(Exception):
    """As rasterio has it: with a number of GDAL's, which as one of the system would say that rights are missing."""

    errno = 1


def system(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/out/x")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def beside(error: Exception, handled: Exception, suppressed: bool = False) -> Exception:
    error.__context__, error.__suppress_context__ = handled, suppressed
    return error


TABLE: list[tuple[BaseException, str]] = [
    # the unit's own data, and faults of the program
    (ValueError("scene a.tif cannot be read at row 0, column 512: bad tile; replace the file"), "input"),
    (KeyError("red"), "input"),
    (RasterioIOError("a.tif: TIFFFillTile:Read error at row 512, col 0, tile 3; got 0 bytes"), "input"),
    (RasterioIOError("nowhere.tif: No such file or directory"), "input"),
    (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), "input"),
    (IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)), "input"),
    (OSError("cannot read the file"), "input"),
    (
        caused(ValueError("a.tif is damaged; replace it"), RasterioIOError("Read failed. See previous exception")),
        "input",
    ),
    (caused(RasterioIOError("Read failed."), CPLE_AppDefinedError("a.tif, band 1: IReadBlock failed")), "input"),
    # storage and network
    (system(errno.EIO), "transient"),
    (system(errno.ESTALE), "transient"),
    (system(errno.EMFILE), "transient"),
    (ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)), "transient"),
    (TimeoutError("read"), "transient"),
    (StorageError("asked to read s3://b/x; found an internal error"), "transient"),
    (GenericError("Generic S3 error: operation timed out"), "transient"),
    (RasterioIOError("/vsis3/b/x.tif: CURL error: Could not resolve host: b.s3.amazonaws.com"), "transient"),
    (RasterioIOError("HTTP response code: 503"), "transient"),
    (RuntimeError("os error 116"), "transient"),
    (
        caused(ValueError("a.tif cannot be read; replace the file"), ConnectionError("Connection reset by peer")),
        "transient",
    ),
    (RuntimeError("can't start new thread"), "transient"),
    (RuntimeError("HTTP request timed out"), "transient"),
    # memory
    (MemoryError(), "memory"),
    (named("_ArrayMemoryError", MemoryError)("Unable to allocate 7.11 PiB for an array"), "memory"),
    (TorchMemory("CUDA out of memory. Tried to allocate 20.00 GiB."), "memory"),
    (named("AcceleratorError", RuntimeError)("CUDA error: out of memory"), "memory"),
    (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes. Error code 12"),
        "memory",
    ),
    (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), "memory"),
    (system(errno.ENOMEM), "memory"),
    # a worker that can compute no more
    (named("AcceleratorError", RuntimeError)("CUDA error: an illegal memory access was encountered"), "node"),
    (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "node"),
    (RuntimeError("CUDA error: device-side assert triggered"), "node"),
    (BrokenProcessPool("A process in the process pool was terminated abruptly"), "node"),
    # rights
    (system(errno.EACCES), "denied"),
    (caused(StorageError("asked to create /out/x.json; found Permission denied"), system(errno.EACCES)), "denied"),
    (caused(StorageError("asked to write s3://b/x; found an error"), DeniedError("403")), "denied"),
    (RasterioIOError("/vsis3/b/x.tif: Access Denied"), "denied"),
    # GDAL on a full disk: TIFFAppendToStrip, and the directory at the end of a COG
    (
        caused(RasterioIOError("Write failed."), CPLE_AppDefinedError("TIFFAppendToStrip:Write error at scanline 160")),
        "denied",
    ),
    (CPLE_AppDefinedError("TIFFWriteDirectoryTagData:IO error writing tag data"), "denied"),
    # nothing more goes in
    (system(errno.ENOSPC), "fatal"),
    (system(errno.EDQUOT), "fatal"),
    (system(errno.EROFS), "fatal"),
    (RasterioIOError("Write failed: No space left on device"), "fatal"),
    (
        RasterioIOError("Attempt to create new tiff file '/out/a.tif' failed: /out/a.tif: Read-only file system"),
        "fatal",
    ),
    (GenericError("Generic LocalFileSystem error: Unable to copy data: No space left (os error 28)"), "fatal"),
    (RuntimeError("Read-only file system (os error 30)"), "fatal"),
    (RasterioIOError("Free disk space available is 3 bytes, whereas 9 are at least necessary."), "fatal"),
    (caused(StorageError("asked to write /out/x"), GenericError("os error 28")), "fatal"),
    (beside(KeyError("cleanup"), system(errno.ENOSPC)), "fatal"),
    (caused(RuntimeError("shard"), beside(ValueError("codec"), system(errno.EDQUOT))), "fatal"),
    (ExceptionGroup("two writers", [ValueError("one"), system(errno.ENOSPC)]), "fatal"),
    # numbers that only look alike
    (RuntimeError("block 28 of 30, error 122"), "input"),
    (beside(ValueError("meant"), system(errno.ENOSPC), suppressed=True), "input"),
]


@pytest.mark.parametrize(("error", "kind"), TABLE, ids=lambda value: str(value)[:40])
def test_the_table(error: BaseException, kind: str) -> None:
    assert fault_of(describe(error)).kind == kind


def test_the_real_torch_and_numpy_are_known() -> None:
    import numpy as np
    import torch

    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(10**15)
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(10**15)
    assert issubclass(torch.OutOfMemoryError, RuntimeError)
    for error in (of_torch.value, of_numpy.value, torch.OutOfMemoryError("x")):
        assert fault_of(describe(error)).kind is Kind.MEMORY


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_device_is_known() -> None:
    with pytest.raises(OSError, match="No space left") as full, open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x")
    assert fault_of(describe(full.value)).kind is Kind.FATAL


def test_a_folder_that_is_a_file_is_no_transient_fault_of_the_disk(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as error:
        Storage(str(tmp_path / "file")).put("a", b"b")
    assert fault_of(describe(error.value)).kind is Kind.TRANSIENT  # a StorageError, whatever it is


def test_what_travels_is_small_plain_and_tells_all() -> None:
    class Local(Exception):
        """Cannot be unpickled anywhere."""

        def __init__(self, a: int, b: int) -> None:
            super().__init__("x" * 10**6)

    try:
        try:
            raise OSError(errno.EIO, "first")
        except OSError as error:
            raise Local(1, 2) from error
    except Local as error:
        seen = describe(error)
    packed = pickle.dumps(seen)
    assert len(packed) < 100_000
    assert pickle.loads(packed) == seen
    assert [link.names[0] for link in seen.chain] == ["Local", "OSError"]
    assert [link.errno for link in seen.chain] == [None, errno.EIO]
    assert "characters left out" in seen.chain[0].text
    assert seen.trace.startswith("Traceback")
    assert fault_of(seen).kind is Kind.TRANSIENT


def test_exceptions_that_go_round_in_circles_or_cannot_speak() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    one, two = Mute(), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    seen = describe(one)
    assert [link.text for link in seen.chain] == ["", "two"]
    assert fault_of(seen).kind is Kind.INPUT


def test_the_reason_is_the_last_line() -> None:
    assert Fault(Kind.INPUT, "Traceback\n  x\nValueError: bad\n\n").reason == "ValueError: bad"
    assert Fault(Kind.INPUT, "").reason == ""


LINKS = [
    Link(("ValueError",), None, "bad"),
    Link(("OSError",), 5, ""),
    Link(("MemoryError",), None, ""),
    Link((), 28, ""),
]


@given(st.permutations(LINKS), st.integers(0, 4))
def test_the_gravest_sign_counts_wherever_it_stands(chain: list[Link], length: int) -> None:
    gravest = [Kind.INPUT, Kind.TRANSIENT, Kind.MEMORY, Kind.FATAL]
    expected = max((LINKS.index(link) for link in chain[:length]), default=0)
    assert classify(chain[:length]) is gravest[expected]
