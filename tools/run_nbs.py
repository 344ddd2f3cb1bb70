"""Run notebooks in a real kernel and store their outputs: python tools/run_nbs.py nbs/00_phase.ipynb ...

Unlike `nbdev-test --save` this stores what JupyterLab would store (small plotly figures, widget state), and unlike
`nbconvert --execute` it leaves out the cells that nbdev leaves out. The result is as `nbdev-clean` would leave it.
"""
import json
import os
import re
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")   # inherited by the kernel: one thread is faster beside other work

import nbformat
from fastcore.nbio import dict2nb
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbdev.clean import nbdev_clean
from nbdev.config import get_config


def is_run(
    cell: dict,        # a notebook cell
    skip: set[str],    # nbdev flags, such as `notest` and `slow`
) -> bool:             # whether the cell is run
    "Only code cells are run, and not those marked `eval: false` or with a flag of `skip`."
    if cell["cell_type"] != "code": return False
    directives = dict2nb(cells=[dict(cell)], metadata={}).cells[0].directives
    return not skip & set(directives) and str(directives.get("eval", "")).lower() != "false"


class Client(NotebookClient):
    "An nbclient that leaves out the cells nbdev leaves out."
    async def async_execute_cell(self, cell, cell_index, *args, **kwargs):
        if not is_run(cell, set(get_config().tst_flags.split())): return cell
        return await super().async_execute_cell(cell, cell_index, *args, **kwargs)


def forget_unseen(nb: dict):
    "Of the widgets' state keep what a stored output shows, and what that is made of."
    text = json.dumps([cell.get("outputs", []) for cell in nb.cells])
    stored = nb.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    seen, more = {}, [name for name in stored if f'"{name}"' in text]
    while more:
        seen |= {name: stored[name] for name in more}
        inside = set(re.findall(r"IPY_MODEL_(\w+)", json.dumps(seen)))
        more = [name for name in stored if name in inside - seen.keys()]
    for name in stored.keys() - seen.keys(): del stored[name]


def join_streams(nb: dict):
    "What a cell prints in several breaths is one text, as long as nothing else comes between."
    for cell in nb["cells"]:
        outputs = []
        for out in cell.get("outputs", []):
            same = outputs and out["output_type"] == outputs[-1]["output_type"] == "stream" and out["name"] == outputs[-1]["name"]
            if same: outputs[-1]["text"] = "".join(outputs[-1]["text"]) + "".join(out["text"])
            else: outputs.append(out)
        if outputs: cell["outputs"] = outputs


def run(path: Path):
    "Run the notebook at `path` and store its outputs; an error leaves the file as it was."
    start, nb = time.time(), nbformat.read(path, 4)
    for cell in nb.cells:
        if cell.cell_type == "code": cell.outputs = []
    nb.metadata.pop("widgets", None)
    Client(nb, timeout=get_config().cell_timeout, kernel_name="python3", record_timing=False,
           resources={"metadata": {"path": str(path.parent)}}).execute()
    forget_unseen(nb)
    join_streams(nb)
    nbformat.write(nb, path)
    nbdev_clean.__wrapped__(str(path))
    print(f"{path}: {time.time() - start:.1f} s, {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    if len(sys.argv) < 2: sys.exit(__doc__)
    for name in sys.argv[1:]:
        try: run(Path(name))
        except CellExecutionError as error: sys.exit(f"{name}: {error}")
