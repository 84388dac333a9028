"""Our loop where it follows no face and searches every frame: `every_frame.py VIDEO FRAMES`, fer-run's JSON lines."""

import sys

from fer_runtime.faces.detection import RetinaFace
from fer_runtime.model.session import Classifier
from fer_runtime.outputs.jsonl import JsonLines
from fer_runtime.pipeline.loop import Loop
from fer_runtime.sources.factory import open_source


def main() -> None:
    """One line per frame, as fer-run writes it."""
    output = JsonLines("-")
    loop = Loop(open_source(sys.argv[1]), Classifier(), RetinaFace(), RetinaFace.nearby(), interval=0)
    for frame, result in loop:
        output.write(frame.image, result)
        if frame.index + 1 >= int(sys.argv[2]):
            break


if __name__ == "__main__":
    main()
