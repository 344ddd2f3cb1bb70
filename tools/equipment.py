"What a process that measures loads once. A module of its own, so that processes started by joblib can find it."
from functools import cache

import torch

from echovdiff.models.stage import shipped
from echovdiff.models.pcdm import PCDM
from echovdiff.training.pretrained import Stages, load_weights
from echovdiff.evaluate.scorer import Scorer, load_scorer


@cache
def equipment(folder: str | None) -> tuple[Stages, Scorer]:
    "The stages that ship, and the scorer."
    torch.set_num_threads(1)
    return load_weights(), load_scorer(folder)


@cache
def reader() -> PCDM:
    "Stage 1."
    torch.set_num_threads(1)
    return PCDM.from_folder(shipped()/'pcdm')
