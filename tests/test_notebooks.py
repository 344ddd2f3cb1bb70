"""Each notebook is one test: it runs from top to bottom, as a reader would run it.

The same as `nbdev-test`, with a name and a count for each notebook. It runs in a fork of its own, so that it meets
no leftovers of another, and what loads slowly is imported here once for all.
"""
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import diffusers.schedulers
import ipywidgets
import matplotlib.pyplot
import pytest
import scipy.signal
import torch
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.test import test_nb as run_notebook

ROOT = Path(__file__).parents[1]
CONFIG = get_config(ROOT)
NOTEBOOKS = sorted(path.resolve() for path in nbglob(CONFIG.nbs_path, as_path=True))
FORK = get_context("fork" if sys.platform == "linux" else "spawn")


def name(notebook: Path) -> str: return notebook.relative_to(CONFIG.nbs_path).with_suffix("").as_posix()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=name)
def test_notebook(notebook):
    with ProcessPoolExecutor(1, mp_context=FORK) as pool:
        run = pool.submit(run_notebook, notebook, skip_flags=CONFIG.tst_flags.split(), cell_timeout=CONFIG.cell_timeout)
        passed, seconds = run.result()
    assert passed, f"{notebook.name} stopped after {seconds:.0f} s; the cell and its traceback are in the captured stderr"
