"""What do labels buy, and what do beats without labels? PCDM from 1, 3, 10 and 100 % of the labels, self-consistency off and on.

    python tools/measure_labels.py --run RUN [--steps 500] [--clips 600]      # about half an hour on one core
    python tools/measure_labels.py --run RUN --parts losses                   # each self-consistency loss left out in turn

RUN holds the pool and the weights of a training (echovdiff train). Each of three seeds picks its own labelled hearts, trains
an encoder on their stills, and then lets frames compare notes twice: on clips of the labelled hearts alone (192 at most), and with as many
clips of other hearts beside them, whose area the encoder reads itself and whose phase nobody tells. Last, how area gradients
flow: the trained PCDM goes on for a while with the self-consistency losses on whole clips, once with the area detached, once not.
The part "losses" takes 3 % of the labels and leaves out L_mono, L_peak, L_map, none or all of them.
Results go to nbs/measured/labels.json, which notebook 21 prints.
"""
import argparse
import json
import sys
import tempfile
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from measure import misread
from torch import Tensor

from echovdiff.core.files import write_json
from echovdiff.core.random import BatchRandom, seeded
from echovdiff.phase.axis import phase_grid
from echovdiff.phantom.render import phantom
from echovdiff.data.pool import Pool, read_loop
from echovdiff.data.augment import batch
from echovdiff.models.pcdm import PCDM, PCDMConfig, clip_batch, mask_losses, read
from echovdiff.training.trainer import fast_precision, fit
from echovdiff.training.pipeline import calibrated, untrained

OUT = Path(__file__).parents[1] / 'nbs/measured/labels.json'
SHARES, SEEDS = (.01, .03, .1, 1.), (0, 1, 2)
SHARE = .03 # of the labels, where losses are left out: where they ought to matter
LEFT_OUT = {'none': {}, 'L_mono': dict(mono=0.), 'L_peak': dict(peak=0.), 'L_map': dict(curve=0.), 'all': dict(mono=0., peak=0., curve=0.)}


class Some:
    "A few beats of a pool."
    def __init__(self, pool: Pool, index: list[int]):
        self.pool, self.index = pool, index
        self.alpha, self.ef, self.heart_rate = (v[index] for v in (pool.alpha, pool.ef, pool.heart_rate))

    def __len__(self): return len(self.index)
    def images(self, i: int): return self.pool.images(self.index[i])


class Both(PCDM):
    "PCDM on clips with labels and, where the batch has any, on clips without."
    def loss(self, batch: dict[str, Tensor], random: BatchRandom | None = None) -> dict[str, Tensor]:
        told = super().loss({k: v for k, v in batch.items() if not k.startswith('un_')})
        if 'un_reps' not in batch: return told
        untold = super().loss({k[3:]: v for k, v in batch.items() if k.startswith('un_')})
        return dict(loss=told['loss']+untold['loss'], phase=told['phase'])


class Through(PCDM):
    "PCDM on whole clips, where the area of the self-consistency losses teaches the mask as well."
    def loss(self, batch: dict[str, Tensor], random: BatchRandom | None = None) -> dict[str, Tensor]:
        out = self(batch['video'])
        losses = dict(**mask_losses(out['logits'], batch['mask']), **self.clip_losses(out['posterior'], out['area'], batch['theta']))
        return dict(loss=sum(losses.values()), **losses)


class Detached(Through):
    "The same, and the area teaches the phase only."
    def forward(self, video: Tensor) -> dict[str, Tensor]:
        out = super().forward(video)
        return out | dict(area=out['area'].detach())


@torch.no_grad()
def told(pcdm: PCDM, beats: Some, frames: int = 32) -> dict[str, np.ndarray]:
    "What the encoder says of whole beats: representations, its own area, and their phases."
    theta, found = phase_grid(frames), []
    for i in range(len(beats)):
        video = read_loop(beats.images(i)[0], theta)[:, None]/255
        seen = read(pcdm, video)
        found.append((seen['reps'].numpy(), seen['area'].numpy()))
    reps, area = map(np.stack, zip(*found))
    return dict(reps=reps, area=area, theta=np.tile(theta.numpy(), (len(beats), 1)), alpha=beats.alpha.numpy())


def clips(labelled: dict, unlabelled: dict | None, seed: int, step: int, size: int = 24) -> dict[str, Tensor]:
    "A batch of clips with labels, and one without beside it."
    known = clip_batch(labelled, size, seed, step)
    if unlabelled is None: return known
    other = clip_batch(unlabelled, size, seed+1000, step)
    return known | dict(un_reps=other['reps'], un_area=other['area'])


def judged(pcdm: PCDM, n: int) -> dict[str, float]:
    "Whole held-out beats: phase, Dice, EF."
    rows = []
    for i in range(n):
        beat = phantom(seeded(910, i))
        error, overlap, ef = misread(pcdm, beat.video, beat.mask, beat.theta)
        rows.append((error, overlap, 100*(ef-beat.ef)))
    error, overlap, ef = np.array(rows).T
    return dict(phase_mae=error.mean(), dice=overlap.mean(), ef_mae_points=float(np.nanmean(np.abs(ef))), ef_bias_points=float(np.nanmean(ef)), no_ventricle=int(np.isnan(ef).sum()))


