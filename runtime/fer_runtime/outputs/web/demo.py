"""fer-run --web-demo: the page that runs in the visitor's browser, below a path of its own."""

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Final

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from fer_runtime.outputs.web import site

ROOT: Final = "/demo/"


def routes(folder: Path) -> list[BaseRoute]:
    """Those that serve the page in `folder`. Raises FerError where it is none."""
    site.check(folder)

    async def to_root(_: Request) -> Response:
        return RedirectResponse(ROOT)

    return [Route(ROOT.rstrip("/"), to_root), Mount(ROOT.rstrip("/"), _Demo(folder))]


class _Demo(StaticFiles):
    """Its files and no others: links that lead out of the folder are not followed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, by its type, and compressed for those that take that."""
        response = await super().get_response(path, scope)
        if not isinstance(response, FileResponse) or response.stat_result is None:
            return response
        file, asked = Path(response.path), Headers(scope=scope)
        if file.suffix not in site.MEDIA_TYPES:
            return response
        response.headers["content-type"] = site.MEDIA_TYPES[file.suffix]
        response.headers["vary"] = "accept-encoding"
        if "gzip" not in asked.get("accept-encoding", "") or "range" in asked:
            return response
        facts = response.stat_result
        data = await to_thread.run_sync(_gzipped, file, facts.st_mtime_ns, facts.st_size)
        kept = {name: response.headers[name] for name in ("content-type", "last-modified", "vary")}
        etag = f"W/{response.headers['etag']}"  # not the same bytes
        return Response(data, response.status_code, kept | {"content-encoding": "gzip", "etag": etag})


@lru_cache(maxsize=32)
def _gzipped(file: Path, _modified_ns: int, _size: int) -> bytes:
    """Compressed once for all visitors: WebAssembly takes a Raspberry Pi seconds."""
    return gzip.compress(file.read_bytes(), 6, mtime=0)
