"""What is read of a processor: a PC's /proc/cpuinfo, a Raspberry Pi's, and none at all."""

from pathlib import Path

from fer_runtime.system import cpu

XEON = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\ncpu MHz\t\t: 2600.000\nflags\t\t: fpu sse4_2 avx_vnni avx2\n\n"
PI_5 = (
    "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd0b\n\nRevision\t: c04170\nModel\t\t: Raspberry Pi 5\n"
)


def machine(root: Path, cpuinfo: str) -> Path:
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(cpuinfo)
    return root


def test_a_pcs_processor(tmp_path: Path) -> None:
    root = machine(tmp_path, XEON + XEON.replace("Intel", "other"))
    assert cpu.name(root) == "Intel(R) Xeon(R)"
    assert cpu.instructions(root) == {"fpu", "sse4_2", "avx2", "avx_vnni"}
    assert cpu.int8_instructions(root) == ["avx2", "avx_vnni"]
    assert cpu.info(root)["cpu MHz"] == "2600.000"


def test_a_raspberry_pis_processor(tmp_path: Path) -> None:
    root = machine(tmp_path, PI_5)
    assert cpu.int8_instructions(root) == ["asimddp"]
    assert cpu.name(root) == "Raspberry Pi 5"
    (root / "proc/device-tree").mkdir()
    (root / "proc/device-tree/model").write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    assert cpu.name(root) == "Raspberry Pi 5 Model B Rev 1.0"


def test_where_nothing_can_be_read(tmp_path: Path) -> None:
    assert cpu.name(tmp_path) == ""
    assert cpu.instructions(tmp_path) == set()
    assert cpu.info(tmp_path) == {}
