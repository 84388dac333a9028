"""The processor as Linux describes it; nothing heavy is imported, so that fer-doctor works where libraries crash."""

from pathlib import Path

# 8-bit dot products: without one, int8 needs three instructions for each.
DOT_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
INT8_INSTRUCTIONS = ("avx2", *DOT_PRODUCTS)  # what decides the speed of int8
ROOT = Path("/")


def info(root: Path = ROOT) -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo by their names, empty where there is none; root: of the files."""
    try:
        lines = (root / "proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    facts: dict[str, str] = {}
    for key, value in (line.split(":", 1) for line in lines if ":" in line):
        facts.setdefault(key.strip(), value.strip())
    return facts


def name(root: Path = ROOT) -> str:
    """The board's or else the processor's name, empty where neither is known."""
    try:
        return (root / "proc/device-tree/model").read_text().rstrip("\0\n ")
    except OSError:
        facts = info(root)
        return facts.get("model name") or facts.get("Model") or ""


def instructions(root: Path = ROOT) -> set[str]:
    """Its instruction sets as Linux names them, empty where they cannot be read."""
    facts = info(root)
    return set(facts.get("flags", facts.get("Features", "")).split())


def int8_instructions(root: Path = ROOT) -> list[str]:
    """Those that int8 gains from."""
    return [flag for flag in INT8_INSTRUCTIONS if flag in instructions(root)]
