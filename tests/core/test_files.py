"""Files and folders that are whole."""

import os

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
