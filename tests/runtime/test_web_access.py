"""fer-run --web: who is let in, and who is not."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Run
from helpers.served import Served, serving

TOKEN = "a-token-of-our-own-0123456789"


@pytest.fixture(scope="module")
def page(long_clip: Path) -> Iterator[Served]:
    with serving(long_clip) as served:
        yield served


@pytest.fixture(scope="module")
def guarded(long_clip: Path) -> Iterator[Served]:
    with serving(long_clip, "0.0.0.0:0") as served:
        yield served


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 200),
        ({"Host": "evil.example"}, 421),  # DNS rebinding
        ({"Host": "localhost.evil.example:8080"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:80"}, 200),
    ],
)
def test_other_sites_are_refused(page: Served, headers: dict[str, str], status: int) -> None:
    assert page.get("/health", **headers)[0] == status


def test_oversized_and_senseless_requests_are_refused(page: Served) -> None:
    assert page.get("/health", Cookie="x" * 100_000)[0] in (400, 431)
    assert page.get("/" + "a" * 100_000)[0] in (400, 431)
    assert page.get("/health", Cookie="x" * 10_000)[0] == 431
    assert page.get("/health", "POST", b"x" * 1000)[0] == 405
    assert page.get("/health", "GET", b"x" * 1000)[0] == 413
    assert page.get("/health", "GET", Transfer_Encoding="chunked")[0] == 413
    assert page.get("/../../etc/passwd")[0] == 404
    assert page.get("/no-such-page")[0] == 404
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as client:
        client.sendall(b"\x16\x03\x01 not http \r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 400")
    assert page.get("/health")[0] == 200
    assert page.process.poll() is None
    assert "Traceback" not in "".join(page.errors)


def test_another_address_demands_the_token_that_is_printed(guarded: Served) -> None:
    token = guarded.address.partition("?token=")[2]
    assert len(token) >= 20
    for path in ("/", "/video", "/events", "/health", "/metrics", "/page.js", "/no-such-page"):
        assert guarded.get(path)[0] == 401
        assert guarded.get(f"{path}?token=wrong")[0] == 401
        assert guarded.get(path, Authorization="Bearer wrong")[0] == 401
        assert guarded.get(path, Cookie="fer_token=wrong")[0] == 401
    assert guarded.get("/?token=%00%ff%E2%80%A2&token=")[0] == 401
    assert guarded.get("/health", Authorization=f"Bearer {token}")[0] == 200
    assert guarded.get(f"/metrics?token={token}")[0] == 200
    status, _, headers = guarded.whole(f"/?token={token}")
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=strict" in headers["set-cookie"]
    cookie = headers["set-cookie"].partition(";")[0]
    assert guarded.get("/", Cookie=cookie)[0] == 200
    assert guarded.get("/", Cookie=cookie, Origin="http://evil.example")[0] == 403


def test_a_token_of_ones_own(long_clip: Path, command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a service, so that clients stay signed in after a restart; it is not printed."""
    monkeypatch.setenv("FER_WEB_TOKEN", TOKEN)
    with serving(long_clip, "0.0.0.0:0") as served:
        assert served.get("/health")[0] == 401
        assert served.get("/health", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert TOKEN not in "".join(served.errors)
    done = command("fer-run", "--source", long_clip, "--headless", "--web", "0.0.0.0:0", FER_WEB_TOKEN="short")
    assert done.returncode == 1
    assert "FER_WEB_TOKEN: expected 16 or more" in done.stderr


@pytest.mark.parametrize("where", ["x", "70000", "-1", "localhost:", "no-such-host.invalid:0", "a" * 300 + ":1"])
def test_bad_addresses(command: Run, long_clip: Path, where: str) -> None:
    done = command("fer-run", "--source", long_clip, "--headless", "--web", where)
    assert done.returncode == 1
    assert "[HOST:]PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use(command: Run, long_clip: Path, page: Served) -> None:
    done = command("fer-run", "--source", long_clip, "--headless", "--web", page.port)
    assert done.returncode == 1
    assert f"cannot serve the page at 127.0.0.1:{page.port}: Address already in use" in done.stderr
