"""What Home Assistant is told by MQTT: a device with five sensors, and the state that they show.

A message per sensor, as releases before 2024.11 know no message for a whole device:
https://www.home-assistant.io/integrations/mqtt/#discovery-messages
"""

import hashlib
import json
import time
from importlib.metadata import version
from typing import Any

from fer_runtime.outputs.rate import Rate
from fer_runtime.system.thermal import temperature
from fer_runtime.types import Result

PREFIX = "homeassistant"  # of the topics that Home Assistant looks for devices in
NO_FACE = "no face"
STATE_INTERVAL_S = 1.0  # between two states of one label
LABEL_INTERVAL_S = 0.2  # between any two: where a face is lost at every second frame, its label comes and goes
EXPIRE_AFTER_S = 30  # without a state, as of a camera that is gone: the sensors become unavailable

MEASURED = {"state_class": "measurement"}
ABOUT_THE_BOX = {"entity_category": "diagnostic"}
SENSORS: dict[str, dict[str, Any]] = {  # by their key in the state
    "label": {"name": "Expression", "icon": "mdi:emoticon-outline"},
    "confidence": {"name": "Confidence", "icon": "mdi:percent-outline", "unit_of_measurement": "%"} | MEASURED,
    "faces": {"name": "Faces", "icon": "mdi:account-multiple"} | MEASURED,
    "fps": {"name": "Frame rate", "icon": "mdi:speedometer", "unit_of_measurement": "fps"} | MEASURED | ABOUT_THE_BOX,
    "temperature": {"name": "Temperature", "device_class": "temperature", "unit_of_measurement": "°C"}
    | MEASURED
    | ABOUT_THE_BOX,
}


def state_topic(topic: str) -> str:
    """Where the state goes of a box whose results go to `topic`."""
    return f"{topic}/state"


def discovery_topics(topic: str) -> dict[str, str]:
    """The topic of each sensor's discovery message, by the sensor's key; they depend on the box's `topic` alone."""
    return {key: f"{PREFIX}/sensor/{_device_id(topic)}/{key}/config" for key in SENSORS}


def discovery_messages(topic: str, status_topic: str) -> dict[str, str]:
    """The discovery messages, JSON by topic, of the box whose results go to `topic`; to be retained.

    status_topic: where "online" and "offline" stand.
    """
    box = _device_id(topic)
    device = {
        "identifiers": [box],
        "name": f"fer-edge {topic}".replace("fer-edge fer-edge", "fer-edge"),
        "manufacturer": "fer-edge",
        "model": "fer-run",
        "sw_version": version("fer-edge"),
    }
    shared = {
        "state_topic": state_topic(topic),
        "availability_topic": status_topic,
        "expire_after": EXPIRE_AFTER_S,
        "device": device,
        "origin": {"name": "fer-edge", "sw_version": version("fer-edge")},
    }
    own = {key: {"unique_id": f"{box}_{key}", "value_template": f"{{{{ value_json.{key} }}}}"} for key in SENSORS}
    topics = discovery_topics(topic)
    return {topics[key]: json.dumps(SENSORS[key] | own[key] | shared) for key in SENSORS}


class StateFeed:
    """Which results become a state: one a second, and where the label changes."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._sent = -STATE_INTERVAL_S  # when the last one was, monotonic seconds
        self._label = ""

    def state(self, result: Result) -> str | None:
        """The state to send with this result, JSON; None where there is no need for one.

        label and confidence (percent) are those of the face that is followed longest; without a face "no face", null.
        """
        self._rate.count()
        face = result.faces[0] if result.faces else None
        label = face.label if face else NO_FACE
        now = time.monotonic()
        if now - self._sent < (STATE_INTERVAL_S if label == self._label else LABEL_INTERVAL_S):
            return None
        self._sent, self._label = now, label
        return json.dumps(
            {
                "label": label,
                "confidence": round(100 * face.confidence, 1) if face else None,
                "faces": len(result.faces),
                "fps": round(self._rate.fps, 1),
                "temperature": temperature(),
            }
        )


def _device_id(topic: str) -> str:
    """The same after a restart, and on another machine in the box's place; of letters that a topic level may have."""
    return f"fer_edge_{hashlib.sha256(topic.encode()).hexdigest()[:12]}"
