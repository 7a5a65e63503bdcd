"""Many scenes on many workers come out as one after the other, whatever happens on the way."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from batch_models import POISON, Deadly, Mean
from click.testing import CliRunner, Result
from distributed import Client
from rasterio.windows import Window
from stac_sample import SCENE, item

from geot2t import batch as package
from geot2t.batch import batch, cluster, lines, list_jobs
from geot2t.batch.cluster import local_client
from geot2t.batch.journal import DONE, FAILED, KEPT, Journal
from geot2t.cli import main
from geot2t.errors import BusyError, Geot2tError, InputError
from geot2t.grid import Box
from geot2t.io.checksums import verify
from geot2t.jobs import inpaint
from geot2t.request import Request

CHEAP = {"method": "linear", "window": 64, "overlap": 16}
CLI = ["--method", "linear", "--window", "64", "--overlap", "16"]
SERIES = "2024-05-0[12].tif"
SIDE = 64


def write(path: Path, seed: int, shape: tuple[int, int] = (SIDE, SIDE), gap: bool = True) -> Path:
    """A tiny scene of two bands, some of its pixels nodata."""
    rng = np.random.default_rng(seed)
    values = rng.integers(500, 4000, (2, *shape)).astype("uint16")
    if gap:
        row, col = rng.integers(0, 40, 2)
        values[:, row : row + shape[0] // 3, col : col + 20] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=shape[0], width=shape[1], count=2, dtype="uint16",
        nodata=0, crs="EPSG:32632", transform=rasterio.Affine(10, 0, 6e5, 0, -10, 5e6),
    ) as file:  # fmt: skip
        file.scales = (1e-4, 1e-4)
        file.write(values)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty dates, each to be filled from the first two."""
    folder = tmp_path_factory.mktemp("place")
    for i in range(20):
        write(folder / f"2024-05-{i + 1:02}.tif", i)
    return folder


@pytest.fixture(scope="module")
def serial(place: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``geot2t inpaint`` makes of each of them."""
    folder = tmp_path_factory.mktemp("serial")
    for scene in sorted(place.glob("*.tif")):
        inpaint(scene, folder / f"{scene.stem}_filled.tif", series=place / SERIES, **CHEAP)
    return state(folder)


@pytest.fixture(scope="module")
def threads() -> Iterator[Client]:
    with Client(processes=False, n_workers=1, threads_per_worker=4, dashboard_address=None) as c:
        yield c


@pytest.fixture(scope="module")
def one() -> Iterator[Client]:
    with cluster.hushed(), local_client(1, "auto", ("7",), 1) as client:
        yield client


@pytest.fixture(scope="module")
def two() -> Iterator[Client]:
    with cluster.hushed(), local_client(2, "auto", (), 3) as client:
        yield client


def state(folder: Path) -> dict[str, Any]:
    """All that was written for each scene, but for when."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*_filled*.tif"):
        found[path.name] = path.read_bytes()
    for path in folder.rglob("*_filled.json"):
        item = json.loads(path.read_text())
        for name in ("created", "updated", "geot2t:checksum", "processing:datetime"):
            item["properties"].pop(name, None)
        item.pop("links")  # relative to the folder
        found[path.name] = item
    return found


def states(found: Any) -> list[str]:
    return [entry.state for entry in found.scenes]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["batch", *map(str, arguments)])


@pytest.mark.parametrize("pool", ["threads", "one", "two"])
def test_workers_write_what_a_single_run_writes(
    pool: str, place: Path, serial: dict[str, Any], tmp_path: Path, request: Any
) -> None:
    client = request.getfixturevalue(pool)
    found = batch(
        f"{place}/2024-05-0*.tif", tmp_path, series=[place / SERIES], scheduler=client, **CHEAP
    )
    assert states(found) == [DONE] * 9
    assert state(tmp_path) == {k: v for k, v in serial.items() if k.startswith("2024-05-0")}
    assert sorted(p.name for p in tmp_path.iterdir() if "_filled" not in p.name) == [
        "batch.json", "items.json", "journal.jsonl",
    ]  # fmt: skip
    assert len(json.loads((tmp_path / "items.json").read_text())["features"]) == 9


