"""What is read of the machine: energy, clock, temperature, load; and the warnings."""

from dataclasses import replace
from pathlib import Path

import pytest

from fer_benchmarks.measure import environment
from fer_benchmarks.measure.energy import find_meter


def test_rapl_is_read_over_its_end(tmp_path: Path) -> None:
    package = tmp_path / "intel-rapl:0"
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the package, which must not count twice
    package.mkdir()
    (package / "max_energy_range_uj").write_text("1000000000")
    (package / "energy_uj").write_text("999000000")
    meter = find_meter(tmp_path)
    assert meter
    assert meter.source.startswith("RAPL")
    meter.start()
    (package / "energy_uj").write_text("2500000")
    assert meter.stop() == pytest.approx(3.5)
    (package / "energy_uj").unlink()
    assert meter.stop() is None


def test_a_raspberry_pis_power_chip_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "vcgencmd"
    tool.write_text(
        "#!/bin/sh\necho '     VDD_CORE_A current(7)=2.50000000A'\necho ' 3V3_SYS_A current(1)=0.20000000A'\n"
        "echo '     VDD_CORE_V volt(15)=0.80000000V'\necho ' 3V3_SYS_V volt(9)=3.00000000V'\n"
        "echo '     BATT_V volt(25)=3.00000000V'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    meter = find_meter(tmp_path / "none")
    assert meter
    assert meter.source.startswith("PMIC")
    meter.start()
    import time

    begun = time.monotonic()
    time.sleep(0.5)
    joules = meter.stop()
    assert joules
    assert joules / (time.monotonic() - begun) == pytest.approx(2.6, rel=0.2)


def test_without_a_meter_there_is_no_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_meter(tmp_path) is None


def fake_machine(root: Path, mhz: int, throttled: int, stolen: int, governor: str) -> environment.Moment:
    cpu = root / "sys/devices/system/cpu/cpu0"
    for file, text in {
        cpu / "cpufreq/scaling_governor": governor,
        cpu / "cpufreq/scaling_cur_freq": str(mhz * 1000),
        cpu / "thermal_throttle/core_throttle_count": str(throttled),
        root / "sys/class/thermal/thermal_zone0/temp": "61500",
        root / "proc/stat": f"cpu  {1000 + 10 * throttled} 0 0 8000 0 0 0 {stolen} 0 0\n",
        root / "proc/cpuinfo": "flags : fpu hypervisor avx2\n",
    }.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return environment.now(root)


def test_what_spoils_the_figures_is_warned_of(tmp_path: Path) -> None:
    before = fake_machine(tmp_path, 2400, 3, 0, "ondemand")
    after = fake_machine(tmp_path, 1500, 9, 900, "ondemand")
    found = environment.describe(before, after, None, tmp_path)
    assert (found.clock_mhz, found.temperature_c, found.throttled) == ((2400, 1500), (61.5, 61.5), True)
    assert found.virtual is True
    warnings = environment.warnings(found)
    for text in ("governor ondemand", "slowed itself down", "2400 MHz before the run and 1500 after", "other machines"):
        assert any(text in warning for warning in warnings)
    quiet = replace(fake_machine(tmp_path, 2400, 3, 0, "performance"), load=0.1)
    calm = environment.describe(quiet, quiet, None, tmp_path)
    assert calm.throttled is False
    assert environment.warnings(calm) == []
    firmware = tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled"
    firmware.parent.mkdir(parents=True)
    firmware.write_text("4")  # a Raspberry Pi's: throttled now
    held_back = environment.describe(quiet, environment.now(tmp_path), None, tmp_path)
    assert any("slowed itself down" in warning for warning in environment.warnings(held_back))
    busy = environment.describe(replace(quiet, load=2.5), quiet, None, tmp_path)
    assert any("load 2.5" in warning for warning in environment.warnings(busy))
