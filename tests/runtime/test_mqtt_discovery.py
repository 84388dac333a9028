"""fer-run --mqtt-discovery with a real mosquitto: what Home Assistant is told, when, and how it is taken back.

Home Assistant itself is asked by `make test-home-assistant`.
"""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import BIN, Run, start
from fer_runtime.cli import service
from fer_runtime.errors import FerError
from fer_runtime.outputs import home_assistant
from fer_runtime.types import Face, Result
from helpers.broker import MOSQUITTO, Broker, Listener

KEYS = ["label", "confidence", "faces", "fps", "temperature"]

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="needs Debian's package mosquitto")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    listening = Listener(broker.port)
    yield listening
    listening.close()


def configs(listener: Listener) -> dict[str, str]:
    """The newest discovery message by topic."""
    return {topic: text for topic, text in list(listener.messages) if topic.startswith("homeassistant/")}


def test_a_box_is_announced_tells_its_state_and_is_taken_back(
    clip: Path, broker: Broker, listener: Listener, command: Run
) -> None:
    url = f"mqtt://127.0.0.1:{broker.port}/home/hall"
    run = start("fer-run", "--source", clip, "--realtime", "--headless", "--mqtt", url, "--mqtt-discovery")
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert listener.wait_for("home/hall/status", 2) == ["online", "offline"]
    announced = configs(listener)
    assert [topic.split("/")[3] for topic in announced] == KEYS
    sensors = [json.loads(text) for text in announced.values()]
    assert len({sensor["unique_id"] for sensor in sensors}) == 5
    assert len({json.dumps(sensor["device"]) for sensor in sensors}) == 1
    for topic, key, sensor in zip(announced, KEYS, sensors, strict=True):
        assert topic == f"homeassistant/sensor/{sensor['device']['identifiers'][0]}/{key}/config"
        assert sensor["value_template"] == f"{{{{ value_json.{key} }}}}"
        assert (sensor["state_topic"], sensor["availability_topic"]) == ("home/hall/state", "home/hall/status")
    first = [topic for topic, _ in listener.messages].index("home/hall/status")
    assert first == 5  # a sensor is known before it is available
    states = [json.loads(text) for text in listener.of("home/hall/state")]
    assert states[-1].keys() == set(KEYS)
    assert (states[-1]["label"], states[-1]["faces"]) == ("happy", 2)
    assert states[-1]["confidence"] > 50
    assert len(states) < len(listener.of("home/hall")) / 3  # the clip has 25 frames a second
    later = Listener(broker.port)
    later.wait_until(lambda: list(configs(later))[4:])
    assert configs(later) == announced  # retained
    done = command("fer-run", "--mqtt", url, "--mqtt-discovery-remove")
    assert done.returncode == 0, done.stderr
    assert "Home Assistant is told to forget the box" in done.stderr
    later.wait_until(lambda: [text for topic, text in later.messages if topic in announced][9:])
    assert set(configs(later).values()) == {""}
    later.close()
    last = Listener(broker.port)
    assert last.wait_for("home/hall/status", 1) == ["offline"]
    assert configs(last) == {}
    last.close()


def test_ids_are_the_same_after_a_restart_and_others_for_another_topic() -> None:
    first, again = (home_assistant.discovery_messages("home/hall", "home/hall/status") for _ in range(2))
    other = home_assistant.discovery_messages("home/hall2", "home/hall2/status")
    assert first == again
    assert not set(first) & set(other)
    odd = home_assistant.discovery_messages("haus/flur süd 1", "haus/flur süd 1/status")
    for topic in odd:
        node = topic.split("/")[2]
        assert node.isascii()
        assert node.replace("_", "").isalnum()  # what Home Assistant takes for a node's id
    default = home_assistant.discovery_messages("fer-edge", "fer-edge/status")
    assert {json.loads(text)["device"]["name"] for text in default.values()} == {"fer-edge"}


def result(label: str | None) -> Result:
    faces = [Face(1, (10, 10, 50, 60), 0.9, label, {label: 0.834}, label, {label: 1.0})] if label else []
    return Result(0, "2026-01-01T00:00:00+00:00", 5.0, tuple(faces))


