"""The page of fer-score --html in a real browser, on a desk and on a phone."""

import shutil
from pathlib import Path

import cv2
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from conftest import Run
from fer_benchmarks.demo_clip import render
from fer_runtime.archive.report import overview

CHROMIUM = Path("/usr/bin/chromium")  # Debian's
SIZES = {"desktop": (1280, 860), "phone": (390, 844)}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's package chromium")


@pytest.fixture(scope="module")
def page_file(command: Run, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the clip, a photo, and a broken file whose name is markup."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "day 1").mkdir()
    shutil.copy(clip, folder / "day 1" / "talk.mp4")
    cv2.imwrite(str(folder / "photo.jpg"), render(0))
    (folder / "<img src=x>.mp4").write_text("no video")
    target = folder / "report.html"
    done = command("fer-score", folder, "--out", folder / "out", "--html", target)
    assert done.returncode == 0, done.stderr
    return target


def opened(browser: Browser, file: Path, size: str) -> tuple[Page, list[str]]:
    """The page, and what the browser complains of or asks for."""
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url != file.as_uri() else None)
    page.goto(file.as_uri())
    return page, complaints


@pytest.mark.parametrize("size", SIZES)
def test_the_page_shows_shares_moments_time_lines_and_errors(page_file: Path, size: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page, complaints = opened(browser, page_file, size)
        expect(page.locator("h1 + p")).to_have_text(
            "3 files, 1 with errors; 0:04 of video, 0:08 of faces in it; 2 faces in pictures."
        )
        expect(page.locator(".legend li", has_text="happy").locator("b")).to_have_text("100.0%")
        expect(page.locator(".moments tr")).to_have_count(1)
        expect(page.locator(".moments td")).to_contain_text("day 1/talk.mp4 0:0")
        lanes = page.locator("figure rect")
        expect(lanes).to_have_count(2)  # two tracks, of one label each
        full = page.locator("figure svg").bounding_box()
        lane = lanes.first.bounding_box()
        assert full
        assert lane
        assert lane["width"] > 0.95 * full["width"]
        bad = page.locator(".files tr.bad")
        expect(bad.locator("th")).to_have_text("<img src=x>.mp4")
        expect(bad.locator(".text")).to_contain_text("neither a video nor a picture")
        expect(page.locator(".files tbody tr")).to_have_count(3)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert str(page_file.parent) not in page.content()  # a page may be passed on: no one's folders
        assert complaints == []
        browser.close()


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (["/a/day1/x.mp4", "/a/day2/y.mp4"], "/a/"),
        (["/a/x.mp4", "/b/y.mp4"], ""),
        (["s3://bucket/day/x.mp4"], "s3://bucket/day/"),
        ([], ""),
    ],
)
def test_names_are_shown_from_the_common_folder_on(names: list[str], folder: str) -> None:
    assert overview._common_folder(names) == folder
