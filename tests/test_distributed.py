"""Several processes that torchrun starts train as one process with all their windows does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rasterio.windows import Window
from stac_sample import cut

from geot2t import distributed, train
from geot2t.checkpoint import Model, load_model, save_model
from geot2t.critic import Critic, CriticConfig
from geot2t.errors import InputError
from geot2t.generator import Generator, GeneratorConfig
from geot2t.learner import TrainConfig

CONFIG = TrainConfig(steps=11, batch=1, seed=3)
"""What each of two processes is told; the game is played in the last third."""

LEFT = 8
"""Step at which a run is left, to be taken up again."""

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def few_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "HELD_BACK", 4)


def curve(run: train.Trainer) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Train; gives what the held-back windows say at step `LEFT`, and the losses of all steps."""
    torch.set_num_threads(1)
    check, losses = {}, []
    for batch, rng in run.batches():
        losses.append(run.train_step(batch, rng))
        if run.step == LEFT:
            check = run.held_back()
            run.save(check)
    return check, losses


def main() -> None:
    """What each of the processes does in the test below."""
    tiles, output, init = map(Path, sys.argv[1:])
    train.HELD_BACK = 4
    with distributed.joined(CPU) as device:
        assert device == CPU
        rank, count = distributed.place()
        assert count == 2
        assert distributed.is_first() == (rank == 0)
        assert distributed.gather({1 - rank: rank}) == [1, 0]
        config = replace(CONFIG, batch=CONFIG.batch * count)
        check, losses = curve(train.Trainer(tiles, output, config, device, init))
        output.with_name(f"rank{rank}.json").write_text(json.dumps([check, losses]))


def torchrun(*command: object) -> subprocess.CompletedProcess[str]:
    """Run in two processes; each line on stderr and stdout begins with the process's number."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--tee=3"]
    return subprocess.run(
        [*launcher, *map(str, command)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def tiles(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight dates of a corner of the sample."""
    folder = tmp_path_factory.mktemp("tiles")
    for path in sorted(sample.glob("????-??-??.tif"))[-8:]:
        for name in (path.name, f"{path.stem}_SCL.tif"):
            cut(sample / name, folder / name, Window(0, 0, 130, 160))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model so small that a step takes no time."""
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(token_dim=8, embed_dim=16, depth=1, heads=2))
    torch.nn.init.normal_(generator.noise.weight)  # 0 in a new one, to which all noise is alike
    torch.nn.init.normal_(generator.out[1].weight, std=0.01)
    critic = Critic(CriticConfig(token_dim=8, embed_dim=12, depth=1, heads=2))
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_model(path, Model(generator, critic, "small", "", {}, {"network": 1.0, "prior": 1.0}))
    return path


def test_two_processes_train_as_one_does(tiles, small, tmp_path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    output = two / "m.safetensors"
    done = torchrun(__file__, tiles, output, small)
    assert done.returncode == 0, done.stderr
    whole = replace(CONFIG, batch=2 * CONFIG.batch)
    run = train.Trainer(tiles, one / "m.safetensors", whole, CPU, small)
    check, losses = curve(run)
    assert {"error", "gradient", "critic", "game", "penalty"} == set(losses[8]) - {"likelihood"}
    for rank in (0, 1):
        found_check, found = json.loads((two / f"rank{rank}.json").read_text())
        for mine, theirs in zip(found, losses, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-5)
        assert found_check["ratio"] == pytest.approx(check["ratio"], rel=1e-5)
        assert found_check["factors"] == pytest.approx(check["factors"], rel=1e-4)
    assert {p.name for p in two.iterdir()} - {"rank0.json", "rank1.json"} == {
        "m.json", "m.safetensors", "m.state.json", f"m.state-{LEFT}.safetensors",
    }, "the first process wrote them, once"  # fmt: skip

    # The command goes on where they were left.
    command = ["train", "--tiles", tiles, "-o", output, "--init", small, "--steps", CONFIG.steps]
    command += ["--batch", CONFIG.batch, "--seed", CONFIG.seed, "--device", "cpu", "-v"]
    done = torchrun("-m", "geot2t", *command, "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"[default0]:{output}\n"
    assert f"| {CONFIG.steps}/{CONFIG.steps} " in done.stderr
    assert not [line for line in done.stderr.splitlines() if "default1" in line and "%|" in line]
    (row,) = [json.loads(line) for line in (two / "m.log.jsonl").read_text().splitlines()]
    assert row["step"] == CONFIG.steps
    for name in losses[LEFT]:
        mean, *later = [step[name] for step in losses[LEFT:] if name in step]
        for value in later:
            mean = 0.98 * mean + 0.02 * value
        assert row[name] == pytest.approx(mean, rel=1e-4)
    assert load_model(output).card["settings"]["batch"] == 2 * CONFIG.batch


def test_each_number_belongs_to_one_process(monkeypatch) -> None:
    every = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "place", lambda rank=rank: (rank, 3))
        mine = distributed.share(range(5, 17))
        assert {i % 3 for i in mine} == {rank}
        every += mine
    assert sorted(every) == list(range(5, 17))


def test_one_process_needs_no_other(monkeypatch) -> None:
    monkeypatch.setenv("RANK", "3")  # of something else than torchrun
    assert distributed.is_first()
    assert distributed.place() == (0, 1)
    assert list(distributed.share(range(2, 5))) == [2, 3, 4]
    assert distributed.gather({2: "c", 0: "a"}) == ["a", "c"]
    with distributed.joined(CPU) as device:
        assert device is CPU
    layer = torch.nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    before = layer.weight.grad.clone()
    distributed.average_gradients(layer)
    assert torch.equal(layer.weight.grad, before)


@pytest.mark.parametrize(
    ("device", "gpus", "said"),
    [("cuda:1", 8, "use cuda rather than cuda:1"), ("cuda", 1, "2 processes were started, and")],
)
def test_processes_without_a_gpu_each_are_told(monkeypatch, device, gpus, said) -> None:
    for name, value in {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(InputError, match=said), distributed.joined(torch.device(device)):
        pass


if __name__ == "__main__":
    main()
