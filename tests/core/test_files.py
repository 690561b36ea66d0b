"""Files and folders that are whole."""

import os
import subprocess
import sys

import pytest

from tests.support.workspace import ROOT
from tonetune.core.files import is_whole, seal


def test_a_seal_tells_whole_folders_from_damaged_ones(tmp_path):
    file = tmp_path / "inner/weights"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    assert not is_whole(tmp_path)
    seal(tmp_path)
    assert is_whole(tmp_path)
    os.utime(file, (1, 1))
    assert is_whole(tmp_path)  # copied, not changed
    file.write_bytes(b"weighty")
    assert not is_whole(tmp_path)
    file.write_bytes(b"weights")
    assert is_whole(tmp_path)
    (tmp_path / "more").touch()
    assert not is_whole(tmp_path)


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ("sys.version_info = (3, 10, 2)", "3.11 or newer is needed"),
        ("find = u.find_spec; u.find_spec = lambda name, *_: None if name == 'peft' else find(name)", "has no peft"),
    ],
)
def test_another_python_than_the_venvs_is_told_in_one_line(lacks, says):
    code = f"import sys, importlib.util as u; {lacks}; import tonetune.core"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
