"""`fer` on a video, in an environment that has it: `fer_worker.py VIDEO FRAMES`, a line of JSON per frame.

As its README has it: FER() with its default detector (OpenCV's Haar cascade, mtcnn=False) and network, and
detect_emotions on each frame.
"""

import json
import sys
from importlib.metadata import version

import cv2
from fer.fer import FER


def main() -> None:
    """Versions first, then the frames."""
    versions = {"fer": version("fer"), "opencv": cv2.__version__, "tensorflow": sys.modules["tensorflow"].__version__}
    print(json.dumps({"versions": versions, "detector": "Haar cascade"}), flush=True)
    detector, video = FER(), cv2.VideoCapture(sys.argv[1])
    for index in range(int(sys.argv[2])):
        read, frame = video.read()
        if not read:
            break
        faces = [
            {"box": [int(side) for side in face["box"]], "label": max(face["emotions"], key=face["emotions"].get)}
            for face in detector.detect_emotions(frame)
        ]
        print(json.dumps({"frame": index, "faces": faces}), flush=True)


if __name__ == "__main__":
    main()
