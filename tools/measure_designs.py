"""Four designs of stage 3 at equal steps: what does stage 0 buy, what freezing, what drawing over the deformed prompt?

    python tools/measure_designs.py train --run RUN [--steps 600]            # about an hour on one core
    python tools/measure_designs.py score --run RUN [--scorer FOLDER] [--n 96]

All are of one small size, see the same batches and take the same number of steps, those of stage 0 included; stages 1 and 2
and the codec are the ones that ship. `train` resumes. `score` draws beats of held-out hearts with each, and writes
nbs/measured/designs.json, which notebook 44 prints.
"""
import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from equipment import equipment
from joblib import Parallel, delayed
from measure import HELD_OUT, features, real_features

from echovdiff.core.files import write_json
from echovdiff.core.random import seeded
from echovdiff.phantom.render import phantom
from echovdiff.data.pool import Pool
from echovdiff.metrics.physiology import frechet, main_axes, score, summarise
from echovdiff.models.backbone import Backbone, BackboneConfig
from echovdiff.models.lvdm import LVDM, LVDMConfig
from echovdiff.training.trainer import fast_precision, fit, read_log
from echovdiff.training.features import Features, feature_batch, with_motion
from echovdiff.training.pipeline import commit, untrained
from echovdiff.training.pretrained import load_weights
from echovdiff.evaluate.baselines import FromNoise, Task, full_model_beat

OUT = Path(__file__).parents[1] / 'nbs/measured/designs.json'
SMALL = BackboneConfig(dim=96, layers=4, heads=3)
PAPER, OURS = replace(LVDMConfig.paper(), backbone=SMALL), replace(LVDMConfig(), backbone=SMALL)
DESIGNS = {  # name: config, share of the steps that stage 0 takes
    'frozen, never pre-trained': (PAPER, 0.),
    'the paper: stage 0, frozen, then R and Φ': (PAPER, .5),
    'ours: over the deformed prompt, all trained': (OURS, 0.),
    'R and Φ, all trained at once': (replace(PAPER, frozen=False), 0.)}
ROWS = 'phase_error', 'area_correlation', 'ef_error', 'loop_closure', 'prompt_psnr', 'power_8', 'power_16'


def place(run: Path, name: str) -> Path:
    "The folder of a design."
    return run/'designs'/str(list(DESIGNS).index(name))


def train(run: Path, steps: int, beats: int, seed: int = 0):
    "Every design for `steps` steps."
    stages = load_weights()
    pool = Pool.build(run/'designs_pool', beats, seed)
    kept = Features.build(run/'designs_features', pool, stages.pcdm, stages.codec, beats, seed)
    batches = partial(feature_batch, kept, 4, 16, seed)
    for name, (config, share) in DESIGNS.items():
        folder, model, first = place(run, name), untrained(partial(LVDM, config), seed), round(share*steps)
        if (folder/'weights').exists(): continue
        go = partial(fit, lr=1.3e-3, seed=seed, ema=.99, resume=True, precision=fast_precision(), save_every=100)
        if first:
            backbone = go(untrained(partial(Backbone, SMALL), seed), batches, first, folder/'stage0')
            model.backbone.load_state_dict(backbone.state_dict(), strict=False)
        go(model, (lambda step: with_motion(batches(step), stages.motion)) if config.prompt else batches, steps-first, folder/'stage3')
        model.save(folder/'weights', dict(design=name, steps=steps, stage0=first, seed=seed, data=pool.info, commit=commit()))


@torch.no_grad()
def one_beat(i: int, run: Path, name: str, scorer: str) -> tuple[dict, np.ndarray]:
    "A beat of a held-out heart from any of its frames, scored, and as features."
    stages, judge = equipment(scorer)
    beat, lvdm = phantom(seeded(HELD_OUT, 20, i)), LVDM.from_folder(place(run, name)/'weights')
    task = Task(beat, int(torch.randint(len(beat), (), generator=seeded(HELD_OUT, 21, i))), i)
    video = (full_model_beat(replace(stages, lvdm=lvdm)) if lvdm.config.prompt else FromNoise(stages, lvdm))(task)
    return score(video, beat, judge, task.frame), features(judge, video)


def scored(run: Path, scorer: str, n: int) -> dict:
    "The table."
    real = np.array(Parallel(2)(delayed(real_features)(i, scorer) for i in range(n)))
    seen, rows = main_axes(real), []
    for name in (n for n in DESIGNS if (place(run, n)/'weights').exists()):
        found, said = zip(*Parallel(2)(delayed(one_beat)(i, run, name, scorer) for i in range(n)))
        numbers = summarise(list(found), seeded(HELD_OUT, 22))
        log = read_log(place(run, name)/'stage3')
        rows.append(dict(design=name, seconds=sum(read_log(p.parent)['seconds'][-1] for p in place(run, name).glob('*/log.jsonl')), loss=log['loss'][-1],
                         frechet=frechet(seen(said), seen(real)), **{k: numbers[k]['median' if 'correlation' in k else 'mean'] for k in ROWS}))
        print(rows[-1], flush=True)
    other = np.array(Parallel(2)(delayed(real_features)(n+i, scorer) for i in range(n)))
    return dict(n=n, frechet_real=frechet(seen(other), seen(real)), designs=rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('part', choices=['train', 'score'])
    parser.add_argument('--run', type=Path, required=True)
    parser.add_argument('--scorer')
    parser.add_argument('--steps', type=int, default=600)
    parser.add_argument('--beats', type=int, default=400)
    parser.add_argument('--n', type=int, default=96)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.part == 'train': return train(args.run, args.steps, args.beats)
    start = time.time()
    found = scored(args.run, args.scorer, args.n)
    write_json(OUT, dict(steps=args.steps, beats=args.beats, commit=commit(), seconds=round(time.time()-start), **found))


if __name__ == '__main__': main()
