"""Does pre-training the backbone help Ψ, and is the paper's stage 3 or ours the better use of the same compute?

    python tools/measure_designs.py --run RUN [--steps 600]      # about half an hour on one core

RUN holds the features and the motion stage of a training (echovdiff train). Every design draws the same latents of beats that
it has not seen, from one frame of them; what counts is the error of its one-step answer at several noise levels, as a share of
the variance of the latents, averaged over the same noise for all. Results go to nbs/measured/designs.json, which 44 prints.
"""
import argparse
import json
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from echovdiff.backbone import Backbone, count
from echovdiff.data import seeded
from echovdiff.diffusion import SIGNAL
from echovdiff.features import Features, feature_batch, with_motion
from echovdiff.lvdm import LVDM, LVDMConfig, carried, script
from echovdiff.motion import Motion
from echovdiff.stages import fresh
from echovdiff.train import fast_precision, fit, write_json

OUT = Path(__file__).parents[1] / 'nbs/measured/designs.json'
LEVELS = 200, 500, 800  # diffusion steps at which the answer is asked for


class Part:
    "Some entries of features."
    def __init__(self, features: Features, which: slice): self.arrays = {k: v[which] for k, v in features.arrays.items()}
    def __len__(self): return len(self.arrays['z'])


@torch.no_grad()
def judged(model: LVDM, held: Part, motion: Motion, n: int = 24) -> dict:
    "Error of the latents that one step from level k gives, as a share of their variance."
    errors = {k: [] for k in LEVELS}
    for i in range(n):
        batch = with_motion(feature_batch(held, 2, 16, 9, i), motion)
        z, theta, g = batch['z'], batch['theta'], seeded(77, i)
        at = torch.zeros(len(z), dtype=torch.long) + i % z.shape[1]
        here = torch.arange(len(z))
        ground = carried(z[here, at], batch['fields'][here, at], batch['fields'])
        s = script(batch['reps'], theta, ground, theta[here, at])
        base, gap = model.ground(s)
        noise = torch.randn(z.shape, generator=g)
        for k in LEVELS:
            signal = SIGNAL[k]
            x = signal*(z-base)/gap + (1-signal**2).sqrt()*noise
            v = model(x, torch.full((len(z),), k), s)
            errors[k].append(((signal*x-(1-signal**2).sqrt()*v)*gap + base - z).square().mean().item()/z.var().item())
    return {str(k): float(np.mean(v)) for k, v in errors.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--run', type=Path, required=True)
    parser.add_argument('--steps', type=int, default=600)
    args = parser.parse_args()
    torch.set_num_threads(1)
    features, motion, n = Features(args.run/'features'), Motion.from_folder(args.run/'weights/motion'), args.steps
    seen, held = Part(features, slice(0, 4800)), Part(features, slice(4800, 5000))
    batches = partial(feature_batch, seen, 4, 16, 0)
    moving = lambda step: with_motion(batches(step), motion)
    found = dict(steps=n, levels=LEVELS, designs={})

    def train(model, batches, steps):
        with tempfile.TemporaryDirectory() as tmp: return fit(model, batches, steps, tmp, 1.3e-3, ema=.99, precision=fast_precision())

    def upon(backbone, config):
        "Ψ in a frozen backbone."
        model = fresh(partial(LVDM, config), 1)
        if backbone is not None: model.backbone.load_state_dict(backbone.state_dict(), strict=False)
        return model

    paper, ours = LVDMConfig.paper(), LVDMConfig()
    backbone = train(fresh(partial(Backbone, paper.backbone), 0), batches, n)
    designs = {
        'paper: backbone first, then Ψ': lambda: train(upon(backbone, paper), batches, n),
        'Ψ in a backbone that learnt nothing': lambda: train(upon(None, paper), batches, n),
        'backbone first, then Ψ, over the carried prompt': lambda: train(upon(backbone, replace(paper, prompt=True, lean=ours.lean)), moving, n),
        'ours: all at once, over the carried prompt': lambda: train(fresh(partial(LVDM, ours), 1), moving, 2*n),
    }
    for name, make in designs.items():
        model = make()
        found['designs'][name] = dict(trained=count(model, trainable=True), error=judged(model, held, motion))
        write_json(OUT, found)
        print(name, json.dumps(found['designs'][name]), flush=True)


if __name__ == '__main__': main()
