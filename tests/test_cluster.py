"The same store, whoever makes it: this machine, or a Dask cluster that loses a worker in the middle."
import os
import signal
import threading
import time
from pathlib import Path

import pytest

distributed = pytest.importorskip("distributed", reason="no Dask: pip install 'echovdiff[cluster]'")

from echovdiff.datasets import prepare
from echovdiff.core.random import seeded
from echovdiff.datasets.mock import Film, write_echonet


def contents(store: Path) -> dict[str, bytes]:
    return {str(f.relative_to(store)): f.read_bytes() for f in sorted(store.rglob("*")) if f.is_file()}


def kill_after_first_part(cluster, store: Path, killed: list):
    "kill -9 the process of one of the workers as soon as a part is there."
    victim = next(iter(cluster.workers.values())).process.process.pid
    while not list(store.glob("parts/*/[0-9]*")): time.sleep(.02)
    os.kill(victim, signal.SIGKILL)
    killed.append(victim)


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "FILMS", 2)
    write_echonet(tmp_path / "set", [Film.from_phantom(seeded(67, i), name=f"0X{i:04X}", seconds=2.) for i in range(12)])
    prepare.prepare(tmp_path / "set", tmp_path / "here", workers=1)
    killed = []
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=tmp_path / "dask") as cluster:
        killer = threading.Thread(target=kill_after_first_part, args=(cluster, tmp_path / "there", killed))
        killer.start()
        store = prepare.prepare(tmp_path / "set", tmp_path / "there", scheduler=cluster.scheduler_address)
        killer.join(30)
    assert killed and len(store) >= 12
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_nobody_answers(tmp_path):
    write_echonet(tmp_path / "set", [Film.from_phantom(seeded(67, 0), name="0X0", seconds=2.)])
    with pytest.raises(ValueError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        prepare.prepare(tmp_path / "set", tmp_path / "s", scheduler="tcp://127.0.0.1:9")
