"""A referee: reads mask, area and phase of a beat as PCDM does, by another architecture, and is never used to make one.

    python tools/referee.py --out RUN [--steps 1500] [--seed 1] [--resume]

A SegFormer (transformers) sees each frame, a recurrent network follows them through time; it learns on phantoms of its own
seed. tools/measure.py and the ablations score generated beats with it. Weights go to RUN/weights/referee.
"""
import argparse
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from echovdiff.data import Chance, batch
from echovdiff.pcdm import dice_loss, phase_losses
from echovdiff.posterior import mean_point
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

    def forward(self,
        video: Tensor,  # (b t 1 h w) in [0,1]
    ) -> dict[str, Tensor]:  # logits, mask (b t h w), area (b t) px², posterior (b t n)
        seen = self.frames(rearrange(video, 'b t c h w -> (b t) c h w')*2-1, output_hidden_states=True)
        logits = F.interpolate(seen.logits.float(), video.shape[-2:], mode='bicubic')
        logits = rearrange(logits, '(b t) 1 h w -> b t h w', b=len(video))
        deep = F.adaptive_avg_pool2d(seen.hidden_states[-1], 2)
        said = self.phase(self.time(rearrange(deep, '(b t) c h w -> b t (c h w)', b=len(video)))[0])
        mask = logits.sigmoid()
        return dict(logits=logits, mask=mask, area=mask.sum((2, 3)), posterior=said.float().softmax(-1))

    def loss(self, batch: dict[str, Tensor], chance: Chance | None = None) -> dict[str, Tensor]:
        "Mask and phase, both with labels."
        out = self(batch['video'])
        losses = dict(dice=dice_loss(out['mask'], batch['mask']), bce=2*F.binary_cross_entropy_with_logits(out['logits'], batch['mask']),
                      **phase_losses(out['posterior'], batch['theta']))
        return dict(loss=sum(losses.values()), **losses)


def clips(pool, seed: int, step: int) -> dict[str, Tensor]:
    "48 frames: three clips of 16, two of 24 or one and a half of 32, in turn."
    return batch(pool, *((3, 16), (2, 24), (4, 12), (2, 32))[step % 4], seed, step)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--steps', type=int, default=1500)
    parser.add_argument('--beats', type=int, default=1000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--resume', action='store_true')
    args = parser.parse_args()
    torch.set_num_threads(1); torch.manual_seed(args.seed)
    pool = beats_of(args.out, replace(Plan(), beats=args.beats, seed=args.seed, workers=1))
    referee = fit(Referee(), partial(clips, pool, args.seed), args.steps, args.out/'referee', 1.5e-3, args.seed, ema=.995, resume=args.resume, precision=fast_precision())
    referee.save(args.out/'weights/referee', dict(steps=args.steps, seed=args.seed, data=pool.info, commit=commit()), half=True)


if __name__ == '__main__': main()
