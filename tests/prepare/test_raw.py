"""Raw files: used where they are, fetched where they are not, resumed, checked, never too long."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.common.errors import UserError
from pipeline.prepare.fetch import download as downloads
from pipeline.prepare.fetch.download import download
from pipeline.prepare.fetch.raw_files import RawFile, find_files

CONTENT = bytes(range(256)) * 3000  # several portions
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one content; notes the ranges asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.stop_after, self.ranges = CONTENT, len(CONTENT), True
        self.asked: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/images.gz"

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a client that hangs up early is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.asked.append(asked)
        start = int(asked[6:-1]) if asked and self.server.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.server.content) - start))
        self.end_headers()
        self.wfile.write(self.server.content[start : self.server.stop_after])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def fetch(server: Server, path: Path) -> None:
    download(server.address, path, size=len(CONTENT), checksum=SHA256)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_file_is_fetched_whole(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "raw/images.gz")
    assert (tmp_path / "raw/images.gz").read_bytes() == CONTENT
    assert names(tmp_path / "raw") == ["images.gz"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_taken_up_where_it_broke(
    ranges: bool, server: Server, tmp_path: Path
) -> None:
    server.stop_after, server.ranges = 300_000, ranges
    with pytest.raises(OSError):
        fetch(server, tmp_path / "images.gz")
    (part,) = names(tmp_path)
    have = (tmp_path / part).stat().st_size
    assert part == ".images.gz.part.tmp" and 0 < have <= 300_000
    server.stop_after = len(CONTENT)
    fetch(server, tmp_path / "images.gz")
    assert server.asked == [None, f"bytes={have}-"]
    assert (tmp_path / "images.gz").read_bytes() == CONTENT


def test_another_file_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[::-1]
    with pytest.raises(ValueError, match="is not the published file"):
        fetch(server, tmp_path / "images.gz")
    assert names(tmp_path) == []


def test_no_more_is_written_than_announced(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT * 50
    server.stop_after = len(server.content)
    with pytest.raises(ValueError, match="sends more than the 768,000 bytes"):
        fetch(server, tmp_path / "images.gz")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0


def test_a_full_disk_is_said(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(downloads, "settle", full)
    with pytest.raises(UserError, match=r"images.gz: cannot write 768,000 bytes, because the disk"):
        fetch(server, tmp_path / "images.gz")


def raw_file(*addresses: str) -> RawFile:
    return RawFile("images.gz", len(CONTENT), SHA256, addresses)


def test_a_file_that_is_there_is_not_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSA_DATA", str(tmp_path))
    (tmp_path / "set").mkdir()
    (tmp_path / "set/images.gz").write_bytes(CONTENT)
    assert find_files("set", [raw_file(server.address)]) == {
        "images.gz": tmp_path / "set/images.gz"
    }
    assert server.asked == []


def test_a_missing_file_comes_from_the_first_address_that_has_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GSA_DATA", raising=False)
    found = find_files("set", [raw_file("http://127.0.0.1:9/gone", server.address)])
    assert found == {"images.gz": Path("data/raw/set/images.gz")}
    assert found["images.gz"].read_bytes() == CONTENT


def test_a_damaged_file_is_named_with_both_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSA_DATA", str(tmp_path))
    (tmp_path / "set").mkdir()
    path = tmp_path / "set/images.gz"
    path.write_bytes(CONTENT[:-1])
    actual = hashlib.sha256(CONTENT[:-1]).hexdigest()
    with pytest.raises(UserError) as error:
        find_files("set", [raw_file("http://127.0.0.1:9/gone")])
    assert str(error.value).startswith(f"{path}: its SHA-256 is {actual}")
    assert SHA256 in str(error.value) and path.read_bytes() == CONTENT[:-1]


def test_offline_one_sentence_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GSA_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(UserError) as error:
        find_files("set", [raw_file("http://127.0.0.1:9/a", "http://127.0.0.1:9/b")])
    (problem,) = error.value.problems
    assert problem.startswith("data/raw/set/images.gz: is missing and cannot be fetched (")
    for word in ("http://127.0.0.1:9/a", SHA256, "768,000 bytes", "GSA_DATA"):
        assert word in problem
    assert problem.count("refused") == 1 and "\n" not in problem
