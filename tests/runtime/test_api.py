"""The HTTP API of fer-run --web: what it answers, whom, and how it refuses."""

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from conftest import Run
from fer_benchmarks.demo_clip import render
from fer_runtime import Classifier, Frame, Loop
from fer_runtime.data.picture_size import picture_size
from fer_runtime.model.session import shipped_models
from fer_runtime.outputs.web.api import MAX_BODY_BYTES
from fer_runtime.sources.files import Pictures
from helpers.hostile_bodies import claiming, hostile, jpeg, png, turned
from helpers.served import Served, serving, serving_alone, write_long

FACES = "/api/v1/faces"


@pytest.fixture(scope="module")
def alone() -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_MQTT_PASSWORD", "S3cret")
        with serving_alone() as served:
            yield served


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(write_long(tmp_path_factory.mktemp("clip") / "long.mp4", 40)) as served:
        yield served


def posted(served: Served, picture: bytes, kind: str = "image/jpeg", **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a picture that is sent; one that is told to come back does."""
    while True:
        status, text, answered = served.whole(FACES, "POST", picture, Content_Type=kind, **headers)
        assert answered["content-type"] == ("application/json" if status == 200 else "application/problem+json")
        if status != 429:
            return status, json.loads(text)
        time.sleep(int(answered["retry-after"]) / 5)


def head(length: int) -> bytes:
    """A request for the faces in a JPEG of so many bytes, up to its body."""
    return (
        f"POST {FACES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def is_problem(text: str, status: int) -> str:
    """The sentence of a problem document of RFC 9457."""
    problem = json.loads(text)
    assert problem.keys() == {"type", "title", "status", "detail"}
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["title"] == http.client.responses[status]
    assert problem["detail"].endswith((".", "?", "..."))
    return str(problem["detail"])


def test_a_picture_gets_the_faces_that_the_loop_finds_in_it(alone: Served) -> None:
    expected = json.loads(Loop(Pictures([]), Classifier()).process(Frame(render(0), 0)).to_json())
    status, found = posted(alone, png(), "image/png; charset=binary")
    assert status == 200
    assert found.keys() == expected.keys()
    assert len(found["faces"]) == 2
    for face, other in zip(found["faces"], expected["faces"], strict=True):
        assert {**face, "track": 0} == {**other, "track": 0}
    status, found = posted(alone, jpeg())
    assert status == 200
    assert [face["label"] for face in found["faces"]] == ["happy", "happy"]


def test_the_orientation_of_a_photo_is_honoured(alone: Served) -> None:
    _, upright = posted(alone, jpeg())
    _, found = posted(alone, turned(6))
    assert [face["label"] for face in found["faces"]] == ["happy", "happy"]
    for face, other in zip(found["faces"], upright["faces"], strict=True):
        assert all(abs(a - b) <= 4 for a, b in zip(face["box"], other["box"], strict=True))
    _, lying = posted(alone, turned(1))
    assert [face["box"] for face in lying["faces"]] != [face["box"] for face in found["faces"]]


def test_the_last_result_and_the_models_facts(page: Served, alone: Served) -> None:
    deadline = time.monotonic() + 60
    while (answer := page.get(FACES))[0] == 503 and time.monotonic() < deadline:
        assert "no frame since the start" in is_problem(answer[1], 503)
        time.sleep(0.1)
    status, text = answer
    assert status == 200
    result = json.loads(text)
    assert [face["label"] for face in result["faces"]] == ["happy", "happy"]
    assert json.loads(page.get(FACES)[1])["run"] == result["run"]
    assert page.get(FACES, "HEAD")[0] == 200
    facts = json.loads(page.get("/api/v1/model")[1])
    manifest = json.loads(Classifier().manifest.to_json())
    del manifest["golden"]
    assert facts == manifest
    assert json.loads(alone.get("/api/v1/model")[1]) == manifest
    status, text = alone.get(FACES)
    assert "no camera here" in is_problem(text, status)
    assert status == 404
    assert alone.get("/")[0] == alone.get("/health")[0] == 404


@pytest.mark.parametrize("name", hostile())
def test_hostile_pictures_get_a_status_and_a_sentence(alone: Served, name: str) -> None:
    body, statuses = hostile()[name]
    status, found = posted(alone, body, "image/png" if body.startswith(b"\x89PNG") else "image/jpeg")
    assert status in statuses, found
    if status != 200:
        is_problem(json.dumps(found), status)


def test_what_is_no_picture_by_its_head_is_refused_unread(alone: Served) -> None:
    for headers, status, words in [
        ({}, 415, "Content-Type: image/jpeg or image/png"),
        ({"Content-Type": "text/html"}, 415, "Content-Type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "Content-Type"),
        ({"Content-Type": "image/jpeg", "Content-Encoding": "gzip"}, 415, "Content-Encoding"),
        ({"Content-Type": "image/jpeg", "Content-Length": str(MAX_BODY_BYTES + 1)}, 413, "at most 8,000,000 bytes"),
        ({"Content-Type": "image/jpeg", "Content-Length": "9" * 19}, 413, "at most 8,000,000 bytes"),
        ({"Content-Type": "image/jpeg", "Transfer-Encoding": "chunked"}, 411, "Content-Length"),
        ({"Content-Type": "image/jpeg", "Transfer-Encoding": "chunked", "Content-Length": "5"}, 411, "Content-Length"),
    ]:  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", alone.port, timeout=20)
        connection.putrequest("POST", FACES)
        length = {} if "Transfer-Encoding" in headers else {"Content-Length": "5"}
        for name, value in (length | headers).items():
            connection.putheader(name, value)
        connection.endheaders()  # and not a byte of the body
        response = connection.getresponse()
        assert response.status == status
        assert words in is_problem(response.read().decode(), status)
        connection.close()


def test_the_largest_body_and_the_most_pixels_that_are_taken(alone: Served) -> None:
    padded = jpeg()
    assert posted(alone, padded + bytes(MAX_BODY_BYTES - len(padded)))[0] == 200
    for width, status in ((40_000, 422), (40_001, 413)):  # the first has too little data: it cannot be decoded
        assert posted(alone, claiming(width, 1000), "image/png")[0] == status
    found, problem = posted(alone, claiming(40_001, 1000), "image/png")
    assert "at most 40 megapixels, found 40001 x 1000" in is_problem(json.dumps(problem), found)


def test_a_body_that_is_too_long_can_be_sent_and_its_refusal_read(alone: Served) -> None:
    status, text = alone.get(FACES, "POST", bytes(MAX_BODY_BYTES + 1), Content_Type="image/jpeg")
    assert status == 413
    is_problem(text, status)


def test_an_endless_body_is_cut(alone: Served) -> None:
    for head in (b"Content-Length: 9000000000000", b"Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", alone.port), timeout=20) as client:
            client.sendall(b"POST /api/v1/faces HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n" + head)
            client.sendall(b"\r\n\r\n")
            answer = client.recv(4096)
            assert answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 411"))
            sent = 0
            with contextlib.suppress(OSError):  # a reset or a broken pipe
                while sent < 200_000_000:
                    sent += client.send(b"10000\r\n" + bytes(65536) + b"\r\n")
            assert sent < 60_000_000  # what the system's own buffers hold, and 8 MB
    assert posted(alone, jpeg())[0] == 200


def test_one_picture_at_a_time(alone: Served) -> None:
    """While a body is on its way, and no longer: the client that begins it is cut off in the middle."""
    picture = jpeg()
    with socket.create_connection(("127.0.0.1", alone.port), timeout=20) as slow:
        slow.sendall(head(len(picture)) + picture[:100])
        deadline = time.monotonic() + 20
        while (answer := alone.whole(FACES, "POST", picture, Content_Type="image/jpeg"))[0] != 429:
            assert time.monotonic() < deadline
        assert "another" in is_problem(answer[1], 429).lower()
        assert answer[2]["retry-after"] == "1"
        assert alone.get("/api/v1/model")[0] == 200
    assert posted(alone, picture)[0] == 200


def test_many_at_once_are_answered_or_told_to_wait(alone: Served) -> None:
    picture, statuses = jpeg(), list[int]()

    def send() -> None:
        for _ in range(5):
            statuses.append(alone.whole(FACES, "POST", picture, Content_Type="image/jpeg")[0])

    clients = [threading.Thread(target=send) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60)
    assert len(statuses) == 40
    assert set(statuses) == {200, 429}


def test_the_process_that_looks_at_pictures_may_die(alone: Served) -> None:
    assert posted(alone, jpeg())[0] == 200
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(alone.process.pid)], capture_output=True, text=True, check=True
    )
    (child,) = children.stdout.split()
    assert b"S3cret" not in Path(f"/proc/{child}/environ").read_bytes()  # tokens and passwords
    assert Path(f"/proc/{child}/oom_score_adj").read_text() == "1000\n"
    subprocess.run(["kill", "-STOP", child], check=True)
    with socket.create_connection(("127.0.0.1", alone.port), timeout=60) as client:
        picture = jpeg()
        client.sendall(head(len(picture)) + picture)
        time.sleep(0.5)
        subprocess.run(["kill", "-KILL", child], check=True)
        answer = client.recv(65536).decode()
        while "given up" not in answer and (more := client.recv(65536)):
            answer += more.decode()
    assert answer.startswith("HTTP/1.1 503")
    assert "given up" in answer
    assert "retry-after" in answer
    assert posted(alone, jpeg())[0] == 200


def test_a_token_is_demanded_and_other_sites_are_refused() -> None:
    picture = jpeg()
    with serving_alone("0.0.0.0:0") as served:
        assert len(served.token) >= 20
        for path, method, body in ((FACES, "GET", None), (FACES, "POST", picture), ("/api/v1/model", "GET", None)):
            kind = {"Content_Type": "image/jpeg"}
            for name, value in (("X", "y"), ("Authorization", "Bearer wrong"), ("Cookie", "fer_token=wrong")):
                wrong = {name: value}
                status, text, headers = served.whole(path, method, body, **kind, **wrong)
                assert status == 401
                assert "token" in is_problem(text, 401)
                assert headers["www-authenticate"] == "Bearer"
        bearer = {"Authorization": f"Bearer {served.token}"}
        assert posted(served, picture, **bearer)[0] == 200
        assert served.get("/api/v1/openapi.json", **bearer)[0] == 200
        for headers, status in [
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 403),
            ({"Sec_Fetch_Site": "same-site"}, 403),
            ({"Host": "evil.example"}, 421),
            ({"Cookie": "x" * 10_000}, 431),
        ]:  # fmt: skip
            found, text = served.get(FACES, "POST", picture, Content_Type="image/jpeg", **bearer, **headers)
            assert found == status
            is_problem(text, status)


def test_only_these_addresses_take_what_they_take(alone: Served) -> None:
    for path, method, status in [
        (FACES, "PUT", 405), (FACES, "DELETE", 405), (FACES, "OPTIONS", 405), (FACES, "BREW", 405),
        ("/api/v1/model", "POST", 405), ("/api/v1/faces/", "POST", 405), ("/api/v1/faces/../faces", "POST", 405),
        ("/", "POST", 405), ("//api/v1/faces", "POST", 405), ("/api/v1/faces/", "GET", 404), ("/api/v1", "GET", 404),
        ("/api/v2/faces", "GET", 404), ("/API/v1/faces", "GET", 404),
    ]:  # fmt: skip
        found, text, headers = alone.whole(path, method)
        assert found == status, path
        if path.startswith("/api/"):
            is_problem(text, status)
        if status == 405:
            assert headers["allow"] == ("GET, HEAD, POST" if path == FACES else "GET, HEAD")
    found, text = alone.get(FACES, "GET", b"a body")
    assert found == 413
    is_problem(text, 413)
    assert posted(alone, jpeg())[0] == 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--no-source"], "give --web"),
        (["--no-source", "--web", "0", "--source", "0"], "no frames for --source"),
        (["--no-source", "--web", "0", "--record", "a.mkv", "--mqtt", "mqtt://b"], "no frames for --mqtt, --record"),
    ],
)
def test_options_that_need_frames(command: Run, words: list[str], message: str) -> None:
    done = command("fer-run", *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_ctrl_c_ends_it_and_its_process() -> None:
    with serving_alone("0") as served:
        assert posted(served, jpeg())[0] == 200
        assert served.stop() == 130
    assert "Traceback" not in "".join(served.errors)


def test_a_model_that_is_replaced_while_it_runs(tmp_path: Path) -> None:
    model, (first, second) = tmp_path / "model.onnx", list(shipped_models().values())[:2]
    model.write_bytes(first.read_bytes())
    with serving_alone("0", "--model", model) as served:
        model.write_bytes(second.read_bytes())
        status, problem = posted(served, jpeg())
        assert status == 503
        assert "was replaced since fer-run was started" in problem["detail"]


def test_sizes_that_pictures_claim() -> None:
    assert picture_size(jpeg()) == picture_size(png()) == (640, 480)
    assert picture_size(turned(6)) == (480, 640)
    assert picture_size(cv2.imencode(".jpg", render(0), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()) == (640, 480)
    for data in (b"", b"\xff\xd8", b"\xff\xd8\xff", jpeg()[:100], png()[:20], b"\xff\xd8\xff\xc0\0\x11\x08", b"GIF89a"):
        assert picture_size(data) is None
