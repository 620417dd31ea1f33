"""The page of a running study: three addresses, this machine alone, names checked."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from pipeline.common.errors import UserError
from pipeline.tools import serve
from pipeline.tools.serve import server

SAID = "sweep of digits: running <b>&"
Answer = tuple[int, str, dict[str, str]]


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server of a folder with a report and things that nobody may see."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/index.html").write_text("<h1>the report</h1>")
    (tmp_path / "params.yaml").write_text("secret: yes")
    running = server("127.0.0.1", 0, lambda: SAID)
    thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running.server_address[1]
    running.shutdown()
    running.server_close()
    thread.join()


def ask(port: int, path: str, method: str = "GET", host: str | None = "127.0.0.1") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, dict(answer.getheaders())


def test_the_page_has_the_status_and_is_loaded_again(port: int) -> None:
    code, text, headers = ask(port, "/")
    assert code == 200 and "running &lt;b&gt;&amp;" in text and "<b>" not in text
    assert 'http-equiv="refresh" content="10"' in text and 'href="/report"' in text
    assert headers["Cache-Control"] == "no-store" and headers["Server"].strip() == "pipeline"
    assert ask(port, "/status")[1] == SAID + "\n"
    assert ask(port, "/report")[1] == "<h1>the report</h1>"
    assert ask(port, "/", "HEAD")[:2] == (200, "")


@pytest.mark.parametrize(
    "path",
    [
        "/params.yaml", "/reports", "/reports/", "/reports/index.html", "/../params.yaml",
        "/report/../params.yaml", "/%2e%2e/params.yaml", "/report?x", "/status/",
        "/data/", "*", "http://127.0.0.1/",
    ],
)  # fmt: skip
def test_nothing_else_is_there(path: str, port: int) -> None:
    code, text, _ = ask(port, path)
    assert code == 404 and "secret" not in text and "params" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(method: str, port: int) -> None:
    assert ask(port, "/", method)[0] == 501


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:80", "127.0.0.1:9"]
)
def test_this_machine_is_answered(host: str, port: int) -> None:
    assert ask(port, "/status", host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", None, "0.0.0.0"]
)
def test_other_names_are_refused(host: str | None, port: int) -> None:
    code, text, _ = ask(port, "/status", host=host)
    assert code == 403 and SAID not in text


def test_the_study_of_the_report_is_named(port: int) -> None:
    Path("reports/index.html").write_text("<head><title>a&lt;b&gt;: report</title></head>")
    assert "The last report</a>, of the study a&lt;b&gt;, made" in ask(port, "/")[1]


def test_a_report_that_is_a_link_is_not_followed(port: int, tmp_path: Path) -> None:
    Path("reports/index.html").unlink()
    assert ask(port, "/report")[0] == 404 and "no report yet" in ask(port, "/")[1]
    Path("reports/index.html").symlink_to(tmp_path / "params.yaml")
    assert ask(port, "/report")[0] == 404


def test_it_listens_on_this_machine_unless_told() -> None:
    options = serve.ARGUMENTS["--host"]
    assert options["default"] == "127.0.0.1"
    with server(str(options["default"]), 0, lambda: "") as running:
        assert running.socket.getsockname()[0] == "127.0.0.1"
    assert [serve.is_loopback(host) for host in ("localhost", "::1", "0.0.0.0", "name")] == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [("127.0.0.1", 70_000, "got 70000"), ("no.such.host.invalid", 0, "cannot be used")],
)
def test_a_wrong_address_is_one_sentence(host: str, port: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        server(host, port, lambda: "")


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {number}: cannot be used"):
            server("127.0.0.1", number, lambda: "")


def test_the_status_is_read_once_for_many_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    kept = serve._Remembered(lambda: str(read.append(1)))
    assert [kept.text() for _ in range(5)] == ["None"] * 5 and len(read) == 1
    monkeypatch.setattr(serve, "FRESH", -1.0)
    kept.text()
    assert len(read) == 2


def test_a_study_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "params.yaml" in serve.current_status()
