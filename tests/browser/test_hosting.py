"""The page on hosts of every kind: what it asks for, how much is transferred, below a path, isolated or not."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from fer_benchmarks.browser import chromium, host
from fer_benchmarks.pipeline.browser_loop import transferred
from fer_runtime.outputs.web import site as pages
from helpers.browser_page import opened
from helpers.served import serving_alone

MAX_BYTES, MAX_CODE_BYTES = 6_000_000, 60_000


def answered(browser: Browser, address: str) -> list[str]:
    """The camera is pressed and both faces are named; what the page complained of or asked of others."""
    page, complaints = opened(browser, address)
    page.click("#camera", timeout=60_000)
    expect(page.locator(".face h3 span")).to_have_text(["happy", "happy"], timeout=60_000)
    page.context.close()
    return complaints


@pytest.mark.parametrize("headers", [host.BARE, pages.HEADERS], ids=["bare", "ours"])
def test_any_host_and_any_path_will_do(camera_browser: Browser, site: Path, headers: Mapping[str, str]) -> None:
    """Without headers of ours there are no threads and no shared memory; the page's own policy holds all the same."""
    with host.serving(site, headers, "/some/where/else/") as served:
        assert answered(camera_browser, served.address) == []
        assert {each.status for each in served.seen} <= {200, 304}
        assert all(each.path.startswith("/some/where/else/") for each in served.seen)


def test_the_page_brings_the_policy_that_a_host_may_not_send(site: Path) -> None:
    """All of it but what a page cannot say of itself (frame-ancestors) and what it does not have (manifest-src)."""
    (said,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', (site / "index.html").read_text())
    sent = [
        part for part in policy(pages.HEADERS["content-security-policy"]) if not part.startswith(("frame", "manif"))
    ]
    assert policy(said) == sent
    assert [
        part for part in sent if "http" in part or "*" in part or "unsafe-inline" in part or "'unsafe-eval'" in part
    ] == []


def policy(text: str) -> list[str]:
    return sorted(part.strip() for part in text.split(";"))


def test_fer_run_serves_it(camera_browser: Browser, site: Path) -> None:
    with serving_alone("0", "--web-demo", site) as served:
        assert answered(camera_browser, f"http://127.0.0.1:{served.port}/demo/") == []


def test_little_is_transferred_until_the_first_answer(camera_browser: Browser, site: Path) -> None:
    with host.serving(site) as served:
        context = camera_browser.new_context()
        page = context.new_page()
        page.goto(served.address)
        page.click("#camera", timeout=60_000)
        expect(page.locator(".face h3 span").first).to_have_text("happy", timeout=60_000)
        found = transferred(site, served)
        context.close()
    assert 3e6 < found.gzip <= MAX_BYTES
    assert found.brotli is not None
    assert 3e6 < found.brotli < found.gzip
    assert 10_000 < found.code <= MAX_CODE_BYTES


def test_threads_where_the_page_is_isolated(browser: Browser, site: Path) -> None:
    for headers, threads in ((pages.HEADERS, 2), (host.BARE, 1)):
        with host.serving(site, headers) as served:
            page = chromium.open_harness(browser, served.address)
            found = chromium.ask(page, "bench", {"threads": 2, "warmup": 0, "runs": 1})
            assert (found["threads"], found["cross_origin_isolated"]) == (threads, threads == 2)
            page.close()
