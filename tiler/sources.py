"""Which addresses a run may open: local paths, the object stores, and the hosts that it names.

GDAL takes far more than paths for a raster: addresses of many protocols, chains of virtual file systems, markup. What a
run, a recipe or a catalogue says is therefore checked before any library sees it, and one thing has one spelling.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

LONGEST = 4096
"""Characters of an address: no file system takes more."""
ARCHIVE = "/vsizip/"
"""GDAL's name for a member of a zip; it must lie on this machine."""
SPELLINGS = {
    "vsicurl": "https://HOST/PATH",
    "vsicurl_streaming": "https://HOST/PATH",
    "vsis3": "s3://BUCKET/KEY",
    "vsis3_streaming": "s3://BUCKET/KEY",
    "vsigs": "gs://BUCKET/KEY",
    "vsigs_streaming": "gs://BUCKET/KEY",
}
"""GDAL's virtual file systems that have a spelling here."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_]+:")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Sources(BaseModel):
    """Which addresses may be opened, besides local paths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schemes: tuple[Literal["s3", "gs", "https", "http"], ...] = ("s3", "gs")
    """What an address may begin with."""
    hosts: tuple[str, ...] = ()
    """Hosts that https:// and http:// may name: exactly these, no others."""

    @field_validator("hosts")
    @classmethod
    def _plain(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not re.fullmatch(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", host):
                raise ValueError(f"host {host!r} is no name; write it without scheme, port and path: data.example.org")
        return tuple(host.lower().rstrip(".") for host in hosts)

    @model_validator(mode="after")
    def _hosts_where_needed(self) -> Sources:
        web = {"https", "http"} & set(self.schemes)
        if web and not self.hosts:
            raise ValueError(f"schemes names {sorted(web)}, hosts names none; name every host that may be asked")
        if self.hosts and not web:
            raise ValueError(f"hosts are named, schemes are {list(self.schemes)}; add https")
        return self


def is_printable(name: str) -> bool:
    """Whether a name is whole text: no control characters, no line breaks, no bytes that are not UTF-8."""
    return _UNPRINTABLE.search(name) is None


def check_address(address: str, sources: Sources) -> None:
    """Refuse an address that may not be opened.

    Args:
        address: a path, a glob, or `scheme://...`.
        sources: what may be.

    Raises:
        ValueError: says what is wrong and what to write instead.
    """
    shown = repr(address if len(address) < 200 else f"{address[:200]}...")
    if len(address) > LONGEST:
        raise ValueError(f"{shown} has {len(address)} characters, more than {LONGEST}; give a path, a glob or a folder")
    if not is_printable(address):
        raise ValueError(f"{shown} holds control characters or is not UTF-8; rename the file, and write its name")
    if address.startswith("/vsi"):
        _check_virtual(address, shown)
        return
    scheme = _SCHEME.match(address)
    if scheme is None:
        _check_path(address, shown)
    elif scheme[1] not in sources.schemes:
        raise ValueError(f"{shown} may not be opened: {_how(scheme[1])}")
    elif scheme[1] in ("http", "https"):
        _check_host(address, shown, sources)
    elif not address[scheme.end() :].strip("/"):
        raise ValueError(f"{shown} names no bucket; write {scheme[1]}://BUCKET/KEY")


def _how(scheme: str) -> str:
    if scheme.lower() == "file":
        return "that scheme is not read; write a local file as its path, without file://"
    if scheme in ("http", "https", "s3", "gs"):
        hosts = ", hosts: [HOST]" if scheme.startswith("http") else ""
        return f"the run does not name {scheme}; add sources: {{schemes: [{scheme}]{hosts}}}"
    return "known are local paths, s3://, gs://, https:// and http://; copy the file to one of them"


def _check_virtual(address: str, shown: str) -> None:
    """Refuse every virtual file system but a zip on this machine; what is inside a chain counts."""
    handler = re.split(r"[/?]", address[1:], maxsplit=1)[0]
    inner = address.removeprefix(ARCHIVE)
    if inner != address:
        if inner.startswith(("vsi", "/vsi")) or "://" in inner or "{" in inner or not inner.strip("/"):
            raise ValueError(f"{shown} may not be opened: a zip must lie on this machine; copy it")
        if ".." in inner.split("/"):
            raise ValueError(f"{shown} leaves its zip by '..'; name the member itself")
        return
    spelling = SPELLINGS.get(handler)
    hint = f"write {spelling}" if spelling else "copy the file to a local path, s3:// or gs://"
    raise ValueError(f"{shown} is GDAL's virtual file system /{handler}/, which is not opened here; {hint}")


def _check_path(address: str, shown: str) -> None:
    prefix = _PREFIX.match(address)
    if "://" in address:
        raise ValueError(f"{shown} holds '://' after something that is no scheme; write scheme://... or a path")
    if prefix is not None:
        raise ValueError(f"{shown} begins like a driver's own address ({prefix[0]}); if it is a file, write ./{shown}")
    if address.lstrip().startswith("<"):
        raise ValueError(f"{shown} is markup, not a path; give the path of a file")


def _check_host(address: str, shown: str, sources: Sources) -> None:
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").rstrip(".")
    except ValueError as error:
        raise ValueError(f"{shown} is no address: {error}; write https://HOST/PATH") from error
    if parts.username is not None or parts.password is not None or re.search(r"[\\\s@]", parts.netloc):
        raise ValueError(f"{shown} holds a user or a password; credentials belong in the environment")
    if host not in sources.hosts:
        # Compared as text: another spelling of a private address (decimal, hexadecimal, octal) is another name.
        raise ValueError(
            f"{shown} may not be opened: its host {host!r} is not among {list(sources.hosts)}; name it in "
            f"sources.hosts if you trust it"
        )