def test_each_process_has_a_gpu_and_a_thread_of_its_own(one: Client) -> None:
    (seen,) = one.run(lambda: dict(os.environ)).values()
    assert seen["CUDA_VISIBLE_DEVICES"] == "7"
    assert seen["OMP_NUM_THREADS"] == seen["GDAL_NUM_THREADS"] == str(os.cpu_count())


def test_workers_keep_memory_for_the_next_array(one: Client) -> None:
    (seen,) = one.run(lambda: dict(os.environ)).values()
    assert int(seen["MALLOC_TRIM_THRESHOLD_"]) >= int(seen["MALLOC_MMAP_THRESHOLD_"]) >= 32 << 20


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dates of a place of three rows of blocks, and one without any gap."""
    folder = tmp_path_factory.mktemp("tall")
    for i, gap in enumerate((True, True, False)):
        write(folder / f"2024-05-0{i + 1}.tif", i, (700, 90), gap=gap)
    return folder


@pytest.mark.parametrize("options", [CHEAP, {**CHEAP, "method": "auto", "model": Mean()}])
@pytest.mark.parametrize(
    "more", [{"samples": 2}, {"driver": "COG"}, {"max_error": 1e-6, "error": False}]
)
def test_a_scene_cut_into_bands_is_the_same(
    tall: Path, tmp_path: Path, threads: Client, options: dict[str, Any], more: dict[str, Any]
) -> None:
    for scene in sorted(tall.glob("*.tif")):
        inpaint(scene, tmp_path / f"{scene.stem}_filled.tif", series=tall, **options, **more)
    out = tmp_path / "out"
    found = batch(tall, out, series=[tall], scheduler=threads, rows=300, **options, **more)
    assert [(e.state, e.bands) for e in found.scenes] == [(DONE, 2)] * 3
    cut = state(out)
    shutil.rmtree(out)
    assert cut == state(tmp_path)


def test_bands_of_a_run_that_was_cut_off_are_used(
    tall: Path, tmp_path: Path, threads: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = tall / "2024-05-01.tif"
    options = {"series": [tall], "scheduler": threads, "rows": 256, **CHEAP}
    monkeypatch.setattr(package.work, "reading_part", lambda _: 1 / 0)
    assert states(batch(scene, tmp_path, **options)) == [FAILED]
    parts = sorted((tmp_path / ".parts").rglob("*.gz"))
    assert len(parts) == 3
    monkeypatch.undo()
    # One is damaged, and found to be so: nothing wrong is written, and the next run mends it.
    parts[0].write_bytes(parts[0].read_bytes()[:-20])
    before = [p.stat().st_mtime_ns for p in parts[1:]]
    found = batch(scene, tmp_path, **options)
    assert "is damaged" in found.scenes[0].error
    assert [p.stat().st_mtime_ns for p in parts[1:]] == before
    assert states(batch(scene, tmp_path, **options)) == [DONE]
    assert not (tmp_path / ".parts").exists()


def test_only_what_is_missing_or_changed_is_done_again(
    place: Path, tmp_path: Path, threads: Client
) -> None:
    series, out = tmp_path / "series", tmp_path / "out"
    for name in ("2024-05-01.tif", "2024-05-02.tif", "2024-05-03.tif"):
        series.mkdir(exist_ok=True)
        shutil.copy(place / name, series)
    scenes = f"{series}/2024-05-0[12].tif"

    def again(**more: Any) -> list[str]:
        given = {"series": [series / "2024-05-03.tif"], **CHEAP, **more}
        return states(batch(scenes, out, scheduler=threads, **given))

    assert again() == [DONE, DONE]
    written = state(out)
    assert again() == [KEPT, KEPT]
    (out / "2024-05-01_filled_error.tif").unlink()
    assert again() == [DONE, KEPT]
    assert state(out) == written
    write(series / "2024-05-02.tif", 99)
    assert again() == [KEPT, DONE]
    assert again(max_distance=7) == [DONE, DONE]
    assert again(max_distance=7) == [KEPT, KEPT]
    assert again(max_distance=7, series=[series]) == [DONE, DONE]
    write(series / "2024-05-09.tif", 9)  # joins the series
    assert again(max_distance=7, series=[series]) == [DONE, DONE]
    write(series / "2024-05-01_mask.tif", 3)
    assert again(max_distance=7, series=[series])[0] == DONE


def test_a_file_that_no_batch_wrote_is_not_replaced(
    place: Path, tmp_path: Path, threads: Client
) -> None:
    mine = tmp_path / "2024-05-01_filled.tif"
    mine.write_text("mine")
    for _ in range(2):  # having failed on it makes it nobody's
        found = batch(place / "2024-05-01.tif", tmp_path, scheduler=threads, **CHEAP)
        assert found.scenes[0].error == f"{mine} exists; pass --overwrite to replace it"
        assert mine.read_text() == "mine"
    found = batch(place / "2024-05-01.tif", tmp_path, scheduler=threads, overwrite=True, **CHEAP)
    assert states(found) == [DONE]


def test_a_journal_with_a_torn_line_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    entry = package.Entry("a", "a_filled.tif", DONE, key="k", methods=("linear",), files={"a": 1})
    with Journal(path) as journal:
        journal.add(entry)
    path.write_bytes(path.read_bytes() + b'{"scene": "b", "outp')
    with Journal(path) as journal:
        assert journal.last == {"a_filled.tif": entry}
        journal.add(package.Entry("c", "c_filled.tif", FAILED))
    with Journal(path) as journal:
        assert list(journal.last) == ["a_filled.tif", "c_filled.tif"]
        assert journal.owned == {"a_filled.tif"}
    path.write_text("something\nelse\n")
    with pytest.raises(InputError, match="is no journal of a batch"):
        Journal(path)


@pytest.mark.parametrize(
    ("side", "pieces", "rows", "more", "heights"),
    [
        (4096, 8, None, {}, [1024] * 4),  # no lower than windows make worth while
        (9000, 3, None, {}, [3072, 3072, 2856]),  # whole blocks
        (9000, 1, None, {}, [9000]),  # enough scenes for all workers
        (4000, 8, None, {}, [4000]),  # quick enough
        (9000, 3, None, {"adapt": 5}, [9000]),  # each band would learn
        (1200, 1, 500, {}, [512, 512, 176]),
        (9000, 9, 0, {}, [9000]),
    ],
)
def test_scenes_are_cut_where_workers_would_be_idle(
    side: int, pieces: int, rows: int | None, more: dict[str, Any], heights: list[int]
) -> None:
    job = package.Job("a", Path("a"), Path("b"))
    order = package.work.Order(job, Request(**more), False, None, Path("c"), pieces, rows)
    found = package.work._bands(Box(0, 0, side, side), 512, order)
    assert [band.height for band in found] == heights


# What ends processes


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "geot2t", "batch", *map(str, arguments)]


def until(ready: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_run_is_gone_on_with(
    place: Path, serial: dict[str, Any], tmp_path: Path, two: Client
) -> None:
    journal = tmp_path / "journal.jsonl"
    given = (f"{place}/*.tif", "--series", place / SERIES, "-o", tmp_path, "--workers", 1, *CLI)
    with subprocess.Popen(command(*given), stderr=subprocess.PIPE) as child:
        until(lambda: journal.exists() and journal.read_text().count('"done"') >= 3)
        child.kill()
    done = journal.read_text().count('"done"')
    assert 3 <= done < 20, "the kill came too late to show anything"
    result = run(*given[:5], "--scheduler", two.scheduler.address, "--json", *CLI)
    assert result.exit_code == 0, result.output
    # What the killed run had finished but not written down is done again.
    assert json.loads(result.stdout)["summary"] == {"done": 20 - done, "kept": done, "failed": 0}
    assert state(tmp_path) == serial
    assert all(r.ok for r in verify(tmp_path.glob("*_filled.tif")))


def test_ctrl_c_leaves_nothing_half_written(place: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "if __name__ == '__main__':\n"
        "    from batch_models import Slow\n"
        "    from geot2t import batch\n"
        "    from geot2t.cli import main\n"
        "    slow, run = {'model': Slow(), 'method': 'auto'}, batch.batch\n"
        "    batch.batch = lambda *given, **options: run(*given, **(options | slow))\n"
        "    main(sys.argv[1:])\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    out = tmp_path / "out"
    arguments = [
        "batch",
        f"{place}/*.tif",
        "--series",
        str(place),
        "-o",
        str(out),
        "--workers",
        "1",
    ]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(script), *arguments, *CLI], env=env, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:  # fmt: skip
        until(lambda: len(list(out.glob(".*.part-*"))) > 0)
        begun = time.monotonic()
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all of its processes
        assert child.wait(30) == 130
        assert time.monotonic() - begun < 15
        said = child.stderr.read()
    assert said == b"\nInterrupted; nothing half-written was left.\n"
    assert not [p for p in out.iterdir() if p.name.startswith(".")]
    assert all(r.ok for r in verify(out.glob("*_filled.tif")))


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_scenes_survive_workers_that_are_killed(
    place: Path, serial: dict[str, Any], tmp_path: Path, two: Client
) -> None:
    rng, over = random.Random(4), threading.Event()
    killed = []

    def kill() -> None:
        while not over.wait(rng.uniform(0.3, 1.5)) and len(killed) < 2:
            process = rng.choice(list(two.cluster.workers.values())).process
            if process is not None and process.pid:
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)

    hand = threading.Thread(target=kill)
    hand.start()
    try:
        found = batch(place, tmp_path, series=[place / SERIES], scheduler=two, **CHEAP)
    finally:
        over.set()
        hand.join()
    assert killed
    assert states(found) == [DONE] * 20
    assert state(tmp_path) == serial
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_scene_that_kills_its_workers_is_given_up_alone(tmp_path: Path, one: Client) -> None:
    scenes = tmp_path / "scenes"
    for i in range(3):
        write(scenes / f"2024-05-0{i}.tif", i)
    with rasterio.open(scenes / "2024-05-01.tif", "r+") as file:
        values = file.read()
        values[values > 0] = round(POISON * 1e4)
        file.write(values)
    said: list[str] = []
    options = {"model": Deadly(), "window": 64, "overlap": 16}
    found = batch(scenes, tmp_path / "out", scheduler=one, say=said.append, **options)
    assert states(found) == [DONE, FAILED, DONE]
    assert found.failed == 1
    poison = found.scenes[1]
    assert poison.error.startswith("each worker that tried it died")
    assert "is tried alone in the end" in "\n".join(said)
    assert said[-1] == f"failed: {poison.scene}: {poison.error}"
    assert not list((tmp_path / "out").glob(".2024*"))


# What is asked for


def test_a_failed_scene_does_not_stop_the_others(
    place: Path, tmp_path: Path, threads: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "remote_client", lambda *_: None)
    listed = tmp_path / "scenes.csv"
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0nothing")
    listed.write_text(
        "scene, series, output\n"
        f"{place}/2024-05-01.tif, {place}/2024-05-02.tif; {place}/2024-05-03.tif,\n"
        "broken.tif,,\n"
        "\n"
        f"{place}/2024-05-02.tif,,sub/two.tif\n"
        "nowhere.tif,,\n"
    )
    address = threads.scheduler.address
    monkeypatch.undo()
    result = run(listed, "-o", tmp_path / "out", "--scheduler", address, *CLI)
    assert result.exit_code == 3, result.output
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["scene", "state", "gap", "filled", "by", "seconds"]
    assert [row.split()[1] for row in rows[:4]] == ["filled", "failed", "filled", "failed"]
    assert rows[-1].startswith("4 scenes: 2 filled, 0 kept, 2 failed; mean gap ")
    assert f"Note: failed: {broken}" in result.stderr
    assert f"Note: failed: {tmp_path}/nowhere.tif" in result.stderr
    out = tmp_path / "out"
    assert (out / "2024-05-01_filled.tif").exists()
    assert (out / "sub" / "two_quality.tif").exists()
    report = json.loads((out / "batch.json").read_text())
    assert report["summary"] == {"done": 2, "kept": 0, "failed": 2}
    assert report["scenes"][0]["methods"] == ["linear", "linear"]
    assert 0 < report["scenes"][0]["gap_fraction"] < 1
    assert report["scenes"][1]["error"]
    items = json.loads((out / "items.json").read_text())["features"]
    assert {i["assets"]["filled"]["href"] for i in items} == {
        "./2024-05-01_filled.tif", "./sub/two.tif",
    }  # fmt: skip
    serial = tmp_path / "one.tif"
    inpaint(place / "2024-05-01.tif", serial, series=[place / f"2024-05-0{i}.tif" for i in (2, 3)],
            **CHEAP)  # fmt: skip
    assert serial.read_bytes() == (out / "2024-05-01_filled.tif").read_bytes()


def test_a_pattern_keeps_the_folders_that_it_runs_through(place: Path, tmp_path: Path) -> None:
    for tile in ("A", "B"):
        shutil.copytree(place, tmp_path / "tiles" / tile)
    found = list_jobs(
        f"{tmp_path}/tiles/*/2024-05-0[12].tif",
        tmp_path / "out",
        series=["{folder}", Path("/elsewhere/{stem}/*.tif")],
        cloud_mask=Path("/masks/{stem}_clouds.tif"),
    )
    out = tmp_path / "out"
    assert [job.output for job in found] == [
        out / tile / f"2024-05-0{i}_filled.tif" for tile in "AB" for i in (1, 2)
    ]
    assert found[2].series == (tmp_path / "tiles" / "B", Path("/elsewhere/2024-05-01/*.tif"))
    assert found[2].cloud_mask == Path("/masks/2024-05-01_clouds.tif")


def test_items_of_a_collection_are_filled_from_each_other(
    sample: Path, tmp_path: Path, threads: Client
) -> None:
    days = ["2022-06-02", SCENE, "2022-06-12"]
    features = [item(sample, tmp_path, day, Window(100, 90, 64, 64)) for day in days]
    items, alone = tmp_path / "items.json", tmp_path / "item.json"
    items.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    alone.write_text(json.dumps(features[1]))
    out = tmp_path / "out"
    found = batch(items, out, scheduler=threads, **CHEAP)
    assert states(found) == [DONE] * 3
    one = list_jobs(items, out)[1]
    assert one.label == f"{items}#S2_32TPS_{SCENE}"
    serial = tmp_path / one.output.name
    inpaint(alone, serial, series=items, **CHEAP)
    assert serial.read_bytes() == one.output.read_bytes()
    # Another series may be named, and one item is not its own.
    assert {job.series for job in list_jobs(items, out, series=["other"])} == {
        (Path("other").absolute(),)
    }
    assert list_jobs(alone, out)[0].series == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scene,seires\na.tif,b\n", "has the column 'seires'; there are scene, series, cloud_mask"),
        ("series\nb\n", "has no column 'scene'"),
        ("scene,output\na.tif,a.png\n", "line 2: the output is a GeoTIFF: name it a.tif"),
        ("scene\na.tif,b.tif\n", "line 2 has more fields than there are columns"),
        ("scene,output\na.tif,\n,b.tif\n", "line 3 names no scene"),
        ("scene\nx/a.tif\ny/a.tif\n", "would both write .*a_filled.tif; give them outputs"),
        ("scene,output\na.tif,x.tif\nb.tif,x_error.tif\n", "would both write .*x_error.tif"),
        ("scene\n", "there is no scene in"),
        ("", "has no column 'scene'"),
        ('scene\n"a.tif', "cannot be read: unexpected end of data"),
        ("scene\n\xff.tif", "cannot be read: .*utf-8"),
    ],
)
def test_what_is_wrong_with_a_list_is_said_in_a_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "scenes.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        list_jobs(path, tmp_path)
    result = run(path, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none*.tif"], 1, "no scene matches"),
        (["none.tif"], 1, "none.tif does not exist"),
        (["https://example.org/items.json"], 1, "is an address: save the item collection"),
        (["{}", "--memory-limit", "much"], 1, "no memory limit 'much'; give it like 4GiB"),
        (["{}", "--scheduler", "tcp://127.0.0.1:1"], 1, "no scheduler answers at tcp://127"),
        (["{}", "--method", "magic"], 2, "'magic' is not one of"),
        (["{}", "--workers", "0"], 2, "0 is not in the range"),
        (["{}", "--collections", "a"], 2, "go with --stac"),
    ],
)
def test_what_cannot_be_begun_is_said_in_a_line(
    place: Path, tmp_path: Path, arguments: list[str], status: int, message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(cluster, "_SECONDS", 0.2)
    scenes = [a.format(place / "2024-05-01.tif") for a in arguments]
    result = run(*CLI, *scenes, "-o", tmp_path / "out")
    assert result.exit_code == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_second_run_is_kept_away(place: Path, tmp_path: Path, threads: Client) -> None:
    seen: list[Exception] = []

    def second(_done: float, _all: float) -> None:
        if not seen:
            with pytest.raises(BusyError, match="is being written by another run") as caught:
                batch(place, tmp_path, scheduler=threads, **CHEAP)
            seen.append(caught.value)

    batch(place / "2024-05-01.tif", tmp_path, scheduler=threads, progress=second, **CHEAP)
    assert seen


def test_workers_must_have_this_version_and_see_the_folder(
    place: Path, tmp_path: Path, threads: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Geot2tError, match=r"cannot write into .*: it must be on storage"):
        cluster.check_workers(threads, tmp_path / "nowhere")
    monkeypatch.setattr(cluster, "__version__", "7.0")
    with pytest.raises(Geot2tError, match=r"has geot2t .*, and this is 7\.0"):
        batch(place, tmp_path, scheduler=threads, **CHEAP)


def test_gpus_are_those_that_the_user_leaves_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    from geot2t import model

    monkeypatch.setattr(model, "count_gpus", lambda _: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cluster.gpus_of("auto") == ["0", "1", "2"]
    assert cluster.gpus_of("cuda:1") == ["1"]
    assert cluster.gpus_of("cpu") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-8,2")
    assert cluster.gpus_of("cuda") == ["5", "GPU-8", "2"]
    assert cluster.gpus_of("cuda:1") == ["GPU-8"]


def test_a_long_table_lists_what_failed_only() -> None:
    entries = [
        package.Entry(f"/a/{i}.tif", f"{i}", FAILED if i % 10 == 0 else DONE, gap=0.25, error="no")
        for i in range(100)
    ]
    table = lines(entries, 61)
    assert [row.split()[0] for row in table[1:11]] == [f"{i}.tif" for i in range(0, 100, 10)]
    assert table[-1] == "100 scenes: 90 filled, 0 kept, 10 failed; mean gap 25.0 %; 61 s"
