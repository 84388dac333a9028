"""The web page as an output: a server in a thread of its own, which never holds the loop up."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import h11
import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.routing import BaseRoute
from uvicorn.protocols.http.h11_impl import H11Protocol

from fer_runtime.errors import FerError
from fer_runtime.outputs.web import demo
from fer_runtime.outputs.web.api import MAX_BODY_BYTES, Api
from fer_runtime.outputs.web.app import application, page_routes
from fer_runtime.outputs.web.feed import Feed
from fer_runtime.outputs.web.guard import MAX_HEAD_BYTES, Guard
from fer_runtime.outputs.web.health import Health
from fer_runtime.outputs.web.worker_client import WorkerClient
from fer_runtime.types import Result

TOKEN_VARIABLE, MIN_TOKEN_LENGTH = "FER_WEB_TOKEN", 16
MAX_CONNECTIONS = 64
CLIENT_TIMEOUT_S = 20  # for a client that takes nothing, or asks nothing


class WebPage:
    """Serves the newest frame and its faces, and the API, until closed.

    Attributes: address (what to open in a browser; with ?token= where one is demanded and was made here), demo_address
    (the same of the page that runs in a browser), token (that one, or None).
    """

    def __init__(
        self,
        where: str,
        labels: tuple[str, ...],
        model: Mapping[str, Any],
        worker: Sequence[str],
        live: bool = True,
        site: Path | None = None,
    ) -> None:
        """where: "[HOST:]PORT"; without HOST 127.0.0.1. Raises FerError when that cannot be served.

        model: its manifest's facts. worker: the command that looks at pictures (fer_runtime.cli.picture_worker). live:
        whether there are results to show; else the API is served alone. site: the folder of the page that runs in a
        browser, served too; see demo.
        """
        more = demo.routes(site) if site else []
        host, port = _parsed(where)
        self._socket = _listening(host, port)
        actual, port = self._socket.getsockname()[:2]
        loopback = ip_address(actual.partition("%")[0]).is_loopback
        token, made = (None, False) if loopback else _token()
        self.token = token if made else None
        query = f"?token={token}" if made else ""
        self.address = f"http://{_shown(host, actual)}:{port}/{query}"
        self.demo_address = f"http://{_shown(host, actual)}:{port}{demo.ROOT}{query}"
        self._health = Health()
        self._feed = Feed(self._health)
        self._worker = WorkerClient(worker)
        routes: list[BaseRoute] = [*Api(self._feed, self._health, model, self._worker, live).routes(), *more]
        if live:
            routes += page_routes(self._feed, self._health, labels)
        config = uvicorn.Config(
            Guard(application(routes), host, token),
            http=_Connection, ws="none", loop="asyncio", lifespan="off", interface="asgi3",
            log_config=None, access_log=False, server_header=False, proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS, timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=2 * MAX_HEAD_BYTES,
        )  # fmt: skip
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a client's nonsense is not for our log
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)
        self._thread.start()

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:
        """Hand over the frame (uint8 BGR [h, w, 3]) and its result; True, always and at once."""
        self._health.count(result)
        self._feed.put(image, result)
        return True

    @property
    def serving(self) -> bool:
        """Whether its thread lives."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop serving; streams are cut."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()

    def _serve(self) -> None:
        async def both() -> None:
            feeding = asyncio.create_task(self._feed.run())
            await self._server.serve(sockets=[self._socket])
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # as was asked for a line above
                await feeding
            await self._worker.close()

        asyncio.run(both())


class _Connection(H11Protocol):
    """uvicorn's HTTP connection, cut when nothing was asked for too long: it limits only the pause between requests."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        super().connection_made(transport)
        self._idle = False
        self._discarded = 0
        self._timer = self.loop.call_later(CLIENT_TIMEOUT_S / 2, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it: a timer would hold each of a hundred connections a second for ten more."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; of a body that was refused, no more than one may have: its sender is to read why it was."""
        if self.cycle is not None and self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY:
            self._discarded += len(data)
            if self._discarded > MAX_BODY_BYTES:
                self.transport.abort()
                return
        super().data_received(data)

    def _check(self) -> None:
        if self.transport.is_closing():
            return
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self._idle:
            self.transport.abort()
            return
        self._idle = waiting
        self._timer = self.loop.call_later(CLIENT_TIMEOUT_S / 2, self._check)


def _parsed(where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdecimal() and int(port) < 2**16):
        raise FerError(f"--web {where}: expected [HOST:]PORT with a port of 0 to 65535, such as 8080 or 0.0.0.0:8080")
    return host, int(port)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a client that takes nothing is cut; accepted ones inherit it
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, CLIENT_TIMEOUT_S * 1000)
        listening.bind(address)
        listening.listen(MAX_CONNECTIONS)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FerError(f"cannot serve the page at {host}:{port}: {reason}; give another --web [HOST:]PORT") from error
    return listening


def _token() -> tuple[str, bool]:
    """(what clients must show, whether it was made here). Raises FerError for one that is easily guessed."""
    given = os.environ.get(TOKEN_VARIABLE)
    if given is None:
        return secrets.token_urlsafe(16), True
    if len(given) < MIN_TOKEN_LENGTH or not given.isascii() or not given.isprintable() or " " in given:
        raise FerError(f"{TOKEN_VARIABLE}: expected {MIN_TOKEN_LENGTH} or more letters and digits, hard to guess")
    return given, False


def _shown(host: str, actual: str) -> str:
    """The host of an address to open: this machine's name where all addresses are served."""
    if ip_address(actual.partition("%")[0]).is_unspecified:
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
