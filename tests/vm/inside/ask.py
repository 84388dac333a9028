"""Print what a server on this machine answers: ask.py URL [TOKEN [PICTURE.png]]; exit code 1 where it refuses.

An empty TOKEN is none.
"""

import sys
import urllib.request
from pathlib import Path

url, token, picture = [*sys.argv[1:], "", ""][:3]
headers = {"Content-Type": "image/png"} | ({"Authorization": f"Bearer {token}"} if token else {})
body = Path(picture).read_bytes() if picture else None
print(urllib.request.urlopen(urllib.request.Request(url, body, headers)).read().decode())
