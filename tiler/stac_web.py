"""Asking the host of a STAC catalogue: only hosts that the run names, no redirects, limits of size, time and patience.

Imported where a catalogue lies on a web host: `requests` and pystac-client take a quarter of a second.
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urljoin

from pystac.link import Link
from pystac_client.stac_api_io import StacApiIO
from requests import Request, RequestException, Response
from requests.exceptions import ChunkedEncodingError
from urllib3 import Retry

from tiler import stac_documents
from tiler.sources import Sources, check_address
from tiler.stac_documents import shown

RETRIES = 5
"""Of a question that was answered by 429, 502, 503 or 504, or by a broken connection."""
TORN = 3
"""How often a question is repeated whose answer was cut off in the middle."""
BACK_OFF_S = 0.5
"""Before the second retry; then twice as long each time."""
LONGEST_WAIT_S = 60
"""Between two tries, whatever a host asks for in `Retry-After`."""
CONNECT_S, SILENT_S, ANSWER_S = 10.0, 60.0, 180.0
"""To connect, for the next bytes, and for one whole answer."""
_CHUNK = 1 << 16
_TOLD = 200


class StacWeb(StacApiIO):
    """What pystac-client asks a STAC API with, and what static documents of a host are read with."""

    def __init__(self, sources: Sources) -> None:
        retry = Retry(
            total=RETRIES,
            redirect=False,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=None,  # a search may be a POST, and changes nothing
            backoff_factor=BACK_OFF_S,
            backoff_max=LONGEST_WAIT_S,
            backoff_jitter=BACK_OFF_S,
            retry_after_max=LONGEST_WAIT_S,
            raise_on_status=False,
        )
        super().__init__(timeout=(CONNECT_S, SILENT_S), max_retries=retry)
        self._sources = sources
        self._pages: set[str] = set()
        self._last = ""

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """Read an address, or follow a link: to the next page, which must not be one that was read already."""
        if not isinstance(source, Link):
            return self.request(str(source), *args, **kwargs)
        question = json.dumps(source.to_dict(transform_href=False), sort_keys=True, default=str)
        if question in self._pages:
            raise ValueError(f"{shown(self._last)} names as its next page one that was read already; its pages loop")
        self._pages.add(question)
        return super().read_text(source, *args, **kwargs)

    def json_loads(self, txt: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the JSON object of an answer.

        Raises:
            ValueError: it is none.
        """
        return stac_documents.parsed(txt.encode(), self._last)

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Ask a host; a relative href is seen from the address before.

        Raises:
            ValueError: it may not be asked, does not answer in time, or answers with an error or too much.
        """
        return self.fetch(href, method or "GET", headers, parameters).decode("utf-8", "replace")

    def fetch(
        self,
        href: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> bytes:
        """Do as `request`, and return bytes."""
        address = urljoin(self._last, href)
        if not address.startswith(("http://", "https://")):
            raise ValueError(f"{shown(address)} is no address of a web host; the catalogue's links are damaged")
        check_address(address.partition("?")[0], self._sources)  # a query may hold anything
        request = Request(method.upper(), address, headers=headers)
        if request.method == "POST":
            request.json = parameters
        else:
            request.params = parameters or {}
        answer, data = self._answer(request, address)
        self._last = address
        if answer.is_redirect or 300 <= answer.status_code < 400:
            to = shown(urljoin(address, answer.headers.get("location", "")))
            raise ValueError(
                f"{shown(address)} sends on to {to}, which is not followed; name that address if it is right"
            )
        if answer.status_code != 200:
            told = " ".join(data[:_TOLD].decode("utf-8", "replace").split())
            raise ValueError(
                f"{shown(address)} answers {answer.status_code} {answer.reason}: {told!r}; "
                + ("try again later" if answer.status_code in (429, 500, 502, 503, 504) else "check address and search")
            )
        return data

    def _answer(self, request: Request, address: str) -> tuple[Response, bytes]:
        """Ask, again where the connection breaks in the middle of an answer: urllib3 retries what comes before."""
        for left in reversed(range(TORN + 1)):
            try:
                asked = self.session.prepare_request(request)
                settings = self.session.merge_environment_settings(address, {}, True, None, None)
                with self.session.send(asked, timeout=self.timeout, allow_redirects=False, **settings) as answer:
                    return answer, _bytes_of(answer, address)
            except (RequestException, OSError) as error:  # their texts hold the whole address, with its query
                if not (left and isinstance(error, ChunkedEncodingError)):
                    raise ValueError(
                        f"{shown(address)} cannot be reached ({type(error).__name__}); check the address and the "
                        f"network, and try again later"
                    ) from None
        raise AssertionError("the last try returns or raises")


def _bytes_of(answer: Response, address: str) -> bytes:
    """Return the body, within the limits; a compressed one counts as what it unfolds to."""
    data, latest = bytearray(), time.monotonic() + ANSWER_S
    for chunk in answer.iter_content(_CHUNK):
        data += chunk
        if len(data) > stac_documents.MOST_BYTES:
            raise ValueError(stac_documents.too_large(address))
        if time.monotonic() > latest:
            raise ValueError(f"{shown(address)} took more than {ANSWER_S:g} s for one answer; narrow the search")
    return bytes(data)
