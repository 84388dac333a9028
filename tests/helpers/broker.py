"""A real mosquitto on loopback, and a subscriber that keeps what it hears."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


class Broker:
    """A mosquitto on loopback; passworded where users are given."""

    def __init__(self, folder: Path, settings: str = "allow_anonymous true") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._file = folder / "mosquitto.conf"
        self._file.write_text(f"listener {self.port} 127.0.0.1\nuser root\n{settings}\n")
        self.start()

    def start(self) -> None:
        assert MOSQUITTO
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self._file)], stderr=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Listener:
    """A subscriber to everything that follows; messages: (topic, payload) so far."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        self.messages: list[tuple[str, str]] = []
        self._client = Client(CallbackAPIVersion.VERSION2)
        if user:
            self._client.username_pw_set(user, password)
        self._client.on_message = self._take
        self._client.on_connect = lambda client, *_: client.subscribe("#")
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _take(self, _: Client, __: object, message: MQTTMessage) -> None:
        self.messages.append((message.topic, message.payload.decode()))

    def of(self, topic: str) -> list[str]:
        return [payload for name, payload in list(self.messages) if name == topic]

    def wait_for(self, topic: str, count: int) -> list[str]:
        """The payloads of `topic`, once there are `count`."""
        return self.wait_until(lambda: self.of(topic) if len(self.of(topic)) >= count else [])

    def wait_until(self, found: Callable[[], list[str]]) -> list[str]:
        """What `found` gives, once that is something."""
        deadline = time.monotonic() + 60
        while not found() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found()
        return found()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
