"""How the server and the process that looks at pictures speak; without imports, as every run loads it."""

from typing import Final

MAX_PIXELS = 40_000_000
STATUS_BYTES = LENGTH_BYTES = 4  # before the text of an answer, and the length alone before a picture
ORDER: Final = "big"
