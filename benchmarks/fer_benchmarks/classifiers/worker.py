"""One model in its own process: `python -m fer_benchmarks.classifiers.worker SPECIFICATION THREADS`, see `protocol`."""

import json
import sys
from functools import partial
from pathlib import Path

from fer_benchmarks.classifiers import backends
from fer_benchmarks.classifiers.backends import Task
from fer_benchmarks.protocol import serve
from fer_runtime.errors import FerError
from fer_runtime.model.manifest import golden_faces
from fer_runtime.records import from_plain

CROP = 48  # pixels: all models are timed on the same grey crops of this side
CROPS = 64


def main() -> None:
    """Serve what the specification names (`Task` as JSON); an error is one line on stderr."""
    task, threads = from_plain(Task, json.loads(sys.argv[1])), int(sys.argv[2])
    file, plain = Path(task.file), task.plain
    load = {
        "onnxruntime": partial(backends.of_contract, file, threads)
        if plain is None
        else partial(backends.of_plain, file, threads, plain),
        "cv2": partial(backends.of_cv2, file, threads, plain),
        "peak": partial(backends.of_peak, file, threads),
    }[task.engine]
    try:
        serve(load, golden_faces(0, CROP, CROPS)[:, 0])
    except FerError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:  # the terminal's Ctrl-C reaches us too; fer-bench says that it stopped
        sys.exit(130)


if __name__ == "__main__":
    main()
