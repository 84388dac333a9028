"""From the loop's thread to the server's: the newest frame, encoded once for everybody who watches."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.outputs.overlay import draw
from fer_runtime.outputs.web.health import Health
from fer_runtime.types import Result

MIN_INTERVAL_S = 1 / 15  # between two pictures
MAX_SIDE = 960  # pixels; a larger frame is shrunk before it is encoded
JPEG_QUALITY = 80
TIMELINE_STEP_S, TIMELINE_S = 0.5, 180.0


class Newest:
    """A value that any number of coroutines wait for; who is slow misses some, and nothing queues up."""

    def __init__(self) -> None:
        self.watchers = 0
        self._value = b""
        self._changed = asyncio.Event()

    def set(self, value: bytes) -> None:
        """Wake all that wait."""
        self._value = value
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def values(self) -> AsyncIterator[bytes]:
        """The next value, and after it whichever is the newest each time one is asked for."""
        last = self._value
        with self._watched():
            while True:
                changed = self._changed
                if self._value is last:
                    await changed.wait()
                last = self._value
                yield last

    @contextmanager
    def _watched(self) -> Iterator[None]:
        self.watchers += 1
        try:
            yield
        finally:
            self.watchers -= 1


class Feed:
    """The loop puts frames in; the server's event loop makes pictures and events of the newest one while watched."""

    def __init__(self, health: Health) -> None:
        self.pictures, self.events = Newest(), Newest()
        self._health = health
        self._newest: tuple[NDArray[np.uint8], Result] | None = None
        self._fresh = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timeline: deque[dict[str, Any]] = deque(maxlen=round(TIMELINE_S / TIMELINE_STEP_S))
        self._sampled = 0.0

    def put(self, image: NDArray[np.uint8], result: Result) -> None:
        """Called by the loop's thread: swap a reference, and wake the server only when somebody watches."""
        self._newest = (image, result)
        self._add_point(result)
        if self._loop and (self.pictures.watchers or self.events.watchers):
            self._loop.call_soon_threadsafe(self._fresh.set)

    def _add_point(self, result: Result) -> None:
        now = time.monotonic()
        if now - self._sampled >= TIMELINE_STEP_S:
            self._sampled = now
            self._timeline.append(_point(result))

    def newest_result(self) -> Result | None:
        """The last that was put in."""
        return self._newest[1] if self._newest else None

    def watch(self, channel: Newest) -> AsyncIterator[bytes]:
        """The values of `pictures` or `events`, starting with the newest frame, if there has been one."""
        self._fresh.set()
        return channel.values()

    def history(self) -> str:
        """The timeline so far, JSON: a list of {"time", "faces": {track: probabilities}}, the oldest first."""
        return json.dumps(list(self._timeline))

    async def run(self) -> None:
        """Publish the newest frame whenever there is one and somebody watches, until cancelled."""
        self._loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "jpeg") as encoder:
            while True:
                await self._fresh.wait()
                self._fresh.clear()
                if self._newest is None:
                    continue
                image, result = self._newest
                if self.pictures.watchers:
                    self.pictures.set(await self._loop.run_in_executor(encoder, _jpeg, image, result))
                if self.events.watchers:
                    self.events.set(self._event(result))
                await asyncio.sleep(MIN_INTERVAL_S)

    def _event(self, result: Result) -> bytes:
        state = json.dumps(self._health.plain())
        return f"event: result\ndata: {result.to_json()}\n\nevent: health\ndata: {state}\n\n".encode()


def _point(result: Result) -> dict[str, Any]:
    faces = {face.track: [round(p, 3) for p in face.probabilities.values()] for face in result.faces}
    return {"time": result.time, "faces": faces}


def _jpeg(image: NDArray[np.uint8], result: Result) -> bytes:
    """The annotated frame (uint8 BGR [h, w, 3]) as JPEG, its longer side MAX_SIDE pixels at most."""
    picture = draw(image, result, bars=False)  # the page shows them beside the picture
    scale = MAX_SIDE / max(picture.shape[:2])
    if scale < 1:
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()
