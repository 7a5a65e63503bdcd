"""Kill it, fill the disk under it: no file ever has a final name that is not whole.

Each test runs a child process, as what happens to it must not happen to pytest.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from geot2t.io.checksums import verify

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork, signals and limits")

WRITER = """
import os, random, resource, signal, sys, time
from pathlib import Path
import numpy as np, rasterio
from geot2t.errors import Geot2tError
from geot2t.io.sink import open_outputs

scene, out = Path(sys.argv[1]), Path(sys.argv[2])
with rasterio.open(scene) as source:
    pixels = source.read()

def run(driver, add=0):
    with open_outputs(scene, out, overwrite=True, driver=driver) as outputs:
        for box in outputs.blocks():
            shape = (box.height, box.width)
            values = pixels[:, *box.slices] + np.uint16(add)
            error = values.astype("float32")
            outputs.write(box, values, np.ones((2, *shape), "uint8"), error)
        outputs.commit({"id": "scene"})
"""


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(5).integers(1, 60000, (2, 400, 500)).astype("uint16")
    path = tmp_path / "scene.tif"
    profile = {"count": 2, "height": 400, "width": 500, "dtype": "uint16", "nodata": 0}
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 6e5, 0, -10, 5e6)}
    with rasterio.open(path, "w", driver="GTiff", **profile, **place) as new:
        new.write(pixels)
        new.build_overviews([2])
    return path


def child(script: str, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(WRITER) + textwrap.dedent(script)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_killed_at_any_moment_the_output_is_absent_or_whole(scene: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    before = scene.read_bytes()
    # Forked children begin at once, so that 20 of them take seconds.
    script = """
        from geot2t.io.checksums import verify

        def begin(add):
            worker = os.fork()
            if worker == 0:
                run("GTiff", add=add)
                os._exit(0)
            return worker

        start = time.perf_counter()
        assert os.waitpid(begin(0), 0)[1] == 0
        took = time.perf_counter() - start
        random.seed(11)
        seen = set()
        for trial in range(20):
            if trial % 2:
                for path in out.parent.iterdir():
                    path.unlink()
            worker = begin(trial)
            # Most of the moments of interest lie in the commit, at the end.
            time.sleep(took * (1.1 - random.random() ** 2))
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
            if out.exists():
                bad = [result for result in verify([out]) if not result.ok]
                assert not bad, bad
                with rasterio.open(out) as file:
                    off = file.read() - pixels
                assert (off == off.flat[0]).all(), "pixels of two runs"
            seen.add(out.exists())
        assert seen == {True, False}, seen
        run("GTiff")
    """
    done = child(script, scene, folder / "out.tif")
    assert done.returncode == 0, done.stderr
    assert scene.read_bytes() == before
    assert leftovers(folder) == []
    assert all(result.ok for result in verify([folder / "out.tif"]))


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_full_disk_is_an_error_at_every_fill_level(
    scene: Path, tmp_path: Path, driver: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    script = """
        run(sys.argv[3])
        names = sorted(path.name for path in out.parent.iterdir())
        whole = {path.name: path.read_bytes() for path in out.parent.iterdir()}
        largest = max(map(len, whole.values()))
        refused = 0
        for share in range(1, 12):
            # A limit on the size of a file fails the same writes as a full disk.
            limit = largest * share // 11 + share % 2
            worker = os.fork()
            if worker == 0:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
                try:
                    run(sys.argv[3], add=1)
                except Geot2tError as error:
                    assert "\\n" not in str(error)
                    print(error, flush=True)
                    os._exit(7)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
            now = {path.name: path.read_bytes() for path in out.parent.iterdir()}
            if code == 7:
                refused += 1
                assert now == whole, (share, sorted(now))
            else:
                assert code == 0, code
                with rasterio.open(out) as file:
                    assert (file.read() == pixels + 1).all(), share
                whole = now
        assert refused >= 8, refused
    """
    done = child(script, scene, folder / "out.tif", driver)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cannot write" in done.stdout or "did not read back" in done.stdout


def test_disk_that_is_really_full_leaves_the_old_file(scene: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("may not mount a small file system here")
    try:
        script = """
            import geot2t.io.publish as publish
            run("GTiff")
            publish.check_space = lambda *_: None  # the estimate would say no at once
            import geot2t.io.sink as sink
            sink.check_space = lambda *_: None
            for free in range(50_000, 4_000_000, 350_000):
                filler = out.parent / "filler"
                room = os.statvfs(out.parent)
                filler.write_bytes(bytes(max(room.f_bavail * room.f_frsize - free, 0)))
                before = {p.name: p.read_bytes() for p in out.parent.iterdir() if p != filler}
                try:
                    run("GTiff", add=1)
                    with rasterio.open(out) as file:
                        assert (file.read() == pixels + 1).all()
                    print("done", free)
                except Geot2tError as error:
                    print("refused", free, error)
                    after = {p.name: p.read_bytes() for p in out.parent.iterdir() if p != filler}
                    assert after == before
                filler.unlink()
        """
        done = child(script, scene, folder / "out.tif")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "refused 50000" in done.stdout
        assert "done" in done.stdout
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


def test_terminated_child_leaves_nothing_and_says_143(scene: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    script = """
        with open_outputs(scene, out) as outputs:
            assert len(list(out.parent.iterdir())) >= 4
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
    """
    done = child(script, scene, folder / "out.tif")
    assert done.returncode == 143, done.stderr
    assert list(folder.iterdir()) == []
