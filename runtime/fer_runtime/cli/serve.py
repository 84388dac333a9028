"""fer-run --no-source: the HTTP API alone, for a machine without a camera."""

import logging
import time
from contextlib import closing
from pathlib import Path

from fer_runtime.cli import picture_worker
from fer_runtime.errors import FerError
from fer_runtime.model.session import Classifier
from fer_runtime.outputs.systemd import Systemd
from fer_runtime.outputs.web.server import WebPage

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0


def serve_alone(where: str, model: Path | None, detector: Path | None, threads: int, site: Path | None = None) -> None:
    """Serve until a signal ends it. Raises FerError for what cannot be opened or served, and where the server fails.

    where: [HOST:]PORT. model, detector, threads: as fer-run's options. site: its --web-demo.
    """
    manifest = Classifier(model).manifest
    worker = picture_worker.command(model, detector, threads, manifest)
    with closing(WebPage(where, manifest.labels, manifest.facts(), worker, live=False, site=site)) as page:
        token = f"; its token: {page.token}" if page.token else ""
        log.warning("the API is at %sapi/v1/faces%s", page.address.partition("?")[0], token)
        if site:
            log.warning("the page for a visitor's own camera is at %s", page.demo_address)
        with closing(Systemd()) as systemd:
            while page.serving:
                systemd.beat("serving the API")
                time.sleep(CHECK_INTERVAL_S)
    raise FerError("the web server has stopped: start fer-run again, and report this")
