"""The same synthetic set, whoever makes it: one process that is killed and goes on, or two that share the films."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from echovdiff.datasets.doctor import diagnose
from echovdiff.cli.main import main

COMMAND = ["synthesize", "-n", "4", "--seconds", "1", "--frames", "8", "--steps", "1", "--seed", "5", "--out"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def start(out: Path, *launcher: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, *launcher, __file__, *COMMAND, str(out)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill_after_first_film(out: Path):
    "kill -9 the process as soon as a film is there."
    process = start(out)
    while not list(out.glob(".parts/[0-9]*")):
        assert process.poll() is None, process.stdout.read()[-2000:]
        time.sleep(.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "synthetic.json").exists()


@pytest.mark.slow
def test_killed_or_shared_it_is_the_same_set(tmp_path):
    kill_after_first_film(tmp_path / "killed")
    first = next((tmp_path / "killed").glob(".parts/[0-9]*/facts.json"))
    written = first.stat().st_mtime_ns
    assert main([*COMMAND, str(tmp_path / "killed")]) == 0
    assert max(f.stat().st_mtime_ns for f in (tmp_path / "killed").glob("Videos/*")) > written

    two = start(tmp_path / "shared", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    said, _ = two.communicate(timeout=300)
    assert two.returncode == 0, said[-2000:]
    assert said.count("wrote ") == 1                                # one of them speaks

    shared = contents(tmp_path / "shared")
    assert {name for name in shared if name.endswith(".avi")} == {f"Videos/synthetic_00000{i}.avi" for i in range(4)}
    assert shared == contents(tmp_path / "killed")
    assert {finding.level for finding in diagnose(tmp_path / "shared")} == {"good"}


if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
