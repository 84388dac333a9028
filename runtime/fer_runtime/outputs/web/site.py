"""The folder of the page that runs the same files in a browser: built from runtime/browser, and the models in it."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fer_runtime.errors import FerError
from fer_runtime.faces import locating
from fer_runtime.faces.detection import retinaface_weights
from fer_runtime.files import make_folder, written_whole
from fer_runtime.model.manifest import METADATA_KEY
from fer_runtime.model.session import Classifier, default_model, open_session, read_model

MODELS = "model"  # their folder in the page's
FACTS = f"{MODELS}/site.json"
PAGE = ("index.html", "sw.js")
BUILT = "build/site"  # where `make web-demo` puts it, in the checkout
# What a host should send with it: it takes the visitor's camera, runs WebAssembly in workers, and shows files that the
# visitor picks (blob:). The two cross-origin headers give it threads.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cache-control": "no-cache",  # kept, and asked for again with its ETag: a page that was built anew is shown at once
}
# Not the system's table of types, which differs; a browser compiles no WASM and runs no script of another type.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
HOW = "expected a folder that `make web-demo` built or `fer-export --site` wrote"


def check(site: Path) -> None:
    """Raise FerError for a folder that is no whole page."""
    try:
        facts = json.loads((site / FACTS).read_text(encoding="utf-8"))
        files = [f"{MODELS}/{facts[name]['file']}" for name in ("classifier", "detector", "locator")]
    except FileNotFoundError as error:
        raise FerError(f"{site} is no page of ours, without {FACTS}: {HOW}") from error
    except OSError as error:
        raise FerError(f"cannot read {site / FACTS}: {error.strerror}; {HOW}") from error
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise FerError(f"{site / FACTS} does not name the models: {HOW}") from error
    if missing := next((name for name in (*PAGE, *files) if not (site / name).is_file()), None):
        raise FerError(f"{site} is no whole page, without {missing}: {HOW}")


def fill(page: Path, classifier: Path | None = None) -> None:
    """Put the models into the folder of a built page, and site.json, which says what they are.

    classifier: a file that fer-export wrote; None for the package's default. Raises FerError for any other file.
    """
    make_folder(page / MODELS)
    for name, data in models(classifier or default_model()).items():
        with written_whole(page / name) as temp_path:
            temp_path.write_bytes(data)


def models(classifier: Path) -> dict[str, bytes]:
    """The files of a page's folder of models, by their path in the page: the networks as the runtime has them, and what
    they are. Raises FerError for a classifier that fer-export did not write.
    """
    Classifier(classifier)
    locator = (resources.files("fer_runtime") / "assets" / locating.MODEL).read_bytes()
    networks = {"classifier": read_model(classifier), "detector": retinaface_weights(), "locator": locator}
    facts: dict[str, Any] = {name: _facts(name, data) for name, data in networks.items()}
    text = json.dumps(facts | {"version": version("fer-edge")}, indent=1, sort_keys=True) + "\n"
    return {f"{MODELS}/{name}.onnx": data for name, data in networks.items()} | {FACTS: text.encode()}


def check_copy(page: Path, site: Path) -> None:
    """Raise FerError where `page` is none that can be copied, or `site` holds what a copy must not replace."""
    check(page)
    source, target = page.resolve(), site.resolve()
    if source.is_relative_to(target) or target.is_relative_to(source):
        raise FerError(f"{site} and the page {page} lie in one another: give --site a folder of its own")
    if site.exists():
        if not site.is_dir():
            raise FerError(f"{site} is a file: expected the name of a folder to write")
        foreign = {entry.name for entry in site.iterdir()} - {entry.name for entry in page.iterdir()}
        if foreign or (any(site.iterdir()) and not (site / FACTS).exists()):
            named = f" ({min(foreign)})" if foreign else ""
            raise FerError(f"{site} holds other files{named}: expected a new name, or a page to replace")


def copy(page: Path, site: Path, classifier: Path) -> bool:
    """A copy of `page` at `site`, whole or not at all, with another classifier in it; whether a page was replaced.

    Raises FerError for a page or a classifier that is none, and where `site` holds anything else than a page.
    """
    check_copy(page, site)
    replaced = (site / FACTS).exists()
    with _written_whole(site) as folder:
        shutil.copytree(page, folder, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MODELS))
        fill(folder, classifier)
    return replaced


def _facts(name: str, data: bytes) -> dict[str, Any]:
    facts = {"file": f"{name}.onnx", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest = open_session(data).get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    return facts if manifest is None else facts | {"manifest": json.loads(manifest)}


@contextmanager
def _written_whole(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, which takes its place on success; on any exception `folder` stays as it was."""
    folder = folder.resolve()
    try:
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:32]}."))
    except OSError as error:
        raise FerError(f"cannot write {folder}: {error.strerror}; choose another place") from error
    new, old = scratch / "new", scratch / "old"
    try:
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror or error
        raise FerError(f"cannot write {folder}: {reason}; nothing was changed") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(scratch, ignore_errors=True)
