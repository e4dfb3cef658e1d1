"""What a machine is called."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from dashdeploy import machine

EPYC = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC
flags\t\t: fpu sse2 {flags} rdtscp

processor\t: 1
model name\t: AMD EPYC
flags\t\t: fpu
"""
ARM = """processor\t: 0
BogoMIPS\t: 2000.00
Features\t: fp asimd evtstrm sve
"""


@pytest.mark.parametrize(
    ("cpuinfo", "called"),
    [
        (EPYC.format(flags="avx avx2 avx512f avx512bw"), "AMD EPYC (AVX-512)"),
        (EPYC.format(flags="avx avx2 avx512f amx_tile"), "AMD EPYC (AMX)"),
        (EPYC.format(flags="avx avx2"), "AMD EPYC (AVX2)"),
        (EPYC.format(flags="avx"), "AMD EPYC (AVX)"),
        (EPYC.format(flags=""), "AMD EPYC"),
        (ARM, "neoverse (SVE)"),
        ("", "neoverse"),
        (None, "neoverse"),
    ],
)
def test_machines_with_other_vector_extensions_are_called_differently(
    cpuinfo: str | None, called: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(cpuinfo, encoding="utf-8")
    monkeypatch.setattr(machine, "_CPUINFO", file)
    monkeypatch.setattr(platform, "processor", lambda: "neoverse")
    assert machine.cpu_model() == called
    assert machine.describe_machine().startswith(f"{called}, ")
