"""A file in onnxruntime-web, in Chromium: `python -m fer_benchmarks.classifiers.web_worker FILE PAGE THREADS`.

It speaks `protocol`, as the other workers do; the page itself times its calls, so that nothing of the way there counts.
"""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_benchmarks import protocol
from fer_benchmarks.browser import chromium, host
from fer_benchmarks.protocol import Block, Ready, Scored
from fer_runtime.errors import FerError
from fer_runtime.model.inference import softmax
from fer_runtime.model.preprocessing import to_face
from fer_runtime.model.session import Classifier
from fer_runtime.outputs.web import site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MAX_BLOCK_S = 600


class WebClassifier:
    """One file in the page, ready to be timed and scored."""

    def __init__(self, browser: "Browser", page: "Page", file: Path, threads: int) -> None:
        """Raises FerError where the browser has not that many threads for it."""
        self._browser, self._page, self._threads = browser, page, threads
        self._manifest = Classifier(file).manifest
        found = chromium.ask(page, "bench", {"threads": threads, "warmup": 0, "runs": 1})
        if found["threads"] != threads:
            raise FerError(f"the browser gives the page {found['threads']} of {threads} threads")
        self.ready = Ready(found["load_ms"], found["times_ms"][0])

    def block(self, calls: int, batch: int, pace_hz: float | None) -> Block:
        """So many calls, back to back or each at its moment of a camera's pace."""
        if batch != 1:
            raise FerError(f"the page takes one face per call, not {batch}")
        cpu_s, begun = chromium.cpu_seconds(self._browser), time.perf_counter()
        if pace_hz is None:
            took = self._times(calls)
        else:
            took = []
            for call in range(calls):
                time.sleep(max(0.0, begun + call / pace_hz - time.perf_counter()))
                took += self._times(1)
        cpu_ms = (chromium.cpu_seconds(self._browser) - cpu_s) * 1e3 / calls
        return Block(took, cpu_ms, chromium.memory_bytes(self._browser, peak=True))

    def _times(self, calls: int) -> list[float]:
        asked = {"threads": self._threads, "warmup": 0, "runs": calls, "seconds": MAX_BLOCK_S}
        times: list[float] = chromium.ask(self._page, "bench", asked)["times_ms"]
        return times

    def score(self, crops: NDArray[np.uint8]) -> Scored:
        """crops: uint8 [n, h, w] grey or [n, h, w, 3] BGR -> their probabilities."""
        facts, logits = self._manifest, list[list[float]]()
        for at in range(0, len(crops), protocol.SCORE_BATCH):
            part = crops[at : at + protocol.SCORE_BATCH]
            faces = np.stack([to_face(crop, facts.size, facts.colour) for crop in part])
            logits += chromium.ask(self._page, "logits", faces.ravel().tolist(), len(faces))
        return Scored(softmax(np.array(logits, np.float32) / np.float32(facts.temperature)).tolist())


def main() -> None:
    """Serve the file in the page until standard input ends; an error is one line on stderr."""
    file, folder, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    out = protocol.own_stdout()
    try:
        with host.serving(folder, instead=site.models(file)) as served, chromium.running() as browser:
            classifier = WebClassifier(browser, chromium.open_harness(browser, served.address), file, threads)
            protocol.write(out, classifier.ready)
            for line in sys.stdin:
                request = json.loads(line)
                if "score" in request:
                    protocol.write(out, classifier.score(np.load(request["score"])))
                else:
                    protocol.write(out, classifier.block(request["calls"], request["batch"], request["pace_hz"]))
    except FerError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:  # the terminal's Ctrl-C reaches us too; fer-bench says that it stopped
        sys.exit(130)


if __name__ == "__main__":
    main()
