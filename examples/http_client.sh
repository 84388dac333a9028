#!/bin/sh
# The faces in a JPEG, as JSON, from a running `fer-run --web 8080` (or `--no-source --web 8080`):
#     sh examples/http_client.sh photo.jpg http://127.0.0.1:8080    # FER_WEB_TOKEN holds the token, if it wants one
curl --silent --show-error --fail-with-body --retry 5 --data-binary "@$1" --header "Content-Type: image/jpeg" \
    --header "Authorization: Bearer ${FER_WEB_TOKEN:-}" "$2/api/v1/faces"
