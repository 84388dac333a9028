"""Debian, its kernel and the built wheel as a disk image, for `make test-vm`. Needs root, and mounts nothing here.

What was made is kept in build/vm, and made anew when Debian's release files, the list of packages or the wheel change.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "vm"
SUITE = "bookworm"
QEMU = "qemu-system-x86_64"
PROGRAMS = {  # that are called here, and Debian's packages of them
    "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "e2fsck": "e2fsprogs", "cpio": "cpio", "setpriv": "util-linux",
    "tar": "tar", "dpkg-deb": "dpkg", "debugfs": "e2fsprogs", QEMU: "qemu-system-x86",
}  # fmt: skip
PACKAGES = (
    "systemd-sysv", "udev", "dbus", "kmod", "python3", "python3-venv", "libglib2.0-0", "v4l-utils", "qemu-guest-agent",
    "busybox-static", "procps",
)  # fmt: skip
LEFT_OUT = ("doc", "man", "locale", "info")  # of /usr/share
NO_DRIVERS = (
    "drivers/gpu",
    "drivers/infiniband",
    "drivers/iio",
    "drivers/net",
    "drivers/scsi",
    "drivers/staging",
    "sound",
)
BOOT_MODULES = ("virtio_pci", "virtio_blk", "ext4")  # what the kernel needs to find its root
DISK_MB = 1600
RELEASES = (
    "http://deb.debian.org/debian/dists/{}/InRelease",
    "http://security.debian.org/debian-security/dists/{}-security/InRelease",
)
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod "/modules/$module"; done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""
# A webcam has such a link by its serial number; vivid has none.
UDEV_RULE = 'SUBSYSTEM=="video4linux", ATTR{name}=="vivid-*-vid-cap", SYMLINK+="v4l/by-id/camera-$attr{name}"\n'
FILES = {
    "etc/udev/rules.d/70-camera.rules": UDEV_RULE,
    "etc/fstab": "shared /shared 9p trans=virtio,version=9p2000.L,msize=262144,nofail 0 0\n",
    "etc/hostname": "board\n",
    "etc/modules-load.d/shared.conf": "9pnet_virtio\n",
    "etc/systemd/journald.conf.d/kept.conf": "[Journal]\nStorage=persistent\n",
}  # fmt: skip
UNWANTED = (  # at the boot of a machine that lives for minutes
    "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "e2scrub_reap.service",
    "getty@tty1.service", "serial-getty@ttyS0.service", "systemd-binfmt.service", "systemd-logind.service",
    "proc-sys-fs-binfmt_misc.automount",
)  # fmt: skip


class ImageError(Exception):
    """Why there is no image, and what to do: one sentence."""


@dataclass(frozen=True)
class Image:
    """What QEMU boots."""

    kernel: Path
    initrd: Path
    disk: Path
    """The root, ext4; boots leave it as it is."""


def image_of(suite: str = SUITE) -> Image:
    """Where the image is, made or not."""
    place = PLACE / suite
    return Image(place / "vmlinuz", place / "initrd", place / "disk.ext4")


def make_image(suite: str = SUITE) -> None:
    """The image with the wheel of this checkout, made where it is not there yet. Raises ImageError."""
    check_host()
    place, image = PLACE / suite, image_of(suite)
    place.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel(place / "dist")
    base_key = hashlib.sha256(releases(suite) + Path(__file__).read_bytes()).hexdigest()
    key = base_key + hashlib.sha256(wheel.read_bytes()).hexdigest()
    root, made = place / "root", place / "made"
    done = made.read_text() if made.exists() else ""
    if done == key:
        return
    made.unlink(missing_ok=True)
    if not done.startswith(base_key):
        make_root(root, suite)
        take_kernel(root, image)
    install_wheel(root, wheel)
    make_disk(root, image.disk)
    made.write_text(key)


def check_host() -> None:
    """Raise ImageError where this machine cannot make an image."""
    if os.geteuid():
        raise ImageError("the virtual machine's image needs root: expected user id 0; use sudo")
    if missing := sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)}):
        raise ImageError(f"programs are missing: apt-get install --no-install-recommends {' '.join(missing)}")


def releases(suite: str) -> bytes:
    """Debian's release files, which change whenever a package of the suite does. Raises ImageError."""
    try:
        return b"".join(urllib.request.urlopen(url.format(suite), timeout=60).read() for url in RELEASES)
    except OSError as error:
        raise ImageError(
            f"cannot read the list of Debian's packages of {suite}: {error}; is there a network?"
        ) from error


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    shutil.rmtree(folder, ignore_errors=True)
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_root(root: Path, suite: str) -> None:
    """A bootable Debian without a kernel; one that is left by a failure is begun anew."""
    shutil.rmtree(root, ignore_errors=True)
    options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
    kernel = r"""chroot "$1" sh -c 'cd /boot && apt-get download $(apt-cache depends linux-image-"""
    kernel += r"""$(dpkg --print-architecture) | sed -n "s/.*Depends: //p" | head -n 1)'"""
    call(
        "mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io", f"--include={','.join(PACKAGES)}",
        *options, f"--customize-hook={kernel}", suite, root,
    )  # fmt: skip
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in ("shared", "data"):
        (root / name).mkdir()
    call("chroot", root, "useradd", "--create-home", "visitor")  # in no group that may open cameras
    call("chroot", root, "systemctl", "mask", "--quiet", *UNWANTED)


