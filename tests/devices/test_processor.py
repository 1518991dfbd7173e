"""The processor's name and vector units, from files as Linux writes them."""

import platform

import pytest

from ssd_tfrecord.devices import processor

X86 = """processor\t: 0
model name\t: AMD EPYC 7B13
flags\t\t: fpu sse4_2 fma avx f16c avx2 avx512_bf16x
bugs\t\t: none

processor\t: 1
model name\t: another
flags\t\t: amx_bf16
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd sve bf16\nCPU part\t: 0xd40\n"


@pytest.mark.parametrize(
    ("text", "name", "units", "bfloat16"),
    [
        (X86, "AMD EPYC 7B13", ("avx", "avx2", "fma"), False),
        (ARM, platform.machine(), ("asimd", "sve", "bf16"), True),
        (X86.replace("512_bf16x", "512_bf16"), "AMD EPYC 7B13", None, True),
        ("", platform.machine(), (), False),
    ],
    ids=["x86", "ARM", "with bfloat16", "nothing known"],
)
def test_what_linux_says(tmp_path, text, name, units, bfloat16):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert processor.name(path) == name
    found = processor.vector_units(path)
    assert units is None or found == units
    assert processor.multiplies_bfloat16(found) == bfloat16


def test_another_system_says_nothing(tmp_path):
    assert processor.name(tmp_path / "none") == platform.machine()
    assert processor.vector_units(tmp_path / "none") == ()
