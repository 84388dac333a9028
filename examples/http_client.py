"""The faces in a picture, from a running `fer-run --web 8080` (or `--no-source --web 8080`): the standard library.

python examples/http_client.py photo.jpg http://127.0.0.1:8080    # FER_WEB_TOKEN holds the token, if it wants one
"""

import json
import os
import sys
from pathlib import Path
from urllib.request import Request, urlopen

path, server = sys.argv[1:]
kind = "image/png" if path.endswith(".png") else "image/jpeg"
headers = {"Content-Type": kind, "Authorization": f"Bearer {os.environ.get('FER_WEB_TOKEN', '')}"}
request = Request(f"{server}/api/v1/faces", Path(path).read_bytes(), headers)  # noqa: S310 - your own server
with urlopen(request, timeout=60) as response:  # noqa: S310
    for face in json.load(response)["faces"]:
        print(face["box"], face["label"], face["probabilities"][face["label"]])
