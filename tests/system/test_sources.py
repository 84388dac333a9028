"""Real streams and files that break: servers killed and stopped, videos cut, sources that vanish, sizes that change."""

import json
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import cv2
import pytest

from conftest import Run, start
from fer_benchmarks.demo_clip import FRAMES, render
from helpers.following import captured, decoded, first_after, quiet
from helpers.jsonl import read_lines
from helpers.servers import mjpeg, rtsp, rtsp_recording
from helpers.videos import encode
from tools.outages import recovery

pytestmark = pytest.mark.system  # those without a mark of their own need no program


@pytest.mark.system("rtsp")
def test_an_rtsp_server_is_killed_and_started_again(tmp_path: Path) -> None:
    """No frame while it is away, fresh ones each time it is back, the same run all the while."""
    lines = tmp_path / "faces.jsonl"
    with rtsp(tmp_path) as server:
        run = start("fer-run", "--source", server.address, "--headless", "--jsonl", lines)
        first_after(lines, 0, count=25)
        for _ in range(2):
            server.kill()
            before = quiet(lines)
            time.sleep(0.5)
            assert len(read_lines(lines)) == before
            recovery(server, lines)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=30)
    assert run.returncode == 130, errors
    assert errors.count("gives no more frames: it is opened again until it does") == 2
    assert errors.count(f"{server.address} is back") == 2
    answered = read_lines(lines)
    assert len(answered) == lines.read_text().count("\n")
    frames = [line.frame for line in answered]
    assert frames == sorted(set(frames))
    assert all(len(line.faces) == 2 for line in answered[-3:])


@pytest.mark.system("rtsp")
def test_an_rtsp_server_that_stands_still_goes_on(tmp_path: Path) -> None:
    """Stopped and continued, as by a network that stalls: the run waits, without an answer to an old frame."""
    lines = tmp_path / "faces.jsonl"
    with rtsp(tmp_path) as server:
        run = start("fer-run", "--source", server.address, "--headless", "--jsonl", lines)
        first_after(lines, 0)
        server.send_signal(signal.SIGSTOP)
        before = quiet(lines)
        time.sleep(0.5)
        assert len(read_lines(lines)) == before
        server.send_signal(signal.SIGCONT)
        first_after(lines, time.time())
        run.terminate()
        _, errors = run.communicate(timeout=30)
    assert run.returncode == 143, errors
    assert "Traceback" not in errors


@pytest.mark.system("rtsp", "ffprobe")
def test_a_recording_that_is_streamed_ends_after_its_last_frame(command: Run, clip: Path, tmp_path: Path) -> None:
    """Its server tells the duration, unlike a camera's; it was opened again and again."""
    video = encode(clip, tmp_path / "clip.mkv", "-c:v", "mjpeg", "-q:v", "3", "-huffman", "default")
    with rtsp_recording(video) as server:
        done = command("fer-run", "--source", server.address, "--headless")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["frame"] >= FRAMES - 5
    assert sum(len(line["faces"]) == 2 for line in lines) > 0.9 * len(lines) > FRAMES / 4
    assert "gives no more frames" not in done.stderr


@pytest.mark.system("ffprobe")
@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".ts"])
@pytest.mark.parametrize("harm", ["cut", "garbage"])
def test_a_video_broken_in_its_middle_gives_the_frames_that_can_be_decoded(
    command: Run, clip: Path, tmp_path: Path, suffix: str, harm: str
) -> None:
    """As many as ffmpeg decodes, which is another program; motion JPEG and MPEG-2, in three containers."""
    codec = ["-c:v", "mpeg2video" if suffix == ".ts" else "mjpeg", "-q:v", "3"]
    whole, broken = tmp_path / f"whole{suffix}", tmp_path / f"broken{suffix}"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", clip, *codec, whole], check=True)
    data = bytearray(whole.read_bytes())
    if harm == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2 : len(data) // 2 + 20_000] = random.Random(0).randbytes(20_000)
    broken.write_bytes(data)
    done = command("fer-run", "--source", broken, "--headless")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    answered = len([json.loads(line) for line in done.stdout.splitlines()])
    assert abs(answered - decoded(broken)) <= 2
    assert FRAMES // 3 < answered < FRAMES


@pytest.mark.system("ffprobe")
def test_an_mp4_without_its_index_is_refused(command: Run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    done = command("fer-run", "--source", tmp_path / "cut.mp4", "--headless")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"fer-run: {tmp_path / 'cut.mp4'} is neither a video nor a picture that OpenCV can read"
    )


