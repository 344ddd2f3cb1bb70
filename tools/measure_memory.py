"""Do the shipped weights draw hearts that they have seen? The audit of notebook 59 against the whole training set.

    python tools/measure_memory.py --run RUN [--drawn 64] [--held 300]      # about an hour on one core, most of it to make the training set again

A phantom is its seed, so the beats that the weights learnt from are made again, to the byte, and kept in RUN for the
next time. Half of the drawn beats start from one frame of a training beat, half from one of a heart that no training has
seen, all of them told the prompt's phase. Each is looked for among all training beats, its own film left out, and compared
with held-out real beats (notebook 59). And each is compared with the film that its prompt came from: were films remembered,
those of learnt hearts would be met better than those of unknown ones. Results go to nbs/measured/memory.json, the closest
pairs to nbs/images/memory.png.
"""
import argparse
from pathlib import Path

import numpy as np
import torch
from equipment import equipment
from joblib import Parallel, delayed

from echovdiff.core.files import write_json
from echovdiff.core.random import seeded
from echovdiff.phase.axis import phase_grid, unwarp
from echovdiff.phase.beat import Beat
from echovdiff.data.pool import Pool
from echovdiff.generate.generate import generate
from echovdiff.generate.prompt import read_prompt
from echovdiff.evaluate.protocol import HELD_OUT, machine_facts
from echovdiff.evaluate.memorization import (
    MemorizationVerdict, audit, closest_pairs, gist, loops, rms, set_beat, traits,
)

NBS = Path(__file__).parents[1] / 'nbs'


class Some:
    "The beats of a pool from one number on."
    def __init__(self, pool: Pool, first: int, n: int): self.pool, self.first, self.n = pool, first, n
    def __len__(self): return self.n
    def images(self, i: int): return self.pool.images(self.first+i)


def drawn(source: Pool, i: int) -> Beat:
    "A beat from one frame of beat `i`, at any phase."
    video, alpha, rate = set_beat(source, i), float(source.alpha[i]), float(source.heart_rate[i])
    at = int(torch.randint(len(video), (), generator=seeded(i, 59)))
    stages, _ = equipment(None)
    prompt = read_prompt(stages, video[at:at+1], alpha=alpha, heart_rate=rate, theta=float(phase_grid(len(video))[at]))
    made = generate(stages, prompt, ef=float(source.ef[i]), seed=i)
    return Beat(video=made.video, tau=unwarp(phase_grid(len(made)), alpha), alpha=alpha, heart_rate=rate, fps=len(made)*rate/60)


def to_own(made: list[Beat], source: Pool, describe) -> np.ndarray:
    "How far each drawn beat is from the film that its prompt came from."
    return np.array([rms(describe(loops([beat], [0])), describe(loops(source, [i]))).item() for i, beat in enumerate(made)])


def nearer(a: np.ndarray, b: np.ndarray) -> float:
    "How often one of a is smaller than one of b; .5 if there is no telling."
    return float((a[:, None] < b).mean() + .5*(a[:, None] == b).mean())


def interval(measure, *samples: np.ndarray, times: int = 1000) -> list[float]:
    "A measure of some samples, and its 95 % bootstrap interval."
    rng = np.random.default_rng(0)
    again = [measure(*(rng.choice(s, len(s)) for s in samples)) for _ in range(times)]
    return [float(measure(*samples)), *np.quantile(again, (.025, .975)).tolist()]


def told(verdict: MemorizationVerdict, half: int) -> dict:
    "What the search among all training beats found."
    row = lambda part: dict(median=verdict.distance[part].median().item(), flagged=int(verdict.flagged[part].sum()), nearest=verdict.index[part].tolist(), distance=verdict.distance[part].tolist())
    return dict(threshold=verdict.threshold, real_median=verdict.real.median().item(), real=verdict.real.tolist(), learnt=row(slice(half)), unknown=row(slice(half, None)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--run', type=Path, required=True, help='a folder to work in')
    parser.add_argument('--drawn', type=int, default=64, help='beats to draw, half of them from frames of training beats')
    parser.add_argument('--held', type=int, default=300, help='real beats that set the threshold')
    parser.add_argument('--workers', type=int, default=1)
    args = parser.parse_args()
    (stages, _), half = equipment(None), args.drawn//2
    data = stages.about('lvdm')['provenance']['data']
    train = Pool.build(args.run/'train', data['beats'], data['seed'], workers=args.workers)
    held = Pool.build(args.run/'held', half+args.held, HELD_OUT, workers=args.workers)
    made = Parallel(args.workers)(delayed(drawn)(source, i) for source in (train, held) for i in range(half))
    spaces = dict(pixels=gist, traits=traits(stages.pcdm))
    found = audit(made, train, Some(held, half, args.held), spaces, own=[*range(half)] + [-1]*half)
    own = {name: (to_own(made[:half], train, describe), to_own(made[half:], held, describe)) for name, describe in spaces.items()}
    closest_pairs(found['pixels'], made, train).savefig(NBS/'images/memory.png', dpi=60)
    write_json(NBS/'measured/memory.json', dict(weights=stages.name, machine=machine_facts(), training=data, drawn=args.drawn, held=args.held, spaces={name: dict(
        told(found[name], half), own=dict(learnt=own[name][0].tolist(), unknown=own[name][1].tolist(), learnt_nearer=interval(nearer, *own[name]))) for name in spaces}))


if __name__ == '__main__':
    main()
