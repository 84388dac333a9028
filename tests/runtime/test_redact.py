"""Passwords in what is shown."""

import pytest

from fer_runtime.system.redact import redact_text, redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://admin:S3cret-pw@10.0.0.7:554/stream1", "rtsp://admin:***@10.0.0.7:554/stream1"),
        ("RTSP://admin:a@b:c/d#e?f@cam/s", "RTSP://admin:***@cam/s"),  # as typed, nothing escaped
        ("rtsp://admin:a b@cam/s", "rtsp://admin:***@cam/s"),
        ("rtsp://:only@cam", "rtsp://:***@cam"),
        ("mqtts://user:@broker", "mqtts://user:***@broker"),
        ("rtsp://[fe80::1]:554/s", "rtsp://[fe80::1]:554/s"),
        ("rtsp://admin@cam:554/s", "rtsp://admin@cam:554/s"),
        ("http://cam:8080/video.mjpg", "http://cam:8080/video.mjpg"),
        ("http://cam/v.cgi?usr=admin&pwd=hunter2&rate=5", "http://cam/v.cgi?usr=admin&pwd=***&rate=5"),
        ("http://cam/v?loginuse=admin&loginPas=x;y=1", "http://cam/v?loginuse=admin&loginPas=***;y=1"),
        ("http://cam/v?access_token=abc#part", "http://cam/v?access_token=***#part"),
        ("mqtt://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC]",) * 2,
        ("/dev/video0", "/dev/video0"),
        ("holiday: 50 % of a@b.mp4", "holiday: 50 % of a@b.mp4"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_every_url_in_a_sentence() -> None:
    text = "rtsp://a:one@x/1 and mqtt://b:two@y are gone, http://pi:8080/?token=t is not"
    assert redact_text(text) == "rtsp://a:***@x/1 and mqtt://b:***@y are gone, http://pi:8080/?token=t is not"
