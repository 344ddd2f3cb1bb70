"""Several processes train one model: two on this machine, over gloo, as `torchrun` starts them on a cluster.

Each takes its share of every batch and of the noise; after every step they must hold the same weights to the last bit,
and together they follow the curve of a single process, as near as sums in another order allow.
"""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from echovdiff.core.files import write_tensors
from echovdiff.core.random import seeded
from echovdiff.phase.axis import phase_grid
from echovdiff.models.vrdm import VRDM, VRDMConfig
from echovdiff.training.trainer import fit, read_log
from safetensors.torch import load_file


def beats(step: int, b: int = 8, t: int = 12) -> dict:
    "Points on ellipses, whose width is the EF."
    g = seeded(7, step)
    ef = .2 + .6*torch.rand(b, 1, generator=g)
    theta = phase_grid(t)[None] + 6.28*torch.rand(b, 1, generator=g)
    return dict(reps=torch.stack([ef*theta.cos(), theta.sin()], -1), theta=theta, ef=ef[:, 0])


def work(folder: Path):
    "What each process does."
    torch.manual_seed(0)
    model = fit(VRDM(VRDMConfig.tiny()), beats, 150, folder, lr=3e-3, save_every=50)
    write_tensors(folder / f"rank{os.environ.get('RANK', 0)}.safetensors", model.state_dict())


def test_two_processes_hold_the_same_weights(tmp_path):
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", __file__, str(tmp_path)]
    done = subprocess.run(start, env=os.environ | {"ACCELERATE_USE_CPU": "true"}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    one, other = (load_file(tmp_path / f"rank{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)
    loss = read_log(tmp_path)["loss"]
    assert len(loss) == 3 and loss[-1] < .7*loss[0]     # one log, and they have learnt something
    work(tmp_path / "alone")                            # the same batches, in this process
    curve = read_log(tmp_path / "alone")["loss"]
    assert max(abs(a/b-1) for a, b in zip(loss, curve)) < 1e-3, (loss, curve)
    alone = load_file(tmp_path / "alone" / "rank0.safetensors")
    assert all(torch.allclose(one[name], alone[name], atol=1e-3) for name in one)


def train(out: Path, *launcher: str):
    "The command, by itself or under a launcher."
    command = ["train", "all", "--preset", "tiny", "--times", "2", "--out", str(out)]
    call = "import sys; from echovdiff.cli.main import main; sys.exit(main(sys.argv[1:]))"
    (out.parent / "call.py").write_text(call)
    done = subprocess.run([sys.executable, *launcher, str(out.parent / "call.py"), *command], env=os.environ | {"ACCELERATE_USE_CPU": "true"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_the_whole_command_shared_by_two(tmp_path):
    train(tmp_path / "one")
    train(tmp_path / "two", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    for stage in ("pcdm", "codec", "vrdm", "motion", "lvdm"):
        one, two = (load_file(tmp_path / run / "weights" / stage / "weights.safetensors") for run in ("one", "two"))
        assert one.keys() == two.keys() and all(torch.allclose(one[name].float(), two[name].float(), atol=2e-3, rtol=1e-2) for name in one), stage
    assert not [p.name for p in tmp_path.rglob(".*")]                   # nothing half made is left


if __name__ == "__main__": work(Path(sys.argv[1]))
