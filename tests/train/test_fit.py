"""fer-train fit beyond the plain run: teachers, votes, other classes, sets on disk, several processes, stages."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from conftest import BIN, ROOT, Run
from fer_runtime.data.dataset import load
from fer_runtime.files import sha256
from fer_train import checkpoint
from fer_train.data.augment import augment
from fer_train.data.ferplus import read
from fer_train.inference import predict
from fer_train.model import normalize
from fer_train.recipe import RECIPES
from fer_train.training.loop import start
from fer_train.training.precision import autocast
from fer_train.training.soft_targets import SoftTargets, labelled, teacher_targets
from fer_train.training.state import read_result
from helpers.drawn import draw_face, write_faces, zip_folder

SHORT = ("--model", "nano", "--epochs", 2, "--device", "cpu")


@pytest.fixture(scope="module")
def small_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """192 train and 30 PublicTest faces."""
    root = tmp_path_factory.mktemp("small")
    write_faces(root, "Training", "train", 64, 0)
    write_faces(root, "PublicTest", "test", 10, 1)
    return zip_folder(root, tmp_path_factory.mktemp("zip") / "small.zip")


@pytest.fixture(scope="module")
def plain(command: Run, small_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a plain run of two epochs."""
    out = tmp_path_factory.mktemp("runs") / "plain"
    done = command("fer-train", "fit", small_zip, *SHORT, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "time to accuracy: " in done.stderr
    assert "PFLOP" in done.stderr
    return out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / "model.pt", weights_only=True)["weights"]
    return found


