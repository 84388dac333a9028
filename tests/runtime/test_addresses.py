"""Addresses: files on servers and under file:// end after their last frame, passwords are shown to nobody."""

import json
import os
import socketserver
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import Run
from fer_benchmarks.demo_clip import FPS, FRAMES
from fer_runtime.errors import FerError
from fer_runtime.sources.addresses import is_address, local_path
from fer_runtime.sources.factory import is_camera, open_source
from fer_runtime.sources.servers import has_length
from helpers.file_server import serve
from helpers.videos import browser_webm, encode


class Babble(socketserver.BaseRequestHandler):
    """Says something that is not http."""

    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(b"220 mail.example ESMTP\r\n")


def every_frame(done: "subprocess.CompletedProcess[str]") -> bool:
    """Whether each frame of the clip was answered once, with its time and both faces."""
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["frame"] for line in lines] == list(range(FRAMES))
    assert [line["media_time_s"] for line in lines] == pytest.approx([n / FPS for n in range(FRAMES)], abs=0.002)
    return all(len(line["faces"]) == 2 for line in lines)


@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_file_address_is_its_file(command: Run, clip: Path, tmp_path: Path, host: str) -> None:
    (tmp_path / "my holiday").mkdir()
    (tmp_path / "my holiday" / "clip.mp4").write_bytes(clip.read_bytes())
    done = command("fer-run", "--source", f"FILE://{host}{tmp_path}/my%20holiday/clip.mp4", "--headless")
    assert every_frame(done)
    refused = command("fer-run", "--source", f"file://{tmp_path}/none.mp4", "--headless")
    assert refused.returncode == 1
    assert f"{tmp_path}/none.mp4 does not exist" in refused.stderr


def test_a_finished_video_on_a_server_ends_after_its_last_frame(command: Run, clip: Path) -> None:
    with serve(clip.parent) as server:
        assert every_frame(command("fer-run", "--source", f"{server}/{clip.name}", "--headless"))


@pytest.mark.system("ffprobe")
@pytest.mark.parametrize("told_length", [True, False])
def test_a_server_that_serves_no_parts(command: Run, clip: Path, tmp_path: Path, told_length: bool) -> None:
    encode(clip, tmp_path / "clip.mp4", "-c", "copy", "-movflags", "+faststart")
    with serve(tmp_path, ranges=False, told_length=told_length) as server:
        assert every_frame(command("fer-run", "--source", f"{server}/clip.mp4", "--headless"))


@pytest.mark.system("ffprobe")
def test_a_video_without_a_duration_ends_too(command: Run, clip: Path, tmp_path: Path) -> None:
    browser_webm(clip, tmp_path / "webcam.webm")
    with serve(tmp_path) as server:
        assert every_frame(command("fer-run", "--source", f"{server}/webcam.webm", "--headless"))


@pytest.mark.system("ffprobe")
def test_a_file_of_motion_jpeg_is_not_read_in_a_loop(command: Run, clip: Path, tmp_path: Path) -> None:
    encode(clip, tmp_path / "clip.mjpeg")
    with serve(tmp_path) as server:
        done = command("fer-run", "--source", f"{server}/clip.mjpeg", "--headless")
    assert done.returncode == 0, done.stderr
    frames = [json.loads(line)["frame"] for line in done.stdout.splitlines()]
    assert frames == sorted(set(frames))
    assert frames[-1] == FRAMES - 1
    assert "is back" not in done.stderr


