"""Addresses: one table of what may be opened, and hypothesis for everything that nobody thought of."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.sources import LONGEST, Sources, check_address, is_printable

DEFAULT = Sources()
WEB = Sources(schemes=("https",), hosts=("data.example.org", "127.0.0.1", "2001:db8::1"))

OPENED = (
    *("a.tif", "./a.tif", "../a.tif", "/data/a b/ü.tif", "data/*.tif", "data/[ab]?/**/x.tif", "~/a.tif", "*B04.jp2"),
    *(
        "s3://bucket/a.tif",
        "s3://bucket/p/*.tif",
        "gs://bucket",
        "SN10",
        "GEMS_{date:%y%m%d}*.tif",
        "./a:b.tif",
        "x/a:b.tif",
    ),
    *("/vsizip//data/a.zip/b.tif", "/vsizip/a.zip/x/b.tif", "", "C"),
)
REFUSED = {
    "http://data.example.org/a.tif": "does not name http",
    "https://data.example.org/a.tif": "does not name https",
    "HTTPS://data.example.org/a.tif": "may not be opened",
    "ftp://host/a.tif": "copy the file",
    "file:///etc/passwd": "as its path",
    "S3://bucket/a.tif": "may not be opened",
    "s3://": "names no bucket",
    "gs:///": "names no bucket",
    "vrt://a.tif": "may not be opened",
    "zip://a.zip!b.tif": "may not be opened",
    "zip+https://h/a.zip!b.tif": "may not be opened",
    "memory://a.tif": "may not be opened",
    "/vsicurl/https://data.example.org/a.tif": "write https://HOST/PATH",
    "/vsicurl?url=http%3A%2F%2F127.0.0.1%2Fa.tif": "write https://HOST/PATH",
    "/vsicurl_streaming/http://h/a.tif": "write https://HOST/PATH",
    "/vsis3/bucket/a.tif": "write s3://BUCKET/KEY",
    "/vsigs/bucket/a.tif": "write gs://BUCKET/KEY",
    "/vsiaz/bucket/a.tif": "copy the file",
    "/vsimem/a.tif": "copy the file",
    "/vsistdin/": "copy the file",
    "/vsistdin?buffer_limit=1": "copy the file",
    "/vsitar//a.tar/b.tif": "copy the file",
    "/vsisubfile/0_100,/etc/passwd": "copy the file",
    "/vsicrypt/key=x,file=/a.tif": "copy the file",
    "/vsizip//vsicurl/https://h/a.zip/b.tif": "must lie on this machine",
    "/vsizip/vsicurl/https://h/a.zip/b.tif": "must lie on this machine",
    "/vsizip/{/vsicurl/https://h/a.zip}/b.tif": "must lie on this machine",
    "/vsizip//vsizip//a.zip/b.zip/c.tif": "must lie on this machine",
    "/vsizip/s3://b/a.zip/c.tif": "must lie on this machine",
    "/vsizip/": "must lie on this machine",
    "/vsizip//a.zip/../../etc/b.tif": "leaves its zip",
    "/vsizipx/a.zip": "copy the file",
    "GTIFF_DIR:1:/etc/a.tif": "driver's own address",
    'ZARR:"/vsicurl/http://h/a.zarr"': "holds '://'",
    "NETCDF:a.nc:x": "driver's own address",
    "PG:host=127.0.0.1": "driver's own address",
    "https:/127.0.0.1/a.tif": "driver's own address",
    "a/https://h/a.tif": "holds '://'",
    " https://h/a.tif": "holds '://'",
    "<VRTDataset></VRTDataset>": "markup",
    " <GDAL_WMS/>": "markup",
    "a\0.tif": "control characters",
    "a\n.tif": "control characters",
    "\x1b[2J.tif": "control characters",
    "caf\udce9.tif": "not UTF-8",
    "a\u2028b.tif": "control characters",
    "x" * (LONGEST + 1): "characters, more than",
}
PRIVATE = (
    *(
        "localhost",
        "127.0.0.2",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1.nip.io",
    ),
    *(
        "10.0.0.1",
        "169.254.169.254",
        "metadata.google.internal",
        "192.168.0.1",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[fc00::1]",
    ),
    *(
        "[fe80::1%25eth0]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "data.example.org.evil.net",
    ),
    *(
        "evil.net",
        "xn--data-example-org",
        "data.example.orgx",
        "adata.example.org",
        ".data.example.org",
        "",
        "data.example.org%00",
    ),
)
"""Hosts that WEB does not name."""


@pytest.mark.parametrize("address", OPENED)
def test_what_is_opened_by_default(address):
    check_address(address, DEFAULT)
    check_address(address, WEB) if "://" not in address else None


@pytest.mark.parametrize(("address", "says"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_refused_says_what_to_write(address, says):
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        check_address(address, DEFAULT)
    assert re.search("; |: ", str(error.value))
    assert len(str(error.value)) < 1000
    assert is_printable(str(error.value))


@pytest.mark.parametrize(
    "host", ["data.example.org", "DATA.example.ORG", "data.example.org.", "127.0.0.1", "[2001:DB8::1]"]
)
@pytest.mark.parametrize("port", ["", ":8443"])
def test_a_host_that_is_named_is_opened(host, port):
    check_address(f"https://{host}{port}/a/b.tif?x=1", WEB)
    with pytest.raises(ValueError, match="does not name http"):
        check_address(f"http://{host}{port}/a/b.tif", WEB)


@pytest.mark.parametrize("host", PRIVATE)
def test_no_other_spelling_of_a_host_is_opened(host):
    with pytest.raises(ValueError, match=r"not among \[|credentials|is no address"):
        check_address(f"https://{host}/a.tif", WEB)


@pytest.mark.parametrize(
    "authority",
    ["user@data.example.org", "user:pass@data.example.org", "data.example.org@evil.net", "evil.net\\@data.example.org"],
)
def test_users_and_passwords_have_no_place_in_an_address(authority):
    with pytest.raises(ValueError, match=r"credentials belong in the environment|not among"):
        check_address(f"https://{authority}/a.tif", WEB)


def test_object_stores_can_be_taken_away():
    with pytest.raises(ValueError, match="does not name s3"):
        check_address("s3://bucket/a.tif", Sources(schemes=()))


@pytest.mark.parametrize("host", ["*", "*.example.org", "https://h", "h/a", "h:80", "a b", "", "u@h"])
def test_hosts_are_plain_names(host):
    with pytest.raises(ValueError, match="host"):
        Sources(schemes=("https",), hosts=(host,))


def test_hosts_and_schemes_belong_together():
    with pytest.raises(ValueError, match="name every host"):
        Sources(schemes=("s3", "http"))
    with pytest.raises(ValueError, match="add https"):
        Sources(hosts=("h",))


PARTS = st.sampled_from(
    [
        *"/\\:@?#%.<>{}[]\n \0",
        "//",
        "://",
        "http",
        "https",
        "s3",
        "file",
        "vsicurl",
        "/vsi",
        "vsizip",
        "vrt",
        "a.tif",
        "..",
        "h",
    ]
)


@given(st.lists(PARTS | st.text(max_size=3), max_size=9).map("".join))
def test_whatever_is_opened_is_a_path_or_a_bucket(address):
    try:
        check_address(address, DEFAULT)
    except ValueError:
        return
    assert is_printable(address)
    assert "://" not in address or re.match(r"(s3|gs)://[^/]", address)
    assert not address.startswith("/vsi") or address.startswith("/vsizip/")