def test_a_set_on_disk_trains_to_the_same_weights(command: Run, small_zip: Path, plain: Path, tmp_path: Path) -> None:
    done = command("fer-train", "fit", small_zip, *SHORT, "--stream", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(torch.equal(weights(plain)[name], value) for name, value in weights(tmp_path).items())
    assert not list(tmp_path.glob("tmp*"))  # the spool has no name and is gone


def test_a_spooled_set_equals_one_in_memory(faces_zip: Path, tmp_path: Path) -> None:
    memory, disk = load(faces_zip), load(faces_zip, spool=tmp_path)
    assert disk.fingerprint == memory.fingerprint
    assert isinstance(disk.split("train").pixels, np.memmap)
    index = np.array([5, 3, 200])
    assert isinstance(disk.split("train").take(index).pixels, np.memmap)
    assert np.array_equal(disk.split("train").take(index).pixels, memory.split("train").take(index).pixels)


def test_a_set_that_memory_does_not_hold_names_the_way_out(small_zip: Path, tmp_path: Path) -> None:
    program = (
        "import os, sys; os.sysconf = lambda name: 1 if 'PAGES' in name else 4096; "
        f"sys.argv = ['fer-train', 'fit', {str(small_zip)!r}, '--out', {str(tmp_path / 'run')!r}]; "
        "from fer_train.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "fer-train fit takes --stream" in done.stderr


def test_teachers_are_learned_from_and_recorded(command: Run, trained: Path, small_zip: Path, tmp_path: Path) -> None:
    teacher = trained / "model.pt"
    done = command("fer-train", "fit", small_zip, *SHORT, "--teacher", teacher, "--teacher", teacher, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    found = checkpoint.load(tmp_path / "model.pt")
    assert found.recipe["teachers"] == [checkpoint.load(teacher).digest] * 2
    again = command("fer-train", "fit", small_zip, *SHORT, "--out", tmp_path, "--resume")
    assert again.returncode == 1
    assert "belongs to another run: its teachers" in again.stderr


def test_teachers_answers_are_mostly_right_and_sum_to_one(trained: Path, small_zip: Path) -> None:
    teacher, faces = checkpoint.load(trained / "model.pt"), load(small_zip).split("train")
    recipe = replace(RECIPES["nano"], teacher_views=2)
    targets = teacher_targets(faces, (teacher.network,), recipe, torch.device("cpu"), lambda: None).float()
    assert targets.shape == (2, len(faces), 3)
    assert torch.allclose(targets.sum(2), torch.ones(2, len(faces)), atol=5e-3)
    assert (targets.argmax(2).numpy() == faces.labels).mean() > 0.8


def test_a_teacher_answers_the_view_that_its_pupil_sees(trained: Path, small_zip: Path) -> None:
    teacher, faces = checkpoint.load(trained / "model.pt").network, load(small_zip).split("train")
    recipe = replace(RECIPES["nano"], teacher_views=3)
    kept = SoftTargets(teacher_targets(faces, (teacher,), recipe, torch.device("cpu"), lambda: None))
    for epoch in (1, 3, 5):
        numbers, wanted = kept.of(epoch, seed=epoch)
        views = normalize(augment(torch.from_numpy(faces.pixels), numbers, recipe.augmentation, 48))
        with torch.inference_mode(), autocast(torch.device("cpu")):
            found = teacher(views.contiguous(memory_format=torch.channels_last)).float().softmax(1)
        other = kept.of(epoch + 1, seed=epoch)[1]
        assert (found - wanted).abs().mean() < 0.005  # bfloat16, in batches of other sizes
        assert (found - other).abs().mean() > 0.02
    assert torch.equal(kept.of(1, 0)[0], kept.of(4, 9)[0])
    assert not torch.equal(kept.of(1, 0)[0], kept.of(2, 0)[0])


def test_views_without_a_teacher_never_come_again(small_zip: Path) -> None:
    faces = load(small_zip).split("train")
    plain = SoftTargets(labelled(faces, 3, RECIPES["nano"], None)[None])
    seen = {plain.of(epoch, seed)[0].numpy().tobytes() for epoch in range(1, 9) for seed in range(3)}
    assert len(seen) == 24


def test_votes_take_the_place_of_labels(small_zip: Path, tmp_path: Path) -> None:
    faces = load(small_zip).split("train")
    rows = f"path,neutral,happiness,sadness,contempt\n{faces.names[0]},1,3,0,6\n{faces.names[1]},0,0,0,9\n"
    (tmp_path / "votes.csv").write_text(rows)
    recipe = RECIPES["small"]
    votes = read(tmp_path / "votes.csv", ("happy", "neutral", "sad"))
    targets = labelled(faces, 3, recipe, votes)
    assert torch.allclose(targets[0], torch.tensor([0.3, 0.1, 0.0]))  # six voters saw none of the classes
    assert not targets[1].any()
    assert torch.equal(targets[2:], labelled(faces, 3, recipe, None)[2:])
    both = labelled(faces, 3, replace(recipe, label_share=0.25), votes)
    assert torch.allclose(both, torch.cat([0.75 * targets, 0.25 * labelled(faces, 3, recipe, None)], 1))


def test_fit_takes_votes(command: Run, small_zip: Path, tmp_path: Path) -> None:
    """It learns what the votes say, not the folders: here that all neutral faces are happy; and is measured on that."""
    votes, out = _votes_csv(small_zip, tmp_path / "votes.csv"), tmp_path / "run"
    done = command("fer-train", "fit", small_zip, *SHORT, "--votes", votes, "--out", out)
    assert done.returncode == 0, done.stderr
    found = checkpoint.load(out / "model.pt")
    assert len(found.recipe["votes"]) == 64
    assert found.manifest.measured[0]["labels"] == "votes"
    assert found.manifest.balance["mix"] == "between"
    metrics = json.loads((out / "metrics.json").read_text())
    faces = metrics["valid"]["n"]
    assert [sum(row) for row in metrics["valid"]["confusion"]] == [2 * faces / 3, 0, faces / 3]
    best = min(metrics["history"], key=lambda row: row["valid_log_loss"])
    assert metrics["best_epoch"] == best["epoch"]


def test_a_run_with_votes_is_finished_on_another_mix(command: Run, small_zip: Path, tmp_path: Path) -> None:
    votes, out = _votes_csv(small_zip, tmp_path / "votes.csv"), tmp_path / "run"
    assert command("fer-train", "fit", small_zip, *SHORT, "--votes", votes, "--out", out).returncode == 0
    whole = (out / "model.pt").stat().st_size
    scored = command(
        "fer-train", "evaluate", out / "model.pt", small_zip, "--votes", votes, "--json", tmp_path / "scores.json"
    )
    assert "ECE of the single votes" in scored.stdout
    assert "weighted to the mix of its balance" in scored.stdout
    section = json.loads((tmp_path / "scores.json").read_text())["voted_splits"]["valid, FER+ majority"]
    found_ece = json.loads((out / "metrics.json").read_text())["valid_ece"]
    assert section["vote_ece"][1] == pytest.approx(found_ece["plain"], abs=2e-4)
    assert section["vote_ece_at_mix"][1] == pytest.approx(found_ece["at_mix"], abs=2e-4)
    refused = command("fer-train", "finish", out, small_zip, "--out", tmp_path)
    assert refused.returncode == 1
    assert "learned from the votes of another CSV than --votes gives" in refused.stderr
    finish = ["fer-train", "finish", out, small_zip, "--votes", votes, "--out", tmp_path]
    done = command(*finish, "--balance", "uniform", "--half")
    assert done.returncode == 0, done.stderr
    found = checkpoint.load(tmp_path / "model.pt")
    assert found.manifest.balance["shares"] == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert (tmp_path / "model.pt").stat().st_size < 0.7 * whole
    teacher_targets = command(
        "fer-train", "fit", small_zip, *SHORT, "--teacher", tmp_path / "model.pt", "--out", tmp_path / "distilled"
    )
    assert teacher_targets.returncode == 0, teacher_targets.stderr


def _votes_csv(data: Path, path: Path) -> Path:
    """Ten votes for each face of `data`: sad for the sad ones, happy for all others."""
    names = [name for faces in load(data).splits.values() for name in faces.names]
    rows = "".join(f"{name},0,{10 * ('sad' not in name)},{10 * ('sad' in name)}\n" for name in names)
    path.write_text("path,neutral,happiness,sadness\n" + rows)
    return path


def test_votes_for_other_images_end_in_a_sentence(command: Run, small_zip: Path, tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text("path,neutral,happiness,sadness\nelsewhere/1.png,1,7,2\n")
    done = command("fer-train", "fit", small_zip, *SHORT, "--votes", tmp_path / "votes.csv", "--out", tmp_path / "run")
    assert done.returncode == 1
    assert "the votes are for none of the" in done.stderr
    assert "Traceback" not in done.stderr


def test_qat_is_tried_and_kept_only_for_a_gain(command: Run, small_zip: Path, plain: Path, tmp_path: Path) -> None:
    done = command("fer-train", "fit", small_zip, *SHORT, "--qat", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    qat = json.loads((tmp_path / "metrics.json").read_text())["qat"]
    assert qat["kept"] == (qat["int8_after"] > qat["int8_before"] + 0.004)
    assert f"tuning for int8: {qat['int8_before']:.2%} before, {qat['int8_after']:.2%} after: " in done.stderr
    same = all(torch.equal(weights(plain)[name], value) for name, value in weights(tmp_path).items())
    assert same != qat["kept"]


def test_init_fits_a_new_head_for_other_classes(
    command: Run, trained: Path, faces_folder: Path, tmp_path: Path
) -> None:
    for folder in ("train", "test"):
        for old, new in (("happy", "smile"), ("sad", "frown")):
            shutil.copytree(faces_folder / folder / old, tmp_path / "data" / folder / new)
    data = tmp_path / "data"
    done = command("fer-train", "fit", data, *SHORT, "--init", trained / "model.pt", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert checkpoint.load(tmp_path / "run/model.pt").manifest.labels == ("frown", "smile")
    before, after = weights(trained)["blocks.0.conv1.0.weight"], weights(tmp_path / "run")["blocks.0.conv1.0.weight"]
    assert torch.cosine_similarity(before.flatten(), after.flatten(), 0) > 0.95  # of a fresh network: about 0
    wrong = command(
        "fer-train", "fit", data, "--model", "small", "--init", trained / "model.pt", "--out", tmp_path / "x"
    )
    assert wrong.returncode == 1
    assert "--init is a network of size nano" in wrong.stderr


def test_init_keeps_the_head_where_the_classes_stand_in_another_order(trained: Path, faces_folder: Path) -> None:
    """A csv numbers its classes, folders sort them: a network of one goes on with the other."""
    faces = load(faces_folder).split("valid").pixels
    wanted = predict(checkpoint.load(trained / "model.pt").network, faces)
    config = replace(read_result(trained / "last.pt").config, classes=("sad", "happy", "neutral"))
    found = predict(start(config, checkpoint.load(trained / "model.pt")), faces)
    assert torch.equal(found[:, [1, 2, 0]], wanted)  # happy, neutral, sad


def test_a_stopped_run_can_be_finished(
    command: Run, plain: Path, small_zip: Path, faces_zip: Path, tmp_path: Path
) -> None:
    done = command("fer-train", "finish", plain, small_zip, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.pt").read_bytes() == (plain / "model.pt").read_bytes()
    other = command("fer-train", "finish", plain, faces_zip)
    assert other.returncode == 1
    assert "is not what" in other.stderr
    damaged = tmp_path / "last.pt"
    damaged.write_bytes(b"PK not really")
    refused = command("fer-train", "finish", tmp_path, small_zip)
    assert refused.returncode == 1
    assert "is not a whole checkpoint" in refused.stderr


PROBE = """
import sys, torch
import torch.distributed as dist
from fer_train.training.distributed import group
from fer_train.model import build
def probe(us):  # a function, so that the wrapped network is gone before the processes part, as in fit
    torch.manual_seed(0)
    network = build("nano", 3).eval()
    forward = us.parallel(network)
    batch = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    mine = us.shard(batch)
    shards = [torch.empty_like(mine) for _ in range(us.world)]
    dist.all_gather(shards, mine)
    assert sorted(torch.cat(shards).tolist()) == list(range(8)), shards
    faces = torch.randn(8, 1, 48, 48, generator=torch.Generator().manual_seed(2))
    alone = build("nano", 3).eval()
    alone.load_state_dict(network.state_dict())
    alone(faces).square().mean().backward()
    forward(faces[mine]).square().mean().backward()
    for ours, whole in zip(network.parameters(), alone.parameters()):
        assert torch.allclose(ours.grad, whole.grad, rtol=1e-3, atol=1e-6)
    assert us.agreed(us.rank) == 0
    assert us.mean(torch.tensor([float(us.rank)])).item() == 0.5
    assert us.world == 2
    sys.stdout.write(f"rank {us.rank} fine\\n")
with group("cpu") as us:
    probe(us)
"""


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "torchrun", "--standalone", "--nproc-per-node", "2", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_two_processes_share_batches_and_average_gradients(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    done = torchrun(tmp_path / "probe.py")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == ["", "rank 0 fine", "rank 1 fine"]


def test_torchrun_trains_with_the_same_command(small_zip: Path, tmp_path: Path) -> None:
    arguments = ("-m", "fer_train", "fit", small_zip, "--model", "nano", "--epochs", 2, "--device", "cpu")
    done = torchrun(*arguments, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model.pt: best epoch") == 1
    assert done.stderr.count("epoch   1/2") == 1
    assert len(json.loads((tmp_path / "metrics.json").read_text())["history"]) == 2
    again = torchrun(*arguments, "--out", tmp_path, "--resume")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("resuming after epoch 2 of 2") == 1


BARE = """
import sys
for name in ("click", "rich", "onnxruntime", "matplotlib", "torchvision", "onnx", "retinaface", "skimage"):
    sys.modules[name] = None
"""


def test_the_gpu_script_goes_on_in_stages_without_our_packages(command: Run, small_zip: Path, tmp_path: Path) -> None:
    """One stage without time for more than an epoch, then on to the end; what it keeps can be finished at home."""
    (tmp_path / "sitecustomize.py").write_text(BARE)
    bare = {"PYTHONPATH": str(tmp_path), "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    votes = _votes_csv(small_zip, tmp_path / "votes.csv")
    web = tmp_path / "web"
    web.mkdir()
    for index in range(8):
        cv2.imwrite(str(web / f"{index}.png"), draw_face("happy", np.random.RandomState(index)))
    script = [ROOT / "train/gpu_recipe.sh", small_zip, tmp_path / "runs"]
    more = ("--votes", votes, "--unlabelled", web, "--init", ROOT / "models")

    def stage(minutes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*script, minutes, "--epochs", "1", "--only", "teacher-0", "nano-0", *more],
            capture_output=True, text=True, timeout=300, check=False, env=os.environ | bare,
        )  # fmt: skip

    first = stage("0.0001")
    assert first.returncode == 0, first.stderr
    assert "this stage is over" in first.stdout
    second = stage("9")
    assert second.returncode == 0, second.stderr
    assert "resuming after epoch 1 of 1" in second.stdout
    assert "all runs are finished" in second.stdout
    kept = {path.name for path in (tmp_path / "runs/keep").iterdir()}
    assert kept == {"teacher-0.pt", "nano-0.pt"}
    student, teacher = (read_result(tmp_path / f"runs/keep/{name}.pt").config for name in ("nano-0", "teacher-0"))
    assert student.init == sha256(ROOT / "models/fer-nano.pt")
    assert all([student.teachers, student.unlabelled])
    assert not any([teacher.teachers, teacher.unlabelled, teacher.init])
    for name in ("teacher-0", "nano-0"):  # the teacher without its second head
        kept_run, home = tmp_path / f"runs/keep/{name}.pt", tmp_path / name
        done = command("fer-train", "finish", kept_run, small_zip, "--votes", votes, "--out", home)
        assert done.returncode == 0, done.stderr
        found = checkpoint.load(home / "model.pt")
        assert found.manifest.labels == ("happy", "neutral", "sad")
        assert found.manifest.measured[0]["labels"] == "votes"
