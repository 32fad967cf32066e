"""From a command line to a server that listens."""

from __future__ import annotations

import ipaddress
import socket
import sys
import webbrowser

import uvicorn

from jobs.map_page.server import app_of
from jobs.map_page.shown import LOOPBACK, Shown
from jobs.shell import DONE


def hosts_of(host: str) -> tuple[str, ...]:
    """Return the names by which browsers may ask: those of this machine, and of the address that was asked for."""
    address = ipaddress.ip_address(host)
    if address.is_unspecified:  # every network that the machine is in: nobody knows by which name
        return ("*",)
    return tuple(dict.fromkeys((*LOOPBACK, f"[{host}]" if address.version == 6 else host)))


def serve(shown: Shown, host: str, port: int, opens: bool) -> int:
    """Listen until the user ends it; return the exit code.

    Raises:
        OSError: the port is taken.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            told = f"{host}:{port} cannot be listened on ({error.strerror}); give another --port, or 0 for a free one"
            raise OSError(told) from error
        listening.listen(128)  # from here on a browser may ask: it waits until the server is there
        shown_host = f"[{host}]" if family == socket.AF_INET6 else host
        address = f"http://{shown_host}:{listening.getsockname()[1]}"
        if not ipaddress.ip_address(host).is_loopback:
            print(f"warning: whoever reaches {host} sees this map; there is no password", file=sys.stderr)
        print(f"map page   {address}   (end it with Ctrl-C)", flush=True)
        if opens:
            webbrowser.open(address)
        config = uvicorn.Config(app_of(shown), log_level="warning", server_header=False, date_header=False)
        uvicorn.Server(config).run(sockets=[listening])
    return DONE
