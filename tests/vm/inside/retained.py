"""Print the topics of the retained messages under homeassistant/ that the broker on this machine holds."""

import time
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

topics: set[str] = set()


def take(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
    """Keep a message's topic."""
    topics.add(message.topic)


client = mqtt.Client(CallbackAPIVersion.VERSION2)
client.on_message = take
client.connect("127.0.0.1")
client.subscribe("homeassistant/#", qos=1)
client.loop_start()
time.sleep(5)
client.loop_stop()
print("\n".join(sorted(topics)))
