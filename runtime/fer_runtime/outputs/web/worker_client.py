"""The server's side of the process that looks at pictures, which is started with the first of them."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence

from fer_runtime.outputs.web.picture_protocol import LENGTH_BYTES, MAX_PIXELS, ORDER, STATUS_BYTES

ANSWER_TIMEOUT_S = 60.0  # with the process's start; a Raspberry Pi takes some seconds for the largest pictures
MAX_TEXT_BYTES = 4 * 2**20  # thousands of faces


class WorkerGoneError(Exception):
    """It ended, or took too long; the next picture gets a new one."""


class WorkerClient:
    """Sends one picture at a time. See fer_runtime.cli.picture_worker for what is at the other end."""

    def __init__(self, command: Sequence[str]) -> None:
        """command: what starts the process."""
        self._command = command
        self._process: Process | None = None

    async def answer(self, picture: bytes | bytearray) -> tuple[int, str]:
        """An HTTP status, and JSON of the frame or a sentence. Raises WorkerGoneError."""
        if self._process is not None and self._process.returncode is not None:  # it ended while there was nothing to do
            await self.close()
        process = self._process = self._process or await self._started()
        assert process.stdin
        assert process.stdout
        answered = False
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                process.stdin.write(len(picture).to_bytes(LENGTH_BYTES, ORDER))
                process.stdin.write(picture)
                await process.stdin.drain()
                head = await process.stdout.readexactly(STATUS_BYTES + LENGTH_BYTES)
                status, length = (int.from_bytes(part, ORDER) for part in (head[:STATUS_BYTES], head[STATUS_BYTES:]))
                if length > MAX_TEXT_BYTES:
                    raise WorkerGoneError
                text = (await process.stdout.readexactly(length)).decode()
            answered = True
        except (OSError, asyncio.IncompleteReadError) as error:  # a timeout is an OSError
            raise WorkerGoneError from error
        finally:
            if not answered:  # what it says next would be the answer to this picture
                await self.close()
        return status, text

    async def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _started(self) -> Process:
        secretless = {name: value for name, value in os.environ.items() if not name.startswith("FER_")}
        environment = secretless | {"OPENCV_IO_MAX_IMAGE_PIXELS": str(MAX_PIXELS)}
        # The decoders' messages on broken pictures would fill our log.
        return await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment
        )
