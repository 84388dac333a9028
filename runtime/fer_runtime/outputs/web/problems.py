"""Refusals: sentences for people, and problem documents for programs (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse, PlainTextResponse, Response

API = "/api/"  # what stands below it speaks JSON


class ProblemResponse(JSONResponse):
    """A problem document of the type about:blank: the status says what kind it is."""

    media_type = "application/problem+json"

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        """detail: a sentence on what was expected and what to do."""
        title = HTTPStatus(status).phrase
        content = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        super().__init__(content, status, headers)


def refusal(path: str, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """What a client is told that asked for `path`."""
    if path.startswith(API):
        return ProblemResponse(status, detail, headers)
    return PlainTextResponse(f"{detail}\n", status, headers)
