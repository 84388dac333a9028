"""One classifier in its own process: `python -m fer_benchmarks.classifiers.worker SPECIFICATION`, see `protocol`."""

import json
import sys
from functools import partial
from pathlib import Path

from fer_benchmarks.classifiers import backends
from fer_benchmarks.classifiers.backends import Plain
from fer_benchmarks.protocol import serve
from fer_runtime.errors import FerError
from fer_runtime.model.manifest import golden_faces

CROP = 48  # pixels: all classifiers are timed on the same grey crops of this side
CROPS = 64


def main() -> None:
    """Serve what the specification names (JSON: engine, file, threads, plain); an error is one line on stderr."""
    asked = json.loads(sys.argv[1])
    file, threads, plain = Path(asked["file"]), asked["threads"], Plain(**asked["plain"]) if asked["plain"] else None
    load = {
        "onnxruntime": partial(backends.of_contract, file, threads)
        if plain is None
        else partial(backends.of_plain, file, threads, plain),
        "cv2": partial(backends.of_cv2, file, threads, plain),
        "peak": partial(backends.of_peak, file, threads),
    }[asked["engine"]]
    try:
        serve(load, golden_faces(0, CROP, CROPS)[:, 0])
    except FerError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:  # the terminal's Ctrl-C reaches us too; fer-bench says that it stopped
        sys.exit(130)


if __name__ == "__main__":
    main()