@pytest.mark.system("ffprobe")
def test_a_connection_that_breaks_is_told_of(command: Run, clip: Path, tmp_path: Path) -> None:
    video = encode(clip, tmp_path / "clip.mkv", "-c", "copy")
    with serve(tmp_path, ranges=False, at_most=video.stat().st_size // 3) as server:
        done = command("fer-run", "--source", f"{server}/clip.mkv", "--headless")
    assert done.returncode == 0
    assert 0 < done.stdout.count("\n") < FRAMES // 2
    assert f"{server}/clip.mkv declares 4.0 seconds and its frames end after" in done.stderr


def test_a_password_is_used_and_shown_to_nobody(command: Run, clip: Path) -> None:
    with serve(clip.parent, password="S3cret-pw") as server:
        place = server.removeprefix("http://")
        right, wrong = (
            command("fer-run", "--source", f"http://cam:{word}@{place}/{clip.name}?token=t0ken", "--headless")
            for word in ("S3cret-pw", "S3cret-no")
        )
    assert every_frame(right)
    assert wrong.returncode == 1
    assert f"cannot open stream http://cam:***@{place}/clip.mp4?token=***: the server says 401" in wrong.stderr
    assert "S3cret" not in right.stderr + wrong.stderr
    done = command("fer-run", "--source", "rtsp://admin:S3cret-pw@127.0.0.1:9/stream1", "--size", "640x480")
    assert done.returncode == 1
    assert "S3cret" not in done.stderr
    done = command("fer-run", "--source", "rtsp://admin:S3cret-pw@127.0.0.1:9/stream1", "--headless")
    assert "cannot open stream rtsp://admin:***@127.0.0.1:9/stream1" in done.stderr


def test_the_reason_of_a_server_is_told(command: Run, tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        done = command("fer-run", "--source", f"{server}/none.mp4", "--headless")
    assert done.returncode == 1
    assert "the server says 404 Not Found" in done.stderr


@pytest.mark.parametrize(
    "name",
    ["a:b.mp4", "file:clip.mp4", "concat:x.mp4", "50%d.mp4", "100%s %n.mp4", "http:x.mp4", "-.mp4", "clip 001.mp4"],
)
def test_a_path_is_a_path_whatever_it_looks_like(command: Run, clip: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(clip.read_bytes())
    done = command("fer-run", "--source", name, "--headless", "--max-frames", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 2


def test_a_broken_video_with_a_number_is_not_taken_for_numbered_pictures(command: Run, tmp_path: Path) -> None:
    (tmp_path / "clip001.mp4").write_text("no video")
    done = command("fer-run", "--source", tmp_path / "clip001.mp4", "--headless")
    assert done.returncode == 1
    assert "clip001.mp4 is neither a video nor a picture that OpenCV can read" in done.stderr


def test_a_name_that_is_no_text_is_read_too(command: Run, clip: Path, tmp_path: Path) -> None:
    """Latin-1 from an old disk, say; OpenCV itself ends the whole process at it."""
    video = os.fsdecode(os.fsencode(tmp_path / "caf") + b"\xe9.mp4")
    Path(video).write_bytes(clip.read_bytes())
    done = command("fer-run", "--source", video, "--headless", "--max-frames", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("http://[::1/x", "http://[::1/x is no address"),
        ("rtsp://admin:pw@host:port/x", "rtsp://admin:***@host:port/x is no address"),
        ("RTSP://127.0.0.1:9/x", "cannot open stream RTSP://127.0.0.1:9/x"),
    ],
)
def test_what_cannot_be_a_source_is_told_in_one_sentence(command: Run, tmp_path: Path, name: str, told: str) -> None:
    done = command("fer-run", "--source", name, "--headless", cwd=tmp_path)
    assert done.returncode == 1
    assert told in done.stderr
    assert "please report" not in done.stderr


def test_an_empty_name_is_not_the_current_folder() -> None:
    with pytest.raises(FerError, match="--source is empty: expected"):
        open_source("")


def test_a_web_page_is_no_video(command: Run, tmp_path: Path) -> None:
    (tmp_path / "watch.html").write_text("<html><body>a page that shows a video</body></html>")
    with serve(tmp_path) as server:
        done = command("fer-run", "--source", f"{server}/watch.html", "--headless")
    assert done.returncode == 1
    assert "text/html, which is a page and no video" in done.stderr


def test_an_address_with_a_space_and_a_server_that_speaks_no_http(command: Run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "my clip.mp4").write_bytes(clip.read_bytes())
    with serve(tmp_path) as server:
        done = command("fer-run", "--source", f"{server}/my clip.mp4", "--headless")
    assert done.returncode in (0, 1)  # ffmpeg may take it
    assert "please report" not in done.stderr
    with socketserver.TCPServer(("127.0.0.1", 0), Babble) as babble:
        threading.Thread(target=babble.serve_forever, daemon=True).start()
        done = command("fer-run", "--source", f"http://127.0.0.1:{babble.server_address[1]}/x", "--headless")
        babble.shutdown()
    assert done.returncode == 1
    assert "is the address right and the server up?" in done.stderr


def test_a_password_goes_only_to_a_server_that_asks_for_it(clip: Path) -> None:
    seen: list[str] = []
    with serve(clip.parent, seen=seen) as server:
        assert has_length(server.replace("//", "//cam:S3cret@") + f"/{clip.name}")
    assert seen == [""]
    with serve(clip.parent, password="S3cret", seen=seen) as server:
        assert has_length(server.replace("//", "//cam:S3cret@") + f"/{clip.name}")
        assert not has_length(server.replace("//", "//cam:wrong@") + f"/{clip.name}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(command: Run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "clip.mp4").chmod(0)
    done = command("fer-run", "--source", tmp_path / "clip.mp4", "--headless")
    assert done.returncode == 1
    assert f"cannot read {tmp_path / 'clip.mp4'}: Permission denied" in done.stderr


def test_what_is_an_address_and_what_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_address("rtsp://camera/1")
    assert is_address("HTTP://camera/1")
    assert not is_address("clip.mp4")
    assert not is_address("file:clip.mp4")
    assert local_path("file:///tmp/a%20b#1.mp4") == Path("/tmp/a b#1.mp4")
    assert local_path("rtsp://camera/1") is None
    (tmp_path / "a:").mkdir()
    (tmp_path / "a:" / "clip.mp4").touch()
    assert not is_address("a://clip.mp4")  # the folder a: holds it


def test_links_to_devices_are_cameras(command: Run, tmp_path: Path) -> None:
    """No machine of ours has a camera: a link to another device is opened as one, and refused as one."""
    (tmp_path / "camera").symlink_to("/dev/null")
    assert is_camera(str(tmp_path / "camera"))
    assert is_camera("/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0")
    assert not is_camera(str(tmp_path))
    assert not is_camera("clip.mp4")
    reasons = {
        tmp_path / "camera": "it is there: is another program using it, or is it no camera?",
        "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0": "cameras found: ",
    }
    for name, reason in reasons.items():
        done = command("fer-run", "--source", name, "--headless", "--size", "640x480")
        assert done.returncode == 1
        assert f"cannot open camera {name}: {reason}" in done.stderr


def test_a_pipe_is_refused_as_what_it_is(command: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = command("fer-run", "--source", tmp_path / "pipe", "--headless")
    assert done.returncode == 1
    assert "is a pipe or a socket: expected" in done.stderr


def test_a_gif_by_address_gives_every_frame(clip: Path, tmp_path: Path) -> None:
    gif = encode(clip, tmp_path / "clip.gif", "-r", "10", "-frames:v", "20")
    assert sum(1 for _ in open_source(f"file://{gif}").frames()) == 20