def seeing(pool: Pool, share: float, seed: int, steps: int, folder: Path) -> tuple[PCDM, int, dict, dict]:
    "An encoder that saw the stills of a share of the hearts; how many; clips of them, and of others without labels."
    order = torch.randperm(len(pool), generator=seeded(seed, 11)).tolist()
    labelled = Some(pool, order[:max(1, round(share*len(pool)))])
    encoder = fit(untrained(partial(PCDM, PCDMConfig()), seed), partial(batch, labelled, 48, 1, seed), steps, folder/'stills', 1.2e-3, seed, ema=.99, precision=fast_precision())
    calibrated(encoder, labelled)
    return encoder, len(labelled), told(encoder, Some(pool, labelled.index[:192])), told(encoder, Some(pool, order[-256:]))


def comparing(encoder: PCDM, config: PCDMConfig, labelled: dict, others: dict | None, seed: int, steps: int, folder: Path) -> PCDM:
    "The same encoder, whose frames learn to compare notes."
    model = untrained(partial(Both, config), seed); model.load_state_dict(encoder.state_dict())
    return fit(model.focus(clips=True), partial(clips, labelled, others, seed), steps, folder/'clips', 1e-3, seed, ema=.99, precision=fast_precision())


def shares(pool: Pool, steps: int, clip_steps: int, beats: int, known: list[dict]):
    "Rows of the table, one at a time; those that are there already are not made again."
    done = {(row['share'], row['seed'], row['consistency']) for row in known}
    for seed, share in product(SEEDS, SHARES):
        if {(share, seed, False), (share, seed, True)} <= done: continue
        with tempfile.TemporaryDirectory() as tmp:
            encoder, hearts, with_labels, without = seeing(pool, share, seed, steps, Path(tmp))
            for on in (False, True):
                config = replace(PCDMConfig(), **({} if on else LEFT_OUT['all']))
                model = comparing(encoder, config, with_labels, without if on else None, seed, clip_steps, Path(tmp)/str(on))
                yield dict(share=share, seed=seed, hearts=hearts, consistency=on, **judged(model, beats))


def losses(pool: Pool, steps: int, clip_steps: int, beats: int, known: list[dict]):
    "The same for one share, with each of the three losses left out in turn; same encoder, same clips, same steps."
    done = {(row['seed'], row['left_out']) for row in known}
    for seed in SEEDS:
        if {(seed, name) for name in LEFT_OUT} <= done: continue
        with tempfile.TemporaryDirectory() as tmp:
            encoder, hearts, with_labels, without = seeing(pool, SHARE, seed, steps, Path(tmp))
            for name, off in LEFT_OUT.items():
                if (seed, name) in done: continue
                model = comparing(encoder, replace(PCDMConfig(), **off), with_labels, without, seed, clip_steps, Path(tmp)/name)
                yield dict(share=SHARE, seed=seed, hearts=hearts, left_out=name, **judged(model, beats))


def gradients(pool: Pool, weights: Path, steps: int = 150):
    "The trained PCDM, going on with the self-consistency losses on clips."
    state = PCDM.from_folder(weights).state_dict()
    yield dict(area='as trained', **judged(PCDM.from_folder(weights), 64))
    for kind, name in ((Detached, 'detached'), (Through, 'flows into the mask')):
        for seed in SEEDS:
            model = kind(PCDMConfig()); model.load_state_dict(state)
            with tempfile.TemporaryDirectory() as tmp: fit(model, partial(batch, pool, 4, 16, seed), steps, tmp, 3e-4, seed, ema=.9, precision=fast_precision())
            plain = PCDM(PCDMConfig()); plain.load_state_dict(model.state_dict())
            yield dict(area=name, seed=seed, **judged(plain.eval(), 64))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--run', type=Path, required=True)
    parser.add_argument('--steps', type=int, default=500)
    parser.add_argument('--clips', type=int, default=600)
    parser.add_argument('--beats', type=int, default=40, help='held-out beats that judge')
    parser.add_argument('--parts', nargs='+', default=['gradients', 'shares'], choices=['gradients', 'shares', 'losses'])
    parser.add_argument('--out', type=Path, default=OUT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pool, found = Pool(args.run/'pool'), json.loads(args.out.read_text()) if args.out.exists() else {}
    setup = dict(steps=args.steps, clips=args.clips)
    if found.setdefault('setup', setup) != setup: sys.exit(f"{args.out} was measured with {found['setup']}: say the same, or choose another --out")
    if 'gradients' in args.parts:
        found['gradients'] = list(gradients(pool, args.run/'weights/pcdm'))
        write_json(args.out, found)
    for part, rows in dict(shares=shares, losses=losses).items():
        if part not in args.parts: continue
        for row in rows(pool, args.steps, args.clips, args.beats, found.setdefault(part, [])):
            found[part].append(row)
            write_json(args.out, found)
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)


if __name__ == '__main__': main()
