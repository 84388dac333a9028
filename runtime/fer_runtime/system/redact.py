"""Passwords taken out of what is shown: messages, systemd units, reports."""

import re

MASK = "***"
# To the last @, as people type passwords with / and # in them. Without a colon it is a user name alone, and stays.
_START = r"(?P<start>[a-z][a-z0-9+.-]*://[^\s/?#:@\[\]]*:)"
_IN_TEXT = re.compile(_START + r"\S*(?=@)", re.IGNORECASE)
_IN_URL = re.compile(_START + r".*(?=@)", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(
    r"(?P<start>[?&;][^\s=&;#]*(?:pas|pwd|token|secret|key|auth|sig)[^\s=&;#]*=)[^\s&;#]*", re.IGNORECASE
)


def redact_text(text: str) -> str:
    """`text` with `***` for the password of every URL in it, as in `rtsp://admin:***@camera/stream`."""
    return _IN_TEXT.sub(rf"\g<start>{MASK}", text)


def redact_url(url: str) -> str:
    """`url` with `***` for its password and for query parameters named like one; anything else unchanged."""
    return _QUERY.sub(rf"\g<start>{MASK}", _IN_URL.sub(rf"\g<start>{MASK}", url))
