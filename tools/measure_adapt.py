"""What do tracings buy when stage 1 is brought to a machine that it has never seen?

    python tools/measure_adapt.py [--seeds 1] [--minutes 1]      # about eight minutes a seed on an idle core

The machine is simulated (`looks.Machine`): training never saw its look. A user has 256 stills of 128 hearts, ED and ES of each,
of which 0, 4, 16, 64 or 256 are traced and of known phase; a fifth of the hearts is held out by the tool itself, as it is for every user.
Masks and phases are then measured on 60 other hearts. The start is the reader that ships. Results go to nbs/measured/adapt.json, which notebook 47 plots.
"""
import argparse
import math
import time
from dataclasses import replace
from pathlib import Path

import torch

from echovdiff.core.files import write_json
from echovdiff.core.random import seeded
from echovdiff.models.stage import shipped
from echovdiff.models.echofm import open_pcdm
from echovdiff.training.pipeline import commit
from echovdiff.training.degrade import Machine
from echovdiff.training.user_stills import STRUCTURES, Stills, hold_out, phantom_stills, to_bytes
from echovdiff.training.finetune import FineTuneConfig, fine_tune, still_accuracy
from echovdiff.training.adapt import keep_better, reps_moved

OUT = Path(__file__).parents[1] / 'nbs/measured/adapt.json'
COUNTS = 0, 4, 16, 64, 256


def user(hearts: int, seed: int) -> Stills:
    "ED and ES of some phantoms, as the machine shows them."
    stills = phantom_stills(hearts, seed, frames=2, structures=STRUCTURES)
    return replace(stills, video=to_bytes(Machine()(stills.video.float()/255, seeded(seed, 9))), frames=1)


def traced(stills: Stills, n: int, seed: int) -> Stills:
    "The same stills with `n` of them traced: both of a heart."
    hearts = torch.randperm(len(stills)//2, generator=seeded(seed, 3))[:n//2]
    known = torch.isin(stills.patient, hearts)
    return replace(stills, known=known[:, None].expand_as(stills.known), theta=torch.where(known, stills.theta, torch.nan))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, default=1)
    parser.add_argument('--minutes', type=float, default=1.)
    args = parser.parse_args()
    pcdm, others, rows = open_pcdm(shipped()/'pcdm'), user(60, 4711), []
    before = still_accuracy(pcdm, others)
    print(before, flush=True)
    tests = phantom_stills(16, 4713, frames=8, structures=STRUCTURES)
    for seed in range(args.seeds):
        config, mine = FineTuneConfig(minutes=args.minutes, seed=seed), user(128, 4712+10*seed)
        pool = phantom_stills(config.pool, 4714+10*seed, structures=STRUCTURES)
        for n in COUNTS:
            start = time.process_time()
            learn, held = hold_out(traced(mine, n, seed), seed)
            new, steps = fine_tune(pcdm, learn, pool, config, math.inf)
            kept, verdict, facts = keep_better(pcdm, new, held, tests)
            rows.append(dict(traced=n, seed=seed, steps=steps, verdict=verdict, others=still_accuracy(kept, others), **facts,
                             reps_moved=dict(user=reps_moved(kept, pcdm, others), phantoms=reps_moved(kept, pcdm, tests)), minutes=round((time.process_time()-start)/60, 2)))
            print(rows[-1], flush=True)
            write_json(OUT, dict(before=before, others=len(others), seeds=seed+1, steps=config.steps, rows=rows, commit=commit(), torch=torch.__version__))


if __name__ == '__main__': main()
