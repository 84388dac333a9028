"""`fer-run --mqtt-discovery` seen by Home Assistant itself: `make test-home-assistant`, in about three minutes.

Its core with its own MQTT integration runs here without a network, in an environment of its own (Python 3.11, for which
2024.3.3 is the newest release), against a real mosquitto: sensors appear, change, become unavailable, come back, go.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from conftest import BIN, ROOT, start
from fer_benchmarks.demo_clip import render
from helpers.broker import Broker
from helpers.servers import mjpeg

ENVIRONMENT = ROOT / "build" / "home-assistant"
PACKAGES = [
    "homeassistant==2024.3.3", "paho-mqtt==1.6.1", "aiohttp_cors==0.7.0", "aiohttp-fast-url-dispatcher==0.3.0",
    "aiohttp-zlib-ng==0.3.1", "janus==1.0.0", "numpy<2",
]  # fmt: skip
TOPIC = "home/hall"
EXPRESSION, CONFIDENCE, FACES, RATE, TEMPERATURE = (
    f"sensor.fer_edge_home_hall_{name}" for name in ("expression", "confidence", "faces", "frame_rate", "temperature")
)
ALL = {EXPRESSION, CONFIDENCE, FACES, RATE, TEMPERATURE}
PAGE = ROOT / "docs" / "how-to" / "home-assistant.md"
PATIENCE_S = 90
States = dict[str, dict[str, Any]]


class HomeAssistant:
    """The probe in its environment."""

    def __init__(self, folder: Path, port: int) -> None:
        words = [ENVIRONMENT / "bin" / "python", Path(__file__).with_name("home_assistant_probe.py"), folder, str(port)]
        self._process = subprocess.Popen(
            list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._answer() == {"mqtt": "loaded"}

    def states(self) -> States:
        """The sensors by their ids."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        states: States = self._answer()
        return states

    def wait(self, what: str, holds: Callable[[States], bool]) -> States:
        """The states once they are so. Ends the program with exit code 3 where that does not come."""
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE_S:
            found = self.states()
            if holds(found):
                print(f"{what}: after {time.monotonic() - begun:.1f} s", flush=True)
                return found
            time.sleep(0.2)
        print(f"{what}: not within {PATIENCE_S} s; found {json.dumps(found, indent=1)}")
        sys.exit(3)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)

    def _answer(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


def values(states: States) -> dict[str, str]:
    """The state of each sensor."""
    return {name: state["state"] for name, state in states.items()}


def unavailable(states: States) -> bool:
    return set(values(states).values()) == {"unavailable"}


def smiling(states: States) -> bool:
    shown = values(states)
    return shown.get(EXPRESSION) == "happy" and shown[FACES] == "2" and float(shown[CONFIDENCE]) > 50


def empty(states: States) -> bool:
    shown = values(states)
    return (shown[EXPRESSION], shown[FACES], shown[CONFIDENCE]) == ("no face", "0", "unknown")


def write_come_and_go(path: Path) -> None:
    """A minute in which two faces are there for five seconds and away for five, in turns."""
    faces, nobody = [render(index) for index in range(100)], np.full((480, 640, 3), 90, np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (640, 480))
    for index in range(60 * 25):
        writer.write(nobody if index // 125 % 2 else faces[index % 100])
    writer.release()


def main() -> None:
    """Say what appears, and how soon; exit code 3 where something does not."""
    if not (ENVIRONMENT / "bin" / "python").exists():
        venv.create(ENVIRONMENT, with_pip=True)
    subprocess.run([ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "come-and-go.mp4"
        write_come_and_go(clip)
        broker = Broker(folder)
        url = f"mqtt://127.0.0.1:{broker.port}/{TOPIC}"
        home = HomeAssistant(folder, broker.port)
        assert home.states() == {}
        try:
            first = comes_and_goes(home, broker, clip, url)
            assert silent_camera(home, folder, url) == first
            subprocess.run([BIN / "fer-run", "--quiet", "--mqtt", url, "--mqtt-discovery-remove"], check=True)
            home.wait("removed: the sensors are gone", lambda states: not states)
        finally:
            home.close()
            broker.kill()


def comes_and_goes(home: HomeAssistant, broker: Broker, clip: Path, url: str) -> dict[str, str]:
    """A run that is killed, one after it, and a broker that is. The unique ids by sensor."""
    words = ["--source", clip, "--realtime", "--headless", "--mqtt", url, "--mqtt-discovery"]
    run = start("fer-run", *words)
    states = home.wait("a run begins: five sensors of one device", lambda states: set(states) == ALL)
    assert {state["device"] for state in states.values()} == {f"fer-edge {TOPIC}"}
    assert set(re.findall(r"sensor\.fer_edge_\w+\w(?=\b)", PAGE.read_text())) == ALL
    assert [states[name]["unit"] for name in (CONFIDENCE, RATE, TEMPERATURE)] == ["%", "fps", "°C"]
    home.wait("faces are named", smiling)
    home.wait("they leave the picture", empty)
    home.wait("they are back", smiling)
    run.kill()
    home.wait("the run is killed: unavailable", unavailable)
    run = start("fer-run", *words)
    again = home.wait("it is started again: the same sensors", smiling)
    assert {name: state["unique_id"] for name, state in again.items()} == {
        name: state["unique_id"] for name, state in states.items()
    }
    broker.kill()
    home.wait("the broker is killed: unavailable", unavailable)
    broker.start()
    home.wait("the broker is back", smiling)
    run.terminate()
    run.wait(30)
    home.wait("the run ends: unavailable", unavailable)
    return {name: state["unique_id"] for name, state in states.items()}


def silent_camera(home: HomeAssistant, folder: Path, url: str) -> dict[str, str]:
    """A run whose camera is gone while the broker has no reason for the last will. The unique ids by sensor."""
    picture = folder / "frame.jpg"
    cv2.imwrite(str(picture), render(0))
    with mjpeg([picture], 0.1, 10) as camera:
        run = start("fer-run", "--source", camera.address, "--headless", "--mqtt", url, "--mqtt-discovery")
        home.wait("a stream", smiling)
        camera.kill()
        home.wait("the stream stops, the run waits: unavailable", unavailable)
        camera.start()
        states = home.wait("the stream is back", smiling)
        run.terminate()
        run.wait(30)
        home.wait("the run ends: unavailable", unavailable)
    return {name: state["unique_id"] for name, state in states.items()}


if __name__ == "__main__":
    main()
