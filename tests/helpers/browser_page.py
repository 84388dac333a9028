"""What tests of the page that runs in a browser share: opening it, and pixels for window.fer."""

import base64
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

DATA = Path(os.environ.get("FER_TEST_DATA", "/nonexistent"))  # fer2013.zip, and faces/ with boxes.csv: never in CI
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs FER_TEST_DATA, a folder with fer2013.zip and faces/")


def opened(browser: Browser, address: str, **context: Any) -> tuple[Page, list[str]]:
    """The page at an address, and what it complains of or asks of other hosts from now on."""
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    host = address.split("/")[2]

    def heard(said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            complaints.append(said.text)

    def asked(request: Request) -> None:
        if not request.url.startswith("blob:") and request.url.split("/")[2] != host:
            complaints.append(request.url)

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.context.on("request", asked)  # the workers' too
    page.goto(address)
    return page, complaints


def packed(array: NDArray[np.uint8]) -> str:
    """Its bytes as window.fer takes them."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def unpacked(text: str) -> NDArray[np.uint8]:
    """The bytes that window.fer gave."""
    return np.frombuffer(base64.b64decode(text), np.uint8)


def rgba(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A BGR image [h, w, 3] as a browser's pixels [h, w, 4]."""
    return np.dstack([image[:, :, ::-1], np.full(image.shape[:2], 255, np.uint8)])
