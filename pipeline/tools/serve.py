"""Show the report and how far the study is in a browser, on this machine alone, refreshed.

Three addresses are answered: / (how far the study is), /status (the same as text) and /report.
Ctrl-C ends it; the study is neither started nor ended by it.
"""

from __future__ import annotations

import html
import ipaddress
import os
import socket
import time
from argparse import Namespace
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from pipeline.common.errors import UserError
from pipeline.common.signals import Interrupted, ending_on_signals
from pipeline.tools.summary import reported_study

__all__ = ["main", "server"]

ARGUMENTS = {
    "--port": {
        "type": "whole number",
        "default": 8000,
        "metavar": "N",
        "help": "8000 unless said; 0 is any that is free",
    },
    "--host": {
        "default": "127.0.0.1",
        "metavar": "ADDRESS",
        "help": "127.0.0.1 unless said: others than this machine see it only with another",
    },
}
REPORT = Path("reports/index.html")
FRESH = 2.0  # seconds in which the status is not read again
REFRESH = 10  # seconds between two loads of the page
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{seconds}">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; }}
body {{ margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }}
pre {{ overflow-x: auto; font-size: 14px; line-height: 1.4; }}
</style></head><body>
<h1>{title}</h1>
<p>{report}</p>
<pre>{status}</pre>
<p>As of {time}; this page is loaded again every {seconds} seconds.</p>
</body></html>
"""


def main(given: Namespace) -> None:
    """Serve until a signal ends it."""
    running = server(given.host, given.port, current_status)
    host, port = running.server_address[:2]
    shown = f"[{host!s}]" if ":" in str(host) else str(host)
    print(f"http://{shown}:{port}/ shows the study; Ctrl-C ends this", flush=True)
    if not is_loopback(str(host)):
        print("every machine that reaches this address can read the status and the report")
    try:
        with running, ending_on_signals():
            running.serve_forever()
    except Interrupted:
        print("serve: ended; a running study continues", flush=True)


def server(host: str, port: int, status: Callable[[], str]) -> ThreadingHTTPServer:
    """Bind a server that answers for the current folder.

    Parameters
    ----------
    host, port
        Where it listens.
    status
        Says how far the study is.

    Raises
    ------
    UserError
        The address cannot be taken.
    """
    if not 0 <= port <= 65_535:
        raise UserError(f"--port: got {port}; accepts a number from 0 to 65535")
    remembered = _Remembered(status)

    class Handler(_Handler):
        read_status = staticmethod(remembered.text)
        accepted = {host.lower(), "localhost"} | (
            set() if is_loopback(host) else {socket.gethostname().lower()}
        )

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

    try:
        return Server((host, port), Handler)
    except OSError as error:
        raise UserError(
            f"--host {host} --port {port}: cannot be used ({error.strerror or error}): end what "
            "uses it, or name another port"
        ) from None


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def current_status() -> str:
    """Return what `python -m pipeline status` prints, or why it cannot."""
    from pipeline.study.params import load_params
    from pipeline.tools.status import status

    try:
        return "\n".join(status(load_params()))
    except UserError as error:
        return "\n".join(error.problems)


class _Remembered:
    """A text that is asked for again only when it is old, however many readers there are."""

    def __init__(self, read: Callable[[], str]) -> None:
        self.read, self.lock = read, Lock()
        self.known, self.at = "", float("-inf")

    def text(self) -> str:
        with self.lock:
            if time.monotonic() - self.at > FRESH:
                self.known = self.read()
                self.at = time.monotonic()
            return self.known


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of three addresses; whatever else is asked for is 404 or 501."""

    read_status: Callable[[], str]
    accepted: set[str]
    server_version, sys_version = "pipeline", ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer, or refuse a name that is not this machine's (DNS rebinding)."""
        if not self._is_for_us():
            self._send(403, "text/plain", b"this name is not served here\n")
        elif self.path == "/":
            self._send(200, "text/html", self._page().encode())
        elif self.path == "/status":
            self._send(200, "text/plain", self.read_status().encode() + b"\n")
        elif self.path == "/report" and (content := _report()) is not None:
            self._send(200, "text/html", content)
        else:
            self._send(404, "text/plain", b"nothing is here; see /\n")

    do_HEAD = do_GET

    def log_message(self, format: str, *values: object) -> None:
        """Print nothing: the terminal is the user's."""

    def _is_for_us(self) -> bool:
        given = self.headers.get_all("Host") or []
        if len(given) != 1:
            return False
        name = given[0].rpartition(":")[0] if given[0][-1:].isdigit() else given[0]
        name = (name or given[0]).lower().strip("[]")
        if name in self.accepted:
            return True
        try:  # an address is no name that someone else could point here
            return not ipaddress.ip_address(name).is_unspecified
        except ValueError:
            return False

    def _page(self) -> str:
        report = "There is no report yet."
        if REPORT.is_file():
            made = time.strftime("%Y-%m-%d %H:%M", time.localtime(REPORT.stat().st_mtime))
            study = html.escape(reported_study() or "")
            of = f"of the study {study}, " if study else ""
            report = f'<a href="/report">The last report</a>, {of}made {made}'
        return PAGE.format(
            title="How far the study is", report=report, status=html.escape(self.read_status()),
            time=time.strftime("%H:%M:%S"), seconds=REFRESH,
        )  # fmt: skip

    def _send(self, code: int, kind: str, content: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _report() -> bytes | None:
    """Return the report, unless it is none or a link that leads out of its folder."""
    if not REPORT.is_file() or os.path.islink(REPORT):
        return None
    return REPORT.read_bytes()
