"""What can be made again is kept on disk up to a size, the least recently used goes first."""

from __future__ import annotations

import os

from hypersd_app.engine.backends.openvino.disk_cache import prune, touch


def kept(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_least_recently_used_goes_first_with_all_its_files(tmp_path):
    (tmp_path / "compiled").mkdir()
    for age, name in enumerate(["new.xml", "old.bin", "old.xml", "compiled/older.blob"]):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    prune(tmp_path, 40)
    assert len(kept(tmp_path)) == 4
    prune(tmp_path, 35)
    assert kept(tmp_path) == ["new.xml", "old.bin", "old.xml"]
    touch([tmp_path / "old.bin", tmp_path / "not there"])
    prune(tmp_path, 25)
    assert kept(tmp_path) == ["old.bin", "old.xml"], "what was just used stays"
    prune(tmp_path, 0)
    assert kept(tmp_path) == ["old.bin", "old.xml"], "what was just written is needed"
    prune(tmp_path / "not there", 0)
