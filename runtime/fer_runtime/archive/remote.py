"""Files at URLs of fsspec: s3://, gs://, memory:// and the like; its own extras bring what each needs."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import PurePath
from typing import Any

from fer_runtime.errors import FerError


def is_url(path: str) -> bool:
    """Whether it is a URL and no path."""
    scheme, colon, _ = path.partition("://")
    return bool(colon) and len(scheme) > 1 and scheme.replace("+", "").isalnum()


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the URL's path in it. Raises FerError where its parts are missing."""
    try:
        import fsspec
    except ImportError as error:
        raise FerError(f"{url} needs fsspec: install it with: pip install 'fsspec[s3]', or [gcs] for gs://") from error
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # a missing s3fs or gcsfs; an unknown scheme
        raise FerError(f"{url} cannot be opened ({error})") from error
    return found


def find(url: str) -> Iterator[tuple[str, int, int, bool]]:
    """(URL, bytes, modified in ns, whether the URL itself) of a file, or of all files below a folder or of a glob."""
    files, path = filesystem(url)
    try:
        if "*" in path:
            infos = files.glob(path, detail=True).values()
        elif files.isfile(path):
            infos = [files.info(path)]
        else:
            infos = files.find(path, detail=True).values()
        infos = [info for info in infos if info["type"] == "file"]
    except Exception as error:  # each file system has errors of its own
        raise FerError(f"cannot list {url} ({type(error).__name__}: {error})") from error
    if not infos:
        raise FerError(f"{url} does not exist or is empty: expected pictures, videos or a folder of them")
    for info in infos:
        name = files.unstrip_protocol(info["name"])
        yield name, int(info.get("size") or 0), _modified_ns(info), info["name"] == path


def _modified_ns(info: dict[str, Any]) -> int:
    """When a file was last changed; 0 where its file system does not tell."""
    found = info.get("mtime") or info.get("LastModified") or info.get("updated") or info.get("created") or 0
    if isinstance(found, str):
        found = datetime.fromisoformat(found)
    return int((found.timestamp() if isinstance(found, datetime) else float(found)) * 1e9)


@contextmanager
def local_copy(url: str, on_chunk: Callable[[], None]) -> Iterator[str]:
    """The file at a URL as a temporary one with the same suffix. Raises OSError where it cannot be had.

    on_chunk: called again and again meanwhile, as it may take minutes.
    """
    from fsspec.callbacks import Callback

    files, path = filesystem(url)
    with tempfile.TemporaryDirectory(prefix="fer-score-") as folder:
        name = os.path.join(folder, f"file{PurePath(path).suffix}")
        try:
            files.get_file(path, name, callback=Callback(hooks={"chunk": lambda *_args, **_sizes: on_chunk()}))
        except OSError:
            raise
        except Exception as error:  # each file system has errors of its own
            raise OSError(f"{type(error).__name__}: {error}") from error
        yield name