def states_of(labels: list[str | None], fps: float, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the states that results of these labels become, `fps` of them a second."""
    now = [1000.0]
    monkeypatch.setattr(home_assistant, "time", SimpleNamespace(monotonic=lambda: now[0]))
    feed, found = home_assistant.StateFeed(), []
    for label in labels:
        if state := feed.state(result(label)):
            found.append(json.loads(state)["label"])
        now[0] += 1 / fps
    return found


def test_a_state_a_second_and_one_where_the_label_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert states_of(["happy"] * 100, 25, monkeypatch) == ["happy"] * 4
    assert states_of(["happy"] * 10 + ["sad"] * 30 + [None] * 5, 25, monkeypatch) == [
        "happy", "sad", "sad", "no face",
    ]  # fmt: skip
    assert states_of(["happy", "sad"] * 8, 2, monkeypatch) == ["happy", "sad"] * 8
    flickering = states_of([None, "happy"] * 500, 100, monkeypatch)  # ten seconds
    assert 45 <= len(flickering) <= 50


def test_a_state_without_a_face() -> None:
    state = home_assistant.StateFeed().state(result(None))
    assert state
    assert json.loads(state) | {"temperature": None} == {
        "label": "no face", "confidence": None, "faces": 0, "fps": 0.0, "temperature": None,
    }  # fmt: skip
    state = home_assistant.StateFeed().state(result("happy"))
    assert state
    assert json.loads(state)["confidence"] == 83.4


def test_a_removal_that_the_broker_does_not_confirm(command: Run, tmp_path: Path) -> None:
    broker = Broker(tmp_path, "allow_anonymous false")
    try:
        done = command("fer-run", "--mqtt", f"mqtt://127.0.0.1:{broker.port}", "--mqtt-discovery-remove")
    finally:
        broker.kill()
    assert done.returncode == 1
    assert f"127.0.0.1:{broker.port} still announces the box to Home Assistant (it refuses: Not auth" in done.stderr
    done = command("fer-run", "--mqtt", f"mqtt://127.0.0.1:{broker.port}", "--mqtt-discovery-remove")
    assert done.returncode == 1
    assert "(Connection refused): try it again when the broker answers" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mqtt-discovery"], "need --mqtt URL"),
        (["--mqtt-discovery-remove"], "need --mqtt URL"),
        (["--mqtt", "mqtt://b", "--mqtt-discovery", "--mqtt-discovery-remove"], "give one"),
    ],
)
def test_options_that_do_not_go_together(command: Run, words: list[str], message: str) -> None:
    done = command("fer-run", "--headless", *words)
    assert done.returncode == 2
    assert message in done.stderr


def install_here(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """A unit in `folder`, as fer-service install writes it, and a systemctl that does nothing."""
    systemctl = folder / "systemctl"
    systemctl.write_text("#!/bin/sh\n")
    systemctl.chmod(systemctl.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(service, "UNIT", folder / service.NAME)
    monkeypatch.setattr(service, "ENVIRONMENT", folder / "fer-run.env")
    asked = service.parse_run_options(words)
    service._set_environment(folder / "fer-run.env", asked.environment)
    service.UNIT.write_text(service.unit_text(BIN / "fer-run", asked, {}))


@pytest.mark.parametrize("login", ["", "camera:S3c%23ret@"])
def test_the_service_takes_its_box_back_when_it_is_removed(
    clip: Path, broker: Broker, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    """With a password the address stands in the environment file, and not in the unit."""
    url = f"mqtt://{login}127.0.0.1:{broker.port}/a%20room/$1"
    words = ("--source", str(clip), "--realtime", "--headless", "--mqtt", url, "--mqtt-discovery")
    run = start("fer-run", *words)
    run.communicate(timeout=60)
    listener.wait_until(lambda: list(configs(listener))[4:])
    monkeypatch.setattr(service, "HOMES", ())
    install_here(tmp_path, monkeypatch, *words)
    assert service.remove.callback
    service.remove.callback()
    listener.wait_until(lambda: [topic for topic, text in listener.messages if not text and "home" in topic][4:])
    assert set(configs(listener).values()) == {""}
    assert not service.UNIT.exists()


def test_a_service_is_removed_though_its_broker_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_here(tmp_path, monkeypatch, "--source", "0", "--mqtt", "mqtt://127.0.0.1:1", "--mqtt-discovery")
    assert service.remove.callback
    with pytest.raises(FerError, match=r"the service is removed, .* run .*/fer-run --mqtt-discovery-remove --mqtt mq"):
        service.remove.callback()
    assert not service.UNIT.exists()
    install_here(tmp_path, monkeypatch, "--source", "0", "--mqtt", "mqtt://127.0.0.1:1")
    service.remove.callback()  # nothing was announced: nobody is asked
