"""Results to an MQTT broker (the extra `mqtt`); what the broker does or does not do never holds the loop up."""

import contextlib
import logging
import os
from collections import deque
from urllib.parse import SplitResult, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fer_runtime.errors import FerError
from fer_runtime.types import Result

log = logging.getLogger(__name__)

PORTS = {"mqtt": 1883, "mqtts": 8883}
TOPIC = "fer-edge"
PASSWORD_VARIABLE = "FER_MQTT_PASSWORD"  # noqa: S105 - the variable's name
MAX_TOPIC_BYTES = 1000
MAX_QUEUED = 20  # results on their way; further ones are dropped
KEEPALIVE_S = 30  # until a broker that went silent is noticed
DISCONNECT_TIMEOUT_S = 2.0
MIN_RETRY_S, MAX_RETRY_S = 1, 30  # between two attempts to connect


class Mqtt:
    """Publishes each result to TOPIC, and to TOPIC/status, retained, "online" or (also as the last will) "offline".

    A thread of paho's connects, and connects again, for as long as it takes; meanwhile results are dropped. Quality
    of service 0: the newest result counts.
    """

    def __init__(self, url: str) -> None:
        """url: mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC]. Raises FerError for one that is none."""
        parts = _parsed(url)
        self._last_log = ""
        self._broker = f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}"
        self._topic = unquote(parts.path.strip("/")) or TOPIC
        self._status = f"{self._topic}/status"
        self._connection = 0  # how many there have been
        self._waiting: deque[tuple[int, MQTTMessageInfo]] = deque()  # with the number of their connection
        self._client = client = Client(CallbackAPIVersion.VERSION2)
        if parts.username:
            password = os.environ.get(PASSWORD_VARIABLE) if parts.password is None else unquote(parts.password)
            client.username_pw_set(unquote(parts.username), password)
        if parts.scheme == "mqtts":
            client.tls_set()
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
        if self._client.is_connected() and len(self._waiting) < MAX_QUEUED:
            sent = self._client.publish(self._topic, result.to_json())
            if sent.rc == 0:
                self._waiting.append((self._connection, sent))
        return True

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
