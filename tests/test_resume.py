"""A training that is killed with kill -9 and goes on: the same weights to the last bit, and the same log."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from echovdiff.core.files import write_tensors
from echovdiff.models.vrdm import VRDM, VRDMConfig
from echovdiff.training.trainer import fit, read_log
from safetensors.torch import load_file
from test_processes import beats


def work(folder: Path, resume: bool):
    "Train for 200 steps, a state every 50, and keep what came of it."
    torch.set_num_threads(1); torch.manual_seed(0)
    model = fit(VRDM(VRDMConfig.tiny()), beats, 200, folder, lr=3e-3, save_every=50, resume=resume)
    write_tensors(folder / "end.safetensors", model.state_dict())


def kill_after_a_state(folder: Path):
    process = subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log = folder / "log.jsonl"
    while not (folder / "state.safetensors").exists() or len(log.read_text().splitlines()) < 2:
        assert process.poll() is None, process.stdout.read()[-2000:]
        time.sleep(.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "end.safetensors").exists()


def test_killed_it_goes_on_bit_for_bit(tmp_path):
    work(tmp_path / "whole", resume=False)
    kill_after_a_state(tmp_path / "killed")
    work(tmp_path / "killed", resume=True)
    one, other = (load_file(tmp_path / run / "end.safetensors") for run in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    one, other = (read_log(tmp_path / run) for run in ("whole", "killed"))
    assert one["loss"] == other["loss"] and one["step"] == other["step"] == [50, 100, 150, 200]


if __name__ == "__main__": work(Path(sys.argv[1]), resume=False)
