"What a process that measures loads once. A module of its own, so that processes started by joblib can find it."
from functools import cache

import torch

from echovdiff.pcdm import PCDM
from echovdiff.pretrained import Stages, load
from echovdiff.referee import Referee, load_referee
from echovdiff.train import shipped


@cache
def equipment(folder: str | None) -> tuple[Stages, Referee]:
    "The stages that ship, and the referee."
    torch.set_num_threads(1)
    return load(), load_referee(folder)


@cache
def reader() -> PCDM:
    "Stage 1."
    torch.set_num_threads(1)
    return PCDM.from_folder(shipped()/'pcdm')
