"""Print what a server on this machine answers: ask.py URL [TOKEN [PICTURE.png]]; exit code 1 where it refuses."""

import sys
import urllib.request
from pathlib import Path

url, *more = sys.argv[1:]
headers = {"Authorization": f"Bearer {more[0]}", "Content-Type": "image/png"} if more else {}
picture = Path(more[1]).read_bytes() if more[1:] else None
print(urllib.request.urlopen(urllib.request.Request(url, picture, headers)).read().decode())
