"""Teach the stage 1 that ships to see through shadows, while its representations stay where they were.

    python tools/refine_pcdm.py --run RUN [--steps 1900] [--size 24]     # about 40 minutes on one core; a run that was broken off goes on

Stages 2 and 3 speak the language of the representations, so a new one would mean to train them all anew. Instead the old
stage 1 looks at the clear picture and the new one at the same picture with a wedge of it in the dark: mask and phase are
learnt as ever, and the representation of the shadowed frame shall be that of the clear one. Then the heads that compare
frames go on for a while on what the new encoder says of whole beats, half of them in shadow. RUN/pcdm is what `load` reads,
with the provenance of all trainings; a new training (`echovdiff train pcdm`) has shadows from the start and does not need this.
"""
import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from echovdiff.core.random import BatchRandom, seeded
from echovdiff.phase.axis import phase_grid
from echovdiff.data.pool import Pool, read_loop
from echovdiff.data.augment import augment, batch, shadow
from echovdiff.models.stage import Stage, shipped
from echovdiff.models.pcdm import PCDM, clip_batch, frame_losses, read
from echovdiff.training.trainer import fit
from echovdiff.training.pipeline import commit

WEIGHT = 4.  # of the distance to the old representation
CLIPS = dict(beats=480, steps=500, clips=32, rate=3e-4)  # of the second part


class Refined(Stage):
    "A stage 1 in training, beside the frozen one that it must agree with."

    def __init__(self, pcdm: PCDM):
        super().__init__()
        self.pcdm, self.old = pcdm.focus(clips=False), PCDM(pcdm.config).requires_grad_(False)
        self.old.load_state_dict(pcdm.state_dict())

    def loss(self, batch: dict[str, Tensor], random: BatchRandom | None = None) -> dict[str, Tensor]:
        "The losses of stage 1, and how far the representation of the shadowed frame lies from that of the clear one."
        pcdm, video = self.pcdm, batch['video']
        with torch.no_grad(): clear = self.old.represent(batch['clear'])
        features, raw = pcdm.encode(video)
        losses = frame_losses(pcdm.structures(features, len(video)), pcdm.frame_phase_head(raw).float().softmax(-1), pcdm.size_head(raw)[..., 0], batch)
        losses |= dict(same=WEIGHT*(pcdm.standardise(raw)-clear).square().mean())
        return dict(loss=sum(losses.values()), **losses)


def pairs(pool: Pool, size: int, seed: int, step: int) -> dict[str, Tensor]:
    "Stills, half of them in shadow, and the same stills in the clear."
    both = batch(pool, size, 1, seed, step, shadows=0.)
    return both | dict(clear=both['video'], video=shadow(both['video'], .5, seeded(seed, step, 1)))


def told(pcdm: PCDM, pool: Pool, beats: int, seed: int) -> dict[str, np.ndarray]:
    "What the encoder says of whole beats, augmented, half of them in shadow: what `clip_batch` reads clips from."
    theta, reps, area = phase_grid(32), [], []
    for i in range(beats):
        g = seeded(seed, 2, i)
        loop, mask = (read_loop(images, theta)/255 for images in pool.images(i))
        video, _ = augment(loop[None, :, None], mask[None], g)
        seen = read(pcdm, shadow(video, .5, g)[0])
        reps.append(seen['reps'].numpy()); area.append(seen['area'].numpy())
    return dict(reps=np.stack(reps), area=np.stack(area), theta=np.tile(theta.numpy(), (beats, 1)), alpha=pool.alpha[:beats].numpy())


def compare(pcdm: PCDM, pool: Pool, seed: int, folder: Path) -> PCDM:
    "The heads that compare frames, taught by the new encoder's words."
    beats = told(pcdm, pool, min(CLIPS['beats'], len(pool)), seed)
    return fit(pcdm.focus(clips=True), partial(clip_batch, beats, CLIPS['clips'], seed), CLIPS['steps'], folder, CLIPS['rate'], seed, ema=.99, resume=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--run', type=Path, required=True, help='folder of the training; RUN/pool is rendered if it is not there')
    parser.add_argument('--start', type=Path, default=shipped()/'pcdm', help='the stage 1 to begin from')
    parser.add_argument('--steps', type=int, default=1900)
    parser.add_argument('--size', type=int, default=24, help='stills of a step')
    parser.add_argument('--rate', type=float, default=3e-4)
    parser.add_argument('--beats', type=int, default=5000)
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pool = Pool(args.run/'pool') if (args.run/'pool').exists() else Pool.build(args.run/'pool', args.beats, 0)
    stage = Refined(PCDM.from_folder(args.start))
    about = json.loads((args.start/'config.json').read_text())['provenance']
    fit(stage, partial(pairs, pool, args.size, args.seed), args.steps, args.run, args.rate, args.seed, ema=.995, resume=True, save_every=100)
    pcdm = compare(stage.pcdm, pool, args.seed, args.run/'clips')
    facts = dict(steps=args.steps, stills=args.size, rate=args.rate, seed=args.seed, clips=CLIPS, data=pool.info, commit=commit(), torch=torch.__version__)
    pcdm.save(args.run/'pcdm', about | dict(refined=facts), half=True)


if __name__ == '__main__': main()
