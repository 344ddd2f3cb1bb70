"""Train the stage 1 that reads: LV, myocardium and left atrium, of stills and loops.

    python tools/train_reader.py --run RUN              # one core
    torchrun --nproc_per_node 2 tools/train_reader.py --run RUN --part stills; python tools/train_reader.py --run RUN

It learns from simulated hearts only (notebooks 16 to 18), in three parts: masks and the phase of single frames from stills,
each of another heart; the phase of a lone frame once more, from what the trained masks say (`frame head`); and with its eyes
fixed, to compare the frames of whole beats. A run that was broken off goes on. RUN/reader is what `load_reader` reads.
"""
import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from echovdiff.data import seeded, shadow
from echovdiff.pcdm import PCDM, clip_batch, read
from echovdiff.simulate import Pool, moved, relit, still_batch
from echovdiff.stages import commit, fresh
from echovdiff.train import fit, learnt, shipped

STRUCTURES = 'lv', 'myocardium', 'la'
SEED = 19


def begin(start: Path) -> PCDM:
    "Stage 1 with three masks; what fits of older weights is taken over."
    old = PCDM.from_folder(start)
    if old.config.structures == STRUCTURES: return old
    new = fresh(lambda: PCDM(replace(old.config, structures=STRUCTURES)), SEED)
    own = new.state_dict()
    new.load_state_dict(own | {k: v for k, v in old.state_dict().items() if own[k].shape == v.shape})
    return new


def stills(pcdm: PCDM, args: argparse.Namespace) -> PCDM:
    "Masks, and what one frame shows of its phase."
    pool = Pool.build(args.run/'stills_pool', args.hearts, SEED, frames=8, scattered=True)
    batches = partial(still_batch, pool, args.size, SEED)
    return fit(pcdm.focus(clips=False), batches, args.steps, args.run/'stills', args.rate, SEED,
               ema=.998, resume=True, save_every=100)


def seen_beats(pcdm: PCDM, pool: Pool) -> dict[str, np.ndarray]:
    "What the encoder says of whole beats, each placed, lit and shadowed in its own way: what `clip_batch` reads."
    reps, area = [], []
    for i in range(len(pool)):
        g, video = seeded(SEED, 3, i), torch.from_numpy(pool.video[i].copy()).float()/255
        frames = moved(video[None], g)[0][:, None]          # the frames of a beat alike: they are its channels
        frames = shadow(relit_alike(frames, g)[None], .3, g)[0]
        seen = read(pcdm, frames)
        reps.append(seen['reps'].numpy())
        area.append(seen['area'].numpy())
    return dict(reps=np.stack(reps), area=np.stack(area), theta=pool.theta[:], alpha=pool.truth[:, 0])


def relit_alike(frames: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    "Gain and gray scale of a whole beat."
    gain, gamma = (.75+.6*torch.rand(1, generator=g)), (.6+.9*torch.rand(1, generator=g))
    return (frames*gain).clamp(1e-4, 1)**gamma


def clips(pcdm: PCDM, args: argparse.Namespace) -> PCDM:
    "The heads that compare frames."
    pool = Pool.build(args.run/'beats_pool', args.beats, SEED+1)
    batches = partial(clip_batch, seen_beats(pcdm, pool), 48, SEED)
    return fit(pcdm.focus(clips=True), batches, args.clips, args.run/'clips', 1e-3, SEED, ema=.995, resume=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--run', type=Path, required=True)
    parser.add_argument('--part', choices=['all', 'stills'], default='all')
    parser.add_argument('--start', type=Path, default=shipped()/'pcdm', help='the stage 1 to begin from')
    parser.add_argument('--hearts', type=int, default=2600, help='hearts of the stills')
    parser.add_argument('--steps', type=int, default=3000)
    parser.add_argument('--size', type=int, default=48, help='stills of a step')
    parser.add_argument('--rate', type=float, default=8e-4)
    parser.add_argument('--beats', type=int, default=600, help='whole beats for the second part')
    parser.add_argument('--clips', type=int, default=2500, help='steps of the second part')
    args = parser.parse_args()
    torch.set_num_threads(1)
    pcdm = stills(begin(args.start), args)
    if args.part == 'stills': return
    print('stills learnt', learnt(args.run/'stills'), 's')


if __name__ == '__main__': main()
