"""Debian, its kernel and the built wheel as a disk image, for `make test-vm`. Needs root, and leaves nothing mounted.

What was made is kept in build/vm, and made anew when Debian's release files, this file or the wheel change.
Run as `python -m tools.vm_image [SUITE [ARCHITECTURE]]`, such as `trixie arm64`, for which Debian's
qemu-user-static runs programs of the image while it is made.
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
PROGRAMS = {  # that are called here, and Debian's packages of them
    "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "e2fsck": "e2fsprogs", "cpio": "cpio",
    "setpriv": "util-linux", "unshare": "util-linux",
    "tar": "tar", "dpkg-deb": "dpkg", "debugfs": "e2fsprogs",
}  # fmt: skip
PACKAGES = (
    "systemd-sysv", "udev", "dbus", "kmod", "python3", "python3-venv", "v4l-utils", "busybox-static", "procps",
    "mosquitto", "make",
)  # fmt: skip
LEFT_OUT = (
    "/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info",
    "/etc/kernel/postinst.d",  # trixie's headers bring a kernel, for which it makes an initrd: minutes under emulation
)  # fmt: skip
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
# In the new root: Debian's kernel, to be unpacked; and a camera that shows what it is given, built for it.
KERNEL = r"""
export LC_ALL=C
cd /boot
kernel=$(apt-cache depends linux-image-$(dpkg --print-architecture) | sed -n "s/.*Depends: //p" | head -n 1)
apt-get -qq download $kernel
cd /tmp
apt-get -qq download v4l2loopback-dkms
dpkg-deb -x v4l2loopback-dkms_*.deb loopback
headers=$(echo /usr/src/linux-headers-*-$(dpkg --print-architecture))
make -s -C $headers M=$(echo /tmp/loopback/usr/src/v4l2loopback-*) modules
install -m 644 -D -t /usr/lib/modules/${headers#*headers-}/extra loopback/usr/src/v4l2loopback-*/v4l2loopback.ko
rm -r /usr/src/* loopback v4l2loopback-dkms_*.deb
"""
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod "/modules/$module"; done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""
# A webcam has such a link by its serial number; vivid has none.
UDEV_RULE = 'SUBSYSTEM=="video4linux", ATTR{name}=="vivid-*-vid-cap", SYMLINK+="v4l/by-id/camera-$attr{name}"\n'
# Runs what comes over the virtual serial port, a command a line. Debian's qemu-guest-agent must be asked again and
# again whether a command has ended, and logs each question: a third of what an emulated processor can do.
CONTROL = r"""#!/bin/bash
until exec 3<>/dev/virtio-ports/control; do sleep 0.5; done
echo ready >&3
while read -r seconds command <&3; do
    base64 -d <<<"$command" >/run/command
    timeout --kill-after=5 "$seconds" bash /run/command >/run/command.out 2>/run/command.err </dev/null 3>&-
    echo "$? $(base64 -w0 /run/command.out) $(base64 -w0 /run/command.err)" >&3
done
"""
CONTROL_UNIT = """[Unit]
RequiresMountsFor=/shared
[Service]
ExecStart=/usr/local/sbin/control
Restart=always
OOMScoreAdjust=-1000
[Install]
WantedBy=multi-user.target
"""
FILES = {
    "usr/local/sbin/control": CONTROL,
    "etc/systemd/system/control.service": CONTROL_UNIT,
    "etc/udev/rules.d/70-camera.rules": UDEV_RULE,
    "etc/fstab": "shared /shared 9p trans=virtio,version=9p2000.L,msize=262144,nofail 0 0\n",
    "etc/hostname": "board\n",
    "etc/modules-load.d/shared.conf": "9pnet_virtio\n",
    "etc/systemd/journald.conf.d/kept.conf": "[Journal]\nStorage=persistent\n",
}  # fmt: skip
UNWANTED = (  # at the boot of a machine that lives for minutes
    "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "e2scrub_reap.service",
    "mosquitto.service", "getty@tty1.service", "serial-getty@.service", "systemd-binfmt.service",
    "systemd-logind.service",
    "proc-sys-fs-binfmt_misc.automount", "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
)  # fmt: skip


class ImageError(Exception):
    """Why there is no image, and what to do: one sentence."""


class HostError(ImageError):
    """The same, where it is this machine that cannot make one."""


@dataclass(frozen=True)
class Architecture:
    """What is emulated."""

    qemu: str
    package: str
    """Debian's, of QEMU."""
    wheels: str
    """The end of the names of wheels for it."""


ARCHITECTURES = {  # by Debian's name
    "amd64": Architecture("qemu-system-x86_64", "qemu-system-x86", "x86_64"),
    "arm64": Architecture("qemu-system-aarch64", "qemu-system-arm qemu-user-static", "aarch64"),
}


@dataclass(frozen=True)
class Image:
    """What QEMU boots, made or not."""

    suite: str = "bookworm"
    name: str = "amd64"
    """Debian's, of the architecture."""

    @property
    def place(self) -> Path:
        """The folder that holds it."""
        return ROOT / "build" / "vm" / f"{self.suite}-{self.name}"

    @property
    def architecture(self) -> Architecture:
        return ARCHITECTURES[self.name]

    @property
    def kernel(self) -> Path:
        return self.place / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.place / "initrd"

    @property
    def disk(self) -> Path:
        """The root, ext4; boots leave it as it is."""
        return self.place / "disk.ext4"


def make_image(image: Image) -> None:
    """The image with the wheel of this checkout, made where it is not there yet. Raises ImageError."""
    check_host(image)
    image.place.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel(image.place / "dist")
    base_key = hashlib.sha256(releases(image.suite) + Path(__file__).read_bytes()).hexdigest()
    key = base_key + hashlib.sha256(wheel.read_bytes()).hexdigest()
    root, made = image.place / "root", image.place / "made"
    done = made.read_text() if made.exists() else ""
    if done == key:
        return
    made.unlink(missing_ok=True)
    if not done.startswith(base_key):
        make_root(root, image)
        take_kernel(root, image)
    install_wheel(root, wheel, image.architecture.wheels)
    make_disk(root, image.disk)
    made.write_text(key)


def check_host(image: Image) -> None:
    """Raise HostError where this machine cannot make and boot an image."""
    if os.geteuid():
        raise HostError("the virtual machine's image needs root: expected user id 0; use sudo")
    programs = PROGRAMS | {image.architecture.qemu: image.architecture.package}
    if missing := sorted({package for program, package in programs.items() if not shutil.which(program)}):
        raise HostError(f"programs are missing: apt-get install --no-install-recommends {' '.join(missing)}")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        raise HostError("the image is made with mounts of its own, which this machine (a container?) does not allow")


def releases(suite: str) -> bytes:
    """Debian's release files, which change whenever a package of the suite does. Raises HostError."""
    try:
        return b"".join(urllib.request.urlopen(url.format(suite), timeout=60).read() for url in RELEASES)
    except OSError as error:
        raise HostError(
            f"cannot read the list of Debian's packages of {suite}: {error}; is there a network?"
        ) from error


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    shutil.rmtree(folder, ignore_errors=True)
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_root(root: Path, image: Image) -> None:
    """A bootable Debian without a kernel; one that is left by a failure is begun anew."""
    shutil.rmtree(root, ignore_errors=True)
    options = [f"--dpkgopt=path-exclude={name}/*" for name in LEFT_OUT]
    packages = ",".join([*PACKAGES, f"linux-headers-{image.name}"])
    call(  # unshare: what it mounts, such as /proc, is seen by it alone, and gone with it, also where it is killed
        "unshare", "--mount", "mmdebstrap", "--quiet", "--variant=minbase", f"--arch={image.name}",
        "--dpkgopt=force-unsafe-io", f"--include={packages}", *options,
        f"--customize-hook=chroot \"$1\" sh -ec '{KERNEL}'", image.suite, root,
    )  # fmt: skip
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in ("shared", "data"):
        (root / name).mkdir()
    (root / "usr/local/sbin/control").chmod(0o755)
    call("chroot", root, "systemctl", "enable", "--quiet", "control.service")
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


def install_wheel(root: Path, wheel: Path, platform: str) -> None:
    """The wheel and what pip brings for it, with the headless OpenCV in its place, as on a board without a screen."""
    wheels = root / "wheels"
    for folder in (wheels, root / "opt" / "fer-edge"):
        shutil.rmtree(folder, ignore_errors=True)
    version = next((root / "usr" / "lib").glob("python3.*")).name.removeprefix("python")
    platforms = [f"--platform=manylinux_2_{minor}_{platform}" for minor in range(36, 16, -1)]
    choice = ["--only-binary=:all:", f"--python-version={version}", *platforms, f"--platform=manylinux2014_{platform}"]
    wanted = [f"{wheel}[web,mqtt]", "opencv-python-headless"]
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
        make_image(Image(*sys.argv[1:]))
    except ImageError as error:
        print(error, file=sys.stderr)
        sys.exit(3 if isinstance(error, HostError) else 1)  # 3: .ci/run goes on without it
