"""Results to an MQTT broker (the extra `mqtt`); what the broker does or does not do never holds the loop up."""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from urllib.parse import SplitResult, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fer_runtime.errors import FerError
from fer_runtime.outputs import home_assistant
from fer_runtime.types import Result

log = logging.getLogger(__name__)

PORTS = {"mqtt": 1883, "mqtts": 8883}
TOPIC = "fer-edge"
PASSWORD_VARIABLE = "FER_MQTT_PASSWORD"  # noqa: S105 - the variable's name
MAX_TOPIC_BYTES = 1000
MAX_QUEUED = 20  # results on their way; further ones are dropped
KEEPALIVE_S = 30  # until a broker that went silent is noticed
DISCONNECT_TIMEOUT_S = 2.0
REMOVAL_TIMEOUT_S = 10.0  # for all of `remove_discovery`
MIN_RETRY_S, MAX_RETRY_S = 1, 30  # between two attempts to connect


class Mqtt:
    """Publishes each result to TOPIC, and to TOPIC/status, retained, "online" or (also as the last will) "offline".

    A thread of paho's connects, and connects again, for as long as it takes; meanwhile results are dropped. Quality
    of service 0: the newest result counts.
    """

    def __init__(self, url: str, discovery: bool = False) -> None:
        """url: mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC]. Raises FerError for one that is none.

        discovery: announce the box to Home Assistant, and publish its state on TOPIC/state.
        """
        parts = _parsed(url)
        self._last_log = ""
        self._broker = _broker(parts)
        self._topic = _topic(parts)
        self._status = f"{self._topic}/status"
        self._states = home_assistant.StateFeed() if discovery else None
        self._connection = 0  # how many there have been
        self._waiting: deque[tuple[int, MQTTMessageInfo]] = deque()  # with the number of their connection
        self._client = client = _client(parts)
        client.will_set(self._status, "offline", qos=1, retain=True)
        client.reconnect_delay_set(MIN_RETRY_S, MAX_RETRY_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.connect_async(parts.hostname or "", parts.port or PORTS[parts.scheme], KEEPALIVE_S)
        client.loop_start()

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:  # noqa: ARG002 - the protocol's signature
        """Send the result, unless the broker is away or behind; True, always and at once."""
        while self._waiting and self._is_over(*self._waiting[0]):
            self._waiting.popleft()
        if self._client.is_connected():
            self._send(self._topic, result.to_json())
            if self._states and (state := self._states.state(result)):
                self._send(home_assistant.state_topic(self._topic), state)
        return True

    def _send(self, topic: str, text: str) -> None:
        """Publish it, unless too much is on its way."""
        if len(self._waiting) < MAX_QUEUED:
            sent = self._client.publish(topic, text)
            if sent.rc == 0:
                self._waiting.append((self._connection, sent))

    def _is_over(self, connection: int, sent: MQTTMessageInfo) -> bool:
        """Whether a message has gone out, or never will."""
        try:
            return connection != self._connection or sent.is_published()
        except (RuntimeError, ValueError):  # the connection was lost meanwhile
            return True

    def close(self) -> None:
        """Publish "offline" and disconnect, if the broker is there."""
        if not self._client.is_connected():
            return  # the thread may be in the middle of an attempt; it ends with the process
        with contextlib.suppress(RuntimeError, ValueError):  # the connection was lost at this very moment
            self._client.publish(self._status, "offline", qos=1, retain=True).wait_for_publish(DISCONNECT_TIMEOUT_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: Client, _: object, __: ConnectFlags, code: ReasonCode, ___: Properties | None
    ) -> None:
        self._connection += 1
        if code.is_failure:
            self._log(f"the broker {self._broker} refuses ({code}): it is asked again until it does not")
            return
        if self._states:
            for topic, message in home_assistant.discovery_messages(self._topic, self._status).items():
                client.publish(topic, message, qos=1, retain=True)
        client.publish(self._status, "online", qos=1, retain=True)
        self._log(f"results go to the broker {self._broker}, topic {self._topic}")

    def _on_connect_fail(self, _: Client, __: object) -> None:
        self._log(f"the broker {self._broker} cannot be reached: it is tried again until it can")

    def _on_disconnect(
        self, _: Client, __: object, ___: DisconnectFlags, code: ReasonCode, ____: Properties | None
    ) -> None:
        if code.is_failure and not self._last_log.startswith(f"the broker {self._broker} refuses"):
            self._log(f"the broker {self._broker} is gone: it is tried again until it is back")

    def _log(self, line: str) -> None:
        """Log it, unless that was the last thing logged: an attempt to connect fails every 30 seconds."""
        if line != self._last_log:
            self._last_log = line
            log.warning(line)


def remove_discovery(url: str) -> None:
    """Take back what `Mqtt(url, discovery=True)` announced to Home Assistant, which then forgets the box.

    Raises FerError where the broker does not confirm it within ten seconds.
    """
    parts = _parsed(url)
    client, until = _client(parts), time.monotonic() + REMOVAL_TIMEOUT_S
    answered, refusal = threading.Event(), ["it gave no answer"]

    def on_connect(_: Client, __: object, ___: ConnectFlags, code: ReasonCode, ____: Properties | None) -> None:
        refusal[:] = [f"it refuses: {code}"] if code.is_failure else []
        answered.set()

    client.on_connect = on_connect
    try:
        client.connect_timeout = REMOVAL_TIMEOUT_S / 2
        client.connect(parts.hostname or "", parts.port or PORTS[parts.scheme], KEEPALIVE_S)
        client.loop_start()
        answered.wait(until - time.monotonic())
        if not refusal:
            topics = home_assistant.discovery_topics(_topic(parts)).values()
            sent = [client.publish(topic, "", qos=1, retain=True) for topic in topics]
            for message in sent:
                message.wait_for_publish(max(0.0, until - time.monotonic()))
            if not all(message.is_published() for message in sent):
                refusal.append("it did not confirm the messages")
    except (OSError, RuntimeError, ValueError) as error:  # no connection; one that was lost meanwhile
        refusal[:] = [getattr(error, "strerror", None) or str(error)]
    finally:
        client.disconnect()
        client.loop_stop()
    if refusal:
        raise FerError(
            f"the broker {_broker(parts)} still announces the box to Home Assistant ({refusal[0]}): try it again when "
            "the broker answers, with the --mqtt that the box had"
        )


def _client(parts: SplitResult) -> Client:
    """One that knows name, password and TLS, and is not connected."""
    client = Client(CallbackAPIVersion.VERSION2)
    if parts.username:
        password = os.environ.get(PASSWORD_VARIABLE) if parts.password is None else unquote(parts.password)
        client.username_pw_set(unquote(parts.username), password)
    if parts.scheme == "mqtts":
        client.tls_set()
    return client


def _broker(parts: SplitResult) -> str:
    return f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}"


def _topic(parts: SplitResult) -> str:
    return unquote(parts.path.strip("/")) or TOPIC


def _parsed(url: str) -> SplitResult:
    """The parts of the URL. Raises FerError; the password is not repeated."""
    expected = "--mqtt: expected mqtt://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC], or mqtts:// for TLS"
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
        url.encode()  # bytes of the command line that are no UTF-8 raise
        (host or "").encode("idna")  # so do names that no host can have
    except ValueError as error:
        raise FerError(f"{expected}; in a password write %23 for # and %2F for /") from error
    if parts.scheme not in PORTS or not host or port == 0:
        raise FerError(f"{expected}, found {parts.scheme or 'no scheme'} and {host or 'no host'}")
    topic = unquote(parts.path)
    if any(sign in topic for sign in "+#\0") or len(topic.encode()) > MAX_TOPIC_BYTES or parts.query or parts.fragment:
        raise FerError(f"--mqtt: expected a topic without + # ? and of at most {MAX_TOPIC_BYTES} bytes in the address")
    return parts