@pytest.mark.system("ffprobe")
def test_a_stream_that_vanishes_for_good_is_waited_for(clip: Path, tmp_path: Path) -> None:
    """ffmpeg sends the clip over TCP and is killed; no frame is invented, and SIGTERM still ends the run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    sender = subprocess.Popen(
        ["ffmpeg", "-loglevel", "quiet", "-re", "-stream_loop", "-1", "-i", clip, "-c:v", "mpeg2video", "-f",
         "mpegts", f"{address}?listen=1"], stdin=subprocess.DEVNULL,
    )  # fmt: skip
    lines = tmp_path / "faces.jsonl"
    time.sleep(1)  # it takes one connection, so none can be spent on asking whether it is ready
    run = start("fer-run", "--source", address, "--headless", "--jsonl", lines)
    first_after(lines, 0)
    sender.kill()
    sender.wait()
    time.sleep(1)
    before = len(read_lines(lines))
    time.sleep(1.5)
    assert run.poll() is None
    run.terminate()
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 143, errors
    assert f"{address} gives no more frames" in errors
    assert len(read_lines(lines)) == lines.read_text().count("\n") == before


def test_a_file_removed_while_it_is_read_is_read_to_its_end(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    lines = tmp_path / "faces.jsonl"
    run = start("fer-run", "--source", tmp_path / "clip.mp4", "--realtime", "--headless", "--jsonl", lines)
    first_after(lines, 0)
    (tmp_path / "clip.mp4").unlink()
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert read_lines(lines)[-1].frame > FRAMES - 5


def test_a_recording_lasts_as_long_as_the_camera_was_filmed(tmp_path: Path) -> None:
    """A camera of 10 frames per second whose stream declares 25, as ffmpeg assumes of motion JPEG."""
    cv2.imwrite(str(tmp_path / "picture.jpg"), render(0))
    lines, recording = tmp_path / "faces.jsonl", tmp_path / "out.mkv"
    with mjpeg([tmp_path / "picture.jpg"], 0.1, 10) as server:
        run = start("fer-run", "--source", server.address, "--headless", "--jsonl", lines, "--record", recording)
        first_after(lines, time.time() + 3)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=30)
    assert run.returncode == 130, errors
    answered = read_lines(lines)
    recorded = cv2.VideoCapture(str(recording))
    assert recorded.get(cv2.CAP_PROP_FPS) == 25
    seconds = recorded.get(cv2.CAP_PROP_FRAME_COUNT) / 25
    assert seconds == pytest.approx(captured(answered[-1]) - captured(answered[0]), abs=0.2)


@pytest.mark.system("ffprobe")
def test_frames_change_size(tmp_path: Path) -> None:
    """A camera that switches between 4:3 and 16:9 every second, and comes back with 320x240 alone.

    OpenCV would stretch all frames to the first one's size, and faces to 4/3 of their height.
    """
    square, wide, small = (tmp_path / f"{name}.jpg" for name in ("square", "wide", "small"))
    picture = render(0)
    cv2.imwrite(str(square), picture)
    cv2.imwrite(str(wide), picture[60:420])
    cv2.imwrite(str(small), cv2.resize(picture, (320, 240), interpolation=cv2.INTER_AREA))
    lines, recording = tmp_path / "faces.jsonl", tmp_path / "out.mkv"
    with mjpeg([square] * 10 + [wide] * 10, 0.03, 10) as server:
        outputs = ["--jsonl", lines, "--record", recording]
        run = start("fer-run", "--source", server.address, "--headless", *outputs)
        first_after(lines, time.time() + 3)
        server.kill()
        server.command[-20:] = [str(small)] * 20
        server.start()
        back = time.time()
        first_after(lines, back + 1)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=30)
    assert run.returncode == 130, errors
    assert "Traceback" not in errors
    answered = read_lines(lines)
    before = [a for a in answered if captured(a) < back]
    after = [a for a in answered if captured(a) > back]
    for some, height in ((before, 107), (after, 53)):  # of the larger face
        assert sum(len(line.faces) == 2 for line in some) > 0.8 * len(some)
        tall = [max(face.box[3] for face in line.faces) for line in some if line.faces]
        assert 0.9 * height < min(tall) <= max(tall) < 1.1 * height
    tops = [min(face.box[1] for face in line.faces) for line in before if line.faces]
    assert max(tops) - min(tops) > 50  # both shapes were seen
    # The server sends 33 frames per second; the recording has the rate that OpenCV reports, and lasts as long.
    filmed_s = sum(captured(some[-1]) - captured(some[0]) for some in (before, after))
    assert decoded(recording) > 0.8 * filmed_s * cv2.VideoCapture(str(recording)).get(cv2.CAP_PROP_FPS)
