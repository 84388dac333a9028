"""Frames of a video for a program that has no decoder: `frames.py VIDEO FRAMES`, with OpenCV alone.

On standard output: a line "WIDTH HEIGHT", then each frame as RGB bytes.
"""

import sys

import cv2


def main() -> None:
    """Decode up to so many frames."""
    cv2.setNumThreads(1)
    video = cv2.VideoCapture(sys.argv[1])
    for index in range(int(sys.argv[2])):
        read, frame = video.read()
        if not read:
            break
        if index == 0:
            sys.stdout.buffer.write(f"{frame.shape[1]} {frame.shape[0]}\n".encode())
        sys.stdout.buffer.write(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).data.cast("B"))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