def take_kernel(root: Path, image: Image) -> None:
    """The modules into the root; the kernel, and an initrd with what it needs to mount the root, beside it."""
    (package,) = (root / "boot").glob("linux-image-*.deb")
    excluded = [f"--exclude=*/kernel/{name}" for name in NO_DRIVERS] + ["--exclude=./usr/share"]
    unpacking = ["tar", "-x", "--keep-directory-symlink", "-C", str(root), *excluded]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as files:
        subprocess.run(unpacking, stdin=files.stdout, check=True)
    package.unlink()
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    version = kernel.name.removeprefix("vmlinuz-")
    kernel.rename(image.kernel)
    call("chroot", root, "depmod", version)
    initrd = image.initrd.with_suffix(".d")
    shutil.rmtree(initrd, ignore_errors=True)
    for name in ("bin", "dev", "modules", "root"):
        (initrd / name).mkdir(parents=True)
    shutil.copy2(root / "bin" / "busybox", initrd / "bin")
    (initrd / "init").write_text(INIT)
    (initrd / "init").chmod(0o755)
    (initrd / "modules" / "order").write_text("\n".join(copy_modules(root, version, initrd / "modules")))
    with image.initrd.open("wb") as file:
        names = "\n".join(str(path.relative_to(initrd)) for path in [initrd, *sorted(initrd.rglob("*"))])
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc"], cwd=initrd, input=names.encode(), stdout=file, check=True
        )
    shutil.rmtree(initrd)


def copy_modules(root: Path, version: str, folder: Path) -> list[str]:
    """BOOT_MODULES and those that they need, copied; their names in the order in which they load."""
    order: list[str] = []
    for module in BOOT_MODULES:
        words = ["chroot", str(root), "modprobe", "--show-depends", "--set-version", version, module]
        for line in subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines():
            kind, _, path = line.strip().partition(" ")
            if kind == "insmod" and Path(path).name not in order:
                shutil.copy(root / path.strip("/ "), folder)
                order.append(Path(path).name)
    for packed in folder.glob("*.xz"):
        call("unxz", packed)
    return [name.removesuffix(".xz") for name in order]


def install_wheel(root: Path, wheel: Path) -> None:
    """The wheel and what pip brings for it, with the headless OpenCV in its place, as on a board without a screen."""
    wheels = root / "wheels"
    for folder in (wheels, root / "opt" / "fer-edge"):
        shutil.rmtree(folder, ignore_errors=True)
    version = next((root / "usr" / "lib").glob("python3.*")).name.removeprefix("python")
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in range(36, 16, -1)]
    choice = ["--only-binary=:all:", f"--python-version={version}", *platforms, "--platform=manylinux2014_x86_64"]
    wanted = [f"{wheel}[web]", "opencv-python-headless"]
    call(sys.executable, "-m", "pip", "download", "--quiet", "--dest", wheels, *choice, *wanted)
    for file in wheels.glob("opencv_python-*"):
        file.unlink()
    call("chroot", root, "python3", "-m", "venv", "/opt/fer-edge")
    files = [f"/wheels/{file.name}" for file in sorted(wheels.iterdir())]
    call("chroot", root, "/opt/fer-edge/bin/pip", "install", "--quiet", "--no-index", "--no-deps", *files)
    shutil.rmtree(wheels)


def make_disk(root: Path, disk: Path) -> None:
    """An ext4 file system that holds the root."""
    disk.unlink(missing_ok=True)
    call("mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", root, disk, f"{DISK_MB}m")


def call(*words: object) -> None:
    """Run a program. Raises ImageError with its last line where it fails."""
    plain = [str(word) for word in words]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(plain, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ImageError(f"{' '.join(plain[:3])} ended with {done.returncode}: {last}")


if __name__ == "__main__":
    try:
        make_image(*sys.argv[1:])
    except ImageError as error:
        sys.exit(str(error))
