"""fer-run --web-demo: the page that runs in a browser, as it is served; tests/browser has what it does there."""

import gzip
import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Run
from helpers.served import Served, serving, serving_alone

SECRET = "a secret outside the folder"
SCRIPT = b"console.log('our own');\n" * 400


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page's folder without a page worth looking at; in it, links out of it and about it."""
    root = tmp_path_factory.mktemp("served")
    folder = root / "site"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "sw.js").write_text("self.oninstall = null;")
    (folder / "assets" / "page.js").write_bytes(SCRIPT)
    (folder / "assets" / "ort.wasm").write_bytes(bytes(200_000))
    subprocess.run([sys.executable, "-m", "fer_runtime.cli.site", str(folder)], check=True)
    (root / "secret.txt").write_text(SECRET)
    (folder / "out.txt").symlink_to(root / "secret.txt")
    (folder / "up").symlink_to(root)
    (folder / "inside.js").symlink_to(folder / "assets" / "page.js")
    return folder


@pytest.fixture(scope="module")
def demo(site: Path) -> Iterator[Served]:
    with serving_alone("0", "--web-demo", site) as served:
        yield served


def asked(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """The raw answer: nothing is decompressed, and the path is sent as it stands here."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for key, value in headers.items():
        connection.putheader(key.replace("_", "-"), value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body, {key.lower(): value for key, value in response.getheaders()}


def test_every_kind_of_file_has_its_type(demo: Served) -> None:
    kinds = {
        "/demo/": "text/html; charset=utf-8",
        "/demo/index.html": "text/html; charset=utf-8",
        "/demo/assets/page.js": "text/javascript; charset=utf-8",
        "/demo/assets/ort.wasm": "application/wasm",
        "/demo/model/classifier.onnx": "application/octet-stream",
        "/demo/model/site.json": "application/json",
    }
    for path, kind in kinds.items():
        status, _, headers = asked(demo.port, path)
        assert (status, headers["content-type"]) == (200, kind), path


def test_its_headers_let_it_use_the_camera_and_threads_and_the_device_s_page_keeps_its_own(
    demo: Served, clip: Path, site: Path
) -> None:
    _, _, headers = asked(demo.port, "/demo/")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self';")
    assert "unsafe-inline" not in policy
    assert "http" not in policy
    assert headers["permissions-policy"] == "camera=(self), microphone=(), geolocation=()"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert headers["x-content-type-options"] == "nosniff"
    with serving(clip, "0", "--web-demo", site) as both:
        _, _, headers = asked(both.port, "/")
        assert headers["permissions-policy"].startswith("camera=()")
        assert "wasm" not in headers["content-security-policy"]
        assert "cross-origin-embedder-policy" not in headers
        assert asked(both.port, "/demo/")[0] == 200
        assert f"the page for a visitor's own camera is at {both.address}demo/" in "".join(both.errors)


def test_without_the_option_there_is_no_demo() -> None:
    with serving_alone() as page:
        assert asked(page.port, "/demo/")[0] == 404


def test_the_folder_without_its_slash_leads_to_it(demo: Served) -> None:
    status, _, headers = asked(demo.port, "/demo")
    assert (status, headers["location"]) == (307, "/demo/")


@pytest.mark.parametrize(
    "path",
    [
        "/demo/../secret.txt", "/demo/%2e%2e/secret.txt", "/demo/..%2fsecret.txt", "/demo/assets/../../secret.txt",
        "/demo/%2e%2e%2fsecret.txt", "/demo//etc/passwd", "/demo/%2fetc/passwd", "/demo/..\\secret.txt",
        "/demo/out.txt", "/demo/up/secret.txt", "/demo/up/", "/demo/%00", "/demo/index.html%00.js", "/demo/assets/",
        "/demo/" + "a" * 3000, "/demo/" + "a/" * 2000, "/demo/model/", "/demo/index.html/x",
    ],
)  # fmt: skip
def test_nothing_outside_the_folder_is_served(demo: Served, path: str) -> None:
    status, body, headers = asked(demo.port, path)
    assert status == 404
    assert SECRET.encode() not in body
    assert b"root:" not in body
    assert "content-security-policy" in headers


def test_a_link_within_the_folder_is_followed(demo: Served) -> None:
    assert asked(demo.port, "/demo/inside.js")[1] == SCRIPT


def test_what_shrinks_is_compressed_for_those_that_take_it(demo: Served) -> None:
    plain = asked(demo.port, "/demo/assets/page.js")
    small = asked(demo.port, "/demo/assets/page.js", accept_encoding="gzip, deflate, br")
    assert (plain[1], "content-encoding" in plain[2]) == (SCRIPT, False)
    assert small[2]["content-encoding"] == "gzip"
    assert int(small[2]["content-length"]) == len(small[1]) < len(SCRIPT) / 10
    assert gzip.decompress(small[1]) == SCRIPT
    assert plain[2]["vary"] == small[2]["vary"] == "accept-encoding"
    assert plain[2]["etag"] != small[2]["etag"]


def test_head_etag_and_304(demo: Served, site: Path) -> None:
    for encoding in ("identity", "gzip"):
        status, body, headers = asked(demo.port, "/demo/assets/page.js", "HEAD", accept_encoding=encoding)
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 0
        assert headers["cache-control"] == "no-cache"
        again = asked(demo.port, "/demo/assets/page.js", accept_encoding=encoding, if_none_match=headers["etag"])
        assert again[:2] == (304, b"")
    script = site / "assets" / "page.js"
    os.utime(script, (1e9, 1e9))  # as if built anew
    assert asked(demo.port, "/demo/assets/page.js", if_none_match=headers["etag"])[0] == 200
    assert asked(demo.port, "/demo/assets/page.js", "POST")[0] == 405


def test_the_token_is_asked_for_and_signs_in_here_too(site: Path) -> None:
    with serving_alone("0.0.0.0:0", "--web-demo", site) as guarded:
        assert asked(guarded.port, "/demo/")[0] == 401
        assert asked(guarded.port, "/demo/model/classifier.onnx")[0] == 401
        assert f"/demo/?token={guarded.token}" in "".join(guarded.errors)
        status, _, headers = asked(guarded.port, f"/demo/?token={guarded.token}")
        assert (status, headers["location"]) == (303, "/demo/")
        cookie = headers["set-cookie"].partition(";")[0]
        assert asked(guarded.port, "/demo/", cookie=cookie)[0] == 200
        assert asked(guarded.port, "/demo/sw.js", cookie=cookie)[0] == 200


def test_another_site_s_page_may_not_use_it(demo: Served) -> None:
    for headers in ({"Origin": "http://elsewhere.example"}, {"Sec_Fetch_Site": "cross-site"}):
        assert asked(demo.port, "/demo/model/classifier.onnx", **headers)[0] == 403


def test_a_folder_that_is_no_page_is_refused_in_a_sentence(command: Run, site: Path, tmp_path: Path) -> None:
    words = ["--no-source", "--web", "0", "--web-demo"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "half" / "model").mkdir(parents=True)
    (tmp_path / "half" / "model" / "site.json").write_bytes((site / "model" / "site.json").read_bytes())
    shutil.copytree(tmp_path / "half", tmp_path / "online")
    (tmp_path / "online" / "index.html").write_text("<!doctype html>")
    (tmp_path / "odd" / "model").mkdir(parents=True)
    (tmp_path / "odd" / "model" / "site.json").write_text("[1]")
    for name, said in (
        ("absent", "without model/site.json"),
        ("empty", "without model/site.json"),
        ("half", "without index.html"),
        ("online", "without sw.js"),
        ("odd", "does not name the models"),
    ):
        done = command("fer-run", *words, tmp_path / name)
        assert done.returncode == 1
        assert said in done.stderr
        assert "`make web-demo`" in done.stderr
        assert done.stderr.count("\n") == 1
    done = command("fer-run", *words, site / "index.html")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_the_option_alone_is_a_usage_error(command: Run, site: Path) -> None:
    done = command("fer-run", "--web-demo", site)
    assert done.returncode == 2
    assert "--web [HOST:]PORT" in done.stderr
