"""A referee: reads mask, area and phase of a beat as PCDM does, by another architecture, and is never used to make one.

    python tools/referee.py --out RUN [--steps 1500] [--seed 1] [--resume]

A SegFormer (transformers) sees each frame, a recurrent network follows them through time; they learn one after the other, on
phantoms of their own seed. tools/measure.py and the ablations score generated beats with it. Weights go to RUN/weights/referee.
"""
import argparse
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from echovdiff.data import Chance, Pool, augment, batch, read_loop, seeded
from echovdiff.pcdm import clip_batch, dice_loss, phase_losses
from echovdiff.phase import phase_grid
from echovdiff.pretrained import Stages, load
from echovdiff.stages import Plan, beats_of, commit
from echovdiff.train import Stage, fast_precision, fit


@dataclass(frozen=True)
class RefereeConfig:
    "Sizes of the network."
    sizes: tuple[int, ...] = (24, 48, 96, 160)  # channels at 28, 14, 7 and 4 px
    heads: tuple[int, ...] = (1, 2, 4, 8)
    width: int = 96                             # of the recurrent network, each way
    bins: int = 64                              # phases in the posterior

    @classmethod
    def tiny(cls): return cls((8, 8, 16, 16), (1, 1, 2, 2), 8, 16)


class Referee(Stage):
    "SegFormer for the mask, a bidirectional GRU over its deepest features for the phase."
    Config = RefereeConfig

    def __init__(self, config: RefereeConfig = RefereeConfig()):
        super().__init__()
        self.config, never = config, dict.fromkeys(('hidden_dropout_prob', 'attention_probs_dropout_prob', 'classifier_dropout_prob', 'drop_path_rate'), 0.)
        self.frames = SegformerForSemanticSegmentation(SegformerConfig(num_channels=1, num_labels=1, hidden_sizes=config.sizes, depths=(1, 1, 1, 1), num_attention_heads=config.heads, decoder_hidden_size=64, **never))
        self.time = nn.GRU(4*config.sizes[-1], config.width, num_layers=2, batch_first=True, bidirectional=True)
        self.phase = nn.Linear(2*config.width, config.bins)

    def see(self,
        video: Tensor,  # (b t 1 h w) in [0,1]
    ) -> tuple[Tensor, Tensor]:  # logits of the mask (b t h w), deep features (b t d)
        "Every frame on its own."
        seen = self.frames(rearrange(video, 'b t c h w -> (b t) c h w')*2-1, output_hidden_states=True)
        logits = F.interpolate(seen.logits.float(), video.shape[-2:], mode='bicubic')
        deep = F.adaptive_avg_pool2d(seen.hidden_states[-1], 2)
        return rearrange(logits, '(b t) 1 h w -> b t h w', b=len(video)), rearrange(deep, '(b t) c h w -> b t (c h w)', b=len(video))

    def follow(self, deep: Tensor) -> Tensor:  # (b t d) -> (b t n)
        "The posterior of the phase, frame by frame, from all of them."
        return self.phase(self.time(deep)[0]).float().softmax(-1)

    def forward(self,
        video: Tensor,  # (b t 1 h w) in [0,1]
    ) -> dict[str, Tensor]:  # mask (b t h w), area (b t) px², posterior (b t n)
        logits, deep = self.see(video)
        mask = logits.sigmoid()
        return dict(mask=mask, area=mask.sum((2, 3)), posterior=self.follow(deep))

    def loss(self, batch: dict[str, Tensor], chance: Chance | None = None) -> dict[str, Tensor]:
        "Stills teach the mask, clips of features the phase."
        if 'reps' in batch: losses = phase_losses(self.follow(batch['reps']), batch['theta'])
        else:
            logits, _ = self.see(batch['video'])
            losses = dict(dice=dice_loss(logits.sigmoid(), batch['mask']), bce=2*F.binary_cross_entropy_with_logits(logits, batch['mask']))
        return dict(loss=sum(losses.values()), **losses)


@torch.no_grad()
def features(referee: Referee, pool: Pool, seed: int, n: int, frames: int = 32) -> dict[str, np.ndarray]:
    "Deep features of `n` augmented beats, for `clip_batch`."
    theta, rows = phase_grid(frames), []
    for i in tqdm(range(n), desc='features'):
        loop, mask = (read_loop(images, theta)[None]/255 for images in pool.images(i % len(pool)))
        video, mask = augment(loop[:, :, None], mask, seeded(seed, i, 5))
        rows.append((referee.see(video)[1][0].numpy(), mask[0].sum((1, 2)).numpy(), theta.numpy(), np.float32(pool.alpha[i % len(pool)])))
    return dict(zip(('reps', 'area', 'theta', 'alpha'), map(np.stack, zip(*rows))))


@cache
def equipment(folder: str) -> tuple[Stages, Referee]:
    "What a process that measures loads once: the stages that ship, and the referee."
    torch.set_num_threads(1)
    return load(), Referee.from_folder(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--steps', type=int, default=1500)
    parser.add_argument('--beats', type=int, default=1000)
    parser.add_argument('--entries', type=int, default=1500)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--resume', action='store_true')
    args = parser.parse_args()
    torch.set_num_threads(1); torch.manual_seed(args.seed)
    pool = beats_of(args.out, replace(Plan(), beats=args.beats, seed=args.seed, workers=1))
    referee = Referee()
    for part in (referee.time, referee.phase): part.requires_grad_(False)
    fit(referee, partial(batch, pool, 48, 1, args.seed), args.steps, args.out/'frames', 1.5e-3, args.seed, ema=.995, resume=args.resume, precision=fast_precision())
    referee.requires_grad_(True).frames.requires_grad_(False)
    beats = features(referee, pool, args.seed, args.entries)
    fit(referee, partial(clip_batch, beats, 48, args.seed), 2*args.steps, args.out/'time', 2e-3, args.seed, ema=.995, precision=fast_precision())
    referee.save(args.out/'weights/referee', dict(steps=args.steps, seed=args.seed, data=pool.info, commit=commit()), half=True)


if __name__ == '__main__': main()
