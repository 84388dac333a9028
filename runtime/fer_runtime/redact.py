"""Passwords taken out of what is shown: messages, systemd units, reports."""

import re

MASK = "***"
# To the last @, as people type passwords with / and # in them. Without a colon it is a user name alone, and stays.
_USERINFO = re.compile(r"(?P<start>[a-z][a-z0-9+.-]*://[^\s/?#:@]*:)\S*(?=@)", re.IGNORECASE)
_QUERY = re.compile(
    r"(?P<start>[?&;][^\s=&;#]*(?:pas|pwd|token|secret|key|auth|sig)[^\s=&;#]*=)[^\s&;#]*", re.IGNORECASE
)


def redact_text(text: str) -> str:
    """`text` with `***` for the password of every URL in it, as in `rtsp://admin:***@camera/stream`."""
    return _USERINFO.sub(rf"\g<start>{MASK}", text)


def redact_url(url: str) -> str:
    """`url` with `***` for its password and for query parameters named like one; anything else unchanged."""
    return _QUERY.sub(rf"\g<start>{MASK}", redact_text(url))
