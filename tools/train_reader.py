"""Train the stage 1 that reads: LV, myocardium and left atrium, of stills and loops.

    python tools/train_reader.py --out RUN             # hours on one core; a run that was broken off goes on
    torchrun --nproc_per_node 2 tools/train_reader.py --out RUN --part stills       # its longest part, on two

It learns from simulated hearts only (notebooks 16 to 18), in three parts. `stills`: masks, from single frames, each of
another heart. `shape`: the phase of a lone frame, from the shape of the masks that it has learnt to draw. `clips`: with its
eyes fixed, to compare the frames of whole beats. RUN/reader is what `load_reader` reads; its provenance tells of all parts.
With --begin it begins at another reader, whose provenance it continues.
"""
import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from echovdiff.core.random import seeded
from echovdiff.data.augment import shadow
from echovdiff.data.still_pool import StillPool, place_and_bend, still_batch
from echovdiff.models.stage import shipped
from echovdiff.models.frames import shape_numbers
from echovdiff.models.pcdm import PCDM, clip_batch, read
from echovdiff.training.trainer import fit, training_seconds
from echovdiff.training.pipeline import commit, untrained

STRUCTURES = 'lv', 'myocardium', 'la'
PARTS = 'stills', 'shape', 'clips'


def begin(start: Path) -> tuple[PCDM, list[dict]]:
    "Stage 1 with three masks, and what it has learnt so far; of older weights it takes over what fits."
    old, about = PCDM.from_folder(start), json.loads((start/'config.json').read_text())['provenance']
    if old.config.structures == STRUCTURES: return old, about['parts']
    new = untrained(lambda: PCDM(replace(old.config, structures=STRUCTURES)), 0)
    own = new.state_dict()
    new.load_state_dict(own | {k: v for k, v in old.state_dict().items() if own[k].shape == v.shape})
    return new, [dict(part='pcdm', **about)]


def learn_stills(pcdm: PCDM, pool: StillPool, args: argparse.Namespace) -> PCDM:
    "Masks, and whatever else one frame can be taught."
    batches = partial(still_batch, pool, args.size, args.seed)
    return fit(pcdm.focus(clips=False), batches, args.steps, args.out/'stills', args.rate, args.seed,
               ema=.998, resume=True, save_every=100)


@torch.no_grad()
def seen_stills(pcdm: PCDM, pool: StillPool, n: int, seed: int) -> tuple[Tensor, Tensor]:
    "Shape and true phase of `n` augmented stills: (n 10), (n)."
    numbers, theta = [], []
    for step in range(n//64):
        batch = still_batch(pool, 64, seed+1, step)
        masks = pcdm.structures(pcdm.encode(batch['video'])[0], 64).sigmoid()
        numbers.append(shape_numbers(masks)[:, 0])
        theta.append(batch['theta'][:, 0])
    return torch.cat(numbers), torch.cat(theta)


def learn_shape(pcdm: PCDM, pool: StillPool, args: argparse.Namespace) -> PCDM:
    "The phase of a lone frame."
    numbers, theta = seen_stills(pcdm, pool, args.shapes, args.seed)
    pcdm.shape.mean.copy_(numbers.mean(0))
    pcdm.shape.std.copy_(numbers.std(0))

    def batches(step: int) -> dict[str, Tensor]:
        i = torch.randint(len(theta), (512,), generator=seeded(args.seed, 4, step))
        return dict(shape=numbers[i, None], theta=theta[i, None])

    pcdm.requires_grad_(False).shape.requires_grad_(True)
    return fit(pcdm, batches, args.shape_steps, args.out/'shape', 1e-3, args.seed, ema=.99, resume=True)


def seen_beats(pcdm: PCDM, pool: StillPool, seed: int) -> dict[str, np.ndarray]:
    "What the encoder says of whole beats, each placed, lit and shadowed in its own way: what `clip_batch` reads."
    reps, area = [], []
    for i in range(len(pool)):
        g, video = seeded(seed, 3, i), torch.from_numpy(pool.video[i].copy()).float()/255
        gain, gamma = torch.rand(2, generator=g)
        video = place_and_bend(video[None], g)[0][:, None]          # the frames of a beat go the same way
        video = (video*(.75+.6*gain)).clamp(1e-4, 1)**(.6+.9*gamma)
        seen = read(pcdm, shadow(video[None], .3, g)[0])
        reps.append(seen['reps'].numpy())
        area.append(seen['area'].numpy())
    return dict(reps=np.stack(reps), area=np.stack(area), theta=pool.theta[:], alpha=pool.truth[:, 0])


def learn_clips(pcdm: PCDM, pool: StillPool, args: argparse.Namespace) -> PCDM:
    "The heads that compare frames."
    beats = seen_beats(pcdm, pool, args.seed)
    raw = torch.from_numpy(beats['reps']).flatten(0, 1)
    pcdm.calibrate(raw)
    beats['reps'] = (beats['reps']-raw.mean(0).numpy())/raw.std(0).numpy()
    batches = partial(clip_batch, beats, 48, args.seed)
    return fit(pcdm.focus(clips=True), batches, args.clip_steps, args.out/'clips', 1e-3, args.seed,
               ema=.995, resume=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='folder of the run')
    parser.add_argument('--part', choices=['all', *PARTS], default='all')
    parser.add_argument('--begin', type=Path, default=shipped()/'pcdm', help='the stage 1 to begin from')
    parser.add_argument('--stills', type=Path, help='a pool of stills that is there already; rendered into RUN if not')
    parser.add_argument('--beats', type=Path, help='a pool of beats that is there already')
    parser.add_argument('--hearts', type=int, nargs=2, default=(2600, 400), help='how many to render for each')
    parser.add_argument('--steps', type=int, default=3000, help='of stills')
    parser.add_argument('--size', type=int, default=48, help='stills of a step')
    parser.add_argument('--rate', type=float, default=8e-4)
    parser.add_argument('--shapes', type=int, default=12800, help='stills for the part shape')
    parser.add_argument('--shape-steps', type=int, default=2000)
    parser.add_argument('--clip-steps', type=int, default=2500)
    parser.add_argument('--seed', type=int, default=19)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pcdm, parts = begin(args.begin)
    stills = StillPool(args.stills) if args.stills else StillPool.build(args.out/'stills_pool', args.hearts[0], args.seed, 8, scattered=True)
    learn = dict(stills=(learn_stills, stills), shape=(learn_shape, stills), clips=(learn_clips, None))
    for part in PARTS if args.part == 'all' else [args.part]:
        how, pool = learn[part]
        if pool is None: pool = StillPool(args.beats) if args.beats else StillPool.build(args.out/'beats_pool', args.hearts[1], args.seed+1)
        pcdm = how(pcdm, pool, args)
        parts.append(dict(part=part, seconds=round(training_seconds(args.out/part)), data=pool.info, seed=args.seed, commit=commit()))
        steps = dict(stills=args.steps, shape=args.shape_steps, clips=args.clip_steps)[part]
        parts[-1] |= dict(steps=steps) | (dict(stills=args.size, rate=args.rate) if part == 'stills' else {})
        pcdm.save(args.out/'reader', dict(parts=parts), half=True)


if __name__ == '__main__': main()
