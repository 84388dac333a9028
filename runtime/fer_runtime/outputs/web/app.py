"""The routes: one page, its two streams, health and metrics, and the API."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import resources

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from fer_runtime.outputs.web.feed import Feed
from fer_runtime.outputs.web.health import Health
from fer_runtime.outputs.web.problems import refusal

FILES = {  # path: (file of this package, media type)
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/faces.js": ("faces.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
BOUNDARY = "frame"


def application(routes: Sequence[BaseRoute]) -> Starlette:
    """The server's routes; what none of them takes, and what fails, ends in a sentence."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return refusal(request.scope["path"], error.status_code, f"{error.detail}.", error.headers)

    async def failed(request: Request, error: Exception) -> Response:
        return refusal(request.scope["path"], 500, f"A fault of ours ({type(error).__name__}): please report it.")

    app = Starlette(routes=routes, exception_handlers={HTTPException: refused, Exception: failed})
    app.router.redirect_slashes = False
    return app


def page_routes(feed: Feed, health: Health, labels: tuple[str, ...]) -> list[Route]:
    """The page of one run; labels: in the order of the time line's probabilities."""

    async def video(_: Request) -> Response:
        return StreamingResponse(_parts(feed), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")

    async def events(_: Request) -> Response:
        return StreamingResponse(_events(feed, labels), media_type="text/event-stream")

    async def state(_: Request) -> Response:
        plain = health.plain()
        return JSONResponse(plain, 503 if plain["status"] == "stale" else 200)

    async def metrics(_: Request) -> Response:
        return Response(health.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    routes: dict[str, Callable[[Request], object]] = {
        "/video": video, "/events": events, "/health": state, "/metrics": metrics,
    }  # fmt: skip
    files = [Route(path, _file(*named)) for path, named in FILES.items()]
    return [*files, *(Route(path, endpoint) for path, endpoint in routes.items())]


def _file(name: str, media_type: str) -> Callable[[Request], object]:
    content = (resources.files("fer_runtime.outputs.web") / name).read_bytes()

    async def endpoint(_: Request) -> Response:
        return Response(content, media_type=media_type)

    return endpoint


async def _parts(feed: Feed) -> AsyncIterator[bytes]:
    """Motion JPEG: each part ends with the next one's boundary, so that browsers show it at once."""
    yield f"--{BOUNDARY}\r\n".encode()
    async for jpeg in feed.watch(feed.pictures):
        head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        yield head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()


async def _events(feed: Feed, labels: tuple[str, ...]) -> AsyncIterator[bytes]:
    """Server-sent events: "start" with the time line so far, then "result" and "health" for the newest frame."""
    yield f'event: start\ndata: {{"labels": {json.dumps(labels)}, "line": {feed.history()}}}\n\n'.encode()
    async for event in feed.watch(feed.events):
        yield event
