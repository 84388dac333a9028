"""The HTTP API, version 1: faces in a picture that is sent, the last result of the run, the model's facts."""

import asyncio
import json
from collections.abc import Callable, Mapping
from importlib import resources
from importlib.metadata import version
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fer_runtime.outputs.web.feed import Feed
from fer_runtime.outputs.web.health import Health
from fer_runtime.outputs.web.problems import API, ProblemResponse
from fer_runtime.outputs.web.worker_client import WorkerClient, WorkerGoneError

ROOT = f"{API}v1"
FACES = f"{ROOT}/faces"  # the one address that takes a body
MAX_BODY_BYTES = 8_000_000
BODY_TIMEOUT_S = 20.0  # for the whole of it
PICTURES = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}  # how such files begin
SOON = {"retry-after": "1"}


class Api:
    """The endpoints; a picture is looked at by another process, one at a time."""

    def __init__(self, feed: Feed, health: Health, model: Mapping[str, Any], worker: WorkerClient, live: bool) -> None:
        """model: its manifest's facts; live: whether there is a run, which gives results."""
        self._feed, self._health, self._worker, self._live = feed, health, worker, live
        self._model = JSONResponse(dict(model)).body
        text = (resources.files("fer_runtime.outputs.web") / "openapi.json").read_text(encoding="utf-8")
        self._description = JSONResponse(json.loads(text.replace("@VERSION@", version("fer-edge")))).body
        self._busy = False

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route(FACES, self.post_picture, methods=["POST"]),
            Route(FACES, self.last_result, methods=["GET"]),
            Route(f"{ROOT}/model", _fixed(self._model)),
            Route(f"{ROOT}/openapi.json", _fixed(self._description)),
        ]

    async def last_result(self, _: Request) -> Response:
        """The run's newest result, unless it has been too long without one."""
        if not self._live:
            return ProblemResponse(404, "There is no camera here, so no last result: send a picture by POST.")
        result = self._feed.newest_result()
        if result is None or self._health.is_stale():
            since = "since the start" if result is None else f"since {result.time}"
            return ProblemResponse(503, f"The source has given no frame {since}: is it connected?", SOON)
        return Response(result.to_json(), media_type="application/json")

    async def post_picture(self, request: Request) -> Response:
        """The faces of the picture in the body; refused while another one is looked at."""
        if refused := _refused_by_head(request):
            return refused
        if self._busy:
            return ProblemResponse(429, "Another picture is being looked at: send this one again in a second.", SOON)
        self._busy = True
        try:
            return await self._answer(await _body(request))
        except TimeoutError:
            detail = f"The picture did not arrive within {BODY_TIMEOUT_S:.0f} seconds: send a smaller one."
            return ProblemResponse(408, detail, {"connection": "close"})
        except WorkerGoneError:
            detail = "The picture took too long or too much memory, and was given up: send a smaller one."
            return ProblemResponse(503, detail, SOON)
        except ClientDisconnect:  # nobody is left to be answered
            return ProblemResponse(400, "The body is shorter than its Content-Length.")
        finally:
            self._busy = False

    async def _answer(self, picture: bytearray) -> Response:
        if not picture.startswith(tuple(PICTURES.values())):
            return ProblemResponse(422, "The body is neither a JPEG nor a PNG: expected the bytes of one such file.")
        status, text = await self._worker.answer(picture)
        if status != 200:
            return ProblemResponse(status, text)
        return Response(text, media_type="application/json")


def _fixed(content: bytes | memoryview) -> Callable[[Request], object]:
    async def endpoint(_: Request) -> Response:
        return Response(content, media_type="application/json")

    return endpoint


def _refused_by_head(request: Request) -> Response | None:
    """A refusal for which the body need not be read, or None."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in PICTURES or request.headers.get("content-encoding", "identity").lower() != "identity":
        expected = "Content-Type: image/jpeg or image/png, without a Content-Encoding"
        return ProblemResponse(415, f"Expected {expected}.", {"accept": ", ".join(PICTURES)})
    length = request.headers.get("content-length")
    if length is None or "transfer-encoding" in request.headers:  # chunks of a byte each would keep us busy for long
        return ProblemResponse(411, "Expected a Content-Length, and no chunks.", {"connection": "close"})
    if int(length) > MAX_BODY_BYTES:  # digits alone: the server refused any other
        return ProblemResponse(413, f"Expected a picture of at most {MAX_BODY_BYTES:,} bytes: send a smaller one.")
    return None


async def _body(request: Request) -> bytearray:
    """All of it: no more than Content-Length, which the server holds it to. Raises TimeoutError, ClientDisconnect."""
    body = bytearray()
    async with asyncio.timeout(BODY_TIMEOUT_S):
        async for chunk in request.stream():
            body += chunk
    return body
