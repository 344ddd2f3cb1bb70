"""How does the kit fare on real hearts? Writes nbs/measured/real.json, with which the page `results` opens.

    python tools/measure_real.py --camus CAMUS_public --looks 1    # stills with experts' labels
    python tools/measure_real.py --store STORE --parts store       # ED and ES of the beats of a store
    python tools/measure_real.py --parts loop reference simulated hazy \\
        --reference CSV --simulated NPZ --hazy GIF                 # loops; about two minutes

Parts: anatomy, stills, store, loop, reference, simulated, hazy. Without --parts all are measured
whose input is given; `loop` needs nothing but pydicom-data. A part that is measured anew replaces
its old numbers and leaves all others as they are; each says which weights, commit and day it is of.
Only numbers are written: no picture, no name of a file, no patient.

CAMUS is its folder as it is distributed, or an .npz with frames, masks, patient, phase. --looks N:
how often these stills were looked at so far, this time included, all trials counted; it stands
beside the numbers. CSV is the area curve of the real loop by an independent segmenter (column
lv_area_smooth_px), NPZ a simulated beat, GIF a hazy apical loop. --weights is a weights folder, or
the folder of a stage 1 alone (then `loop` and `hazy` draw with the stages that ship).
"""
import argparse
import csv
import hashlib
import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from measure import real, simulated
from torch import Tensor

from echovdiff.training import pretrained
from echovdiff.core.files import write_json
from echovdiff.core.random import seeded
from echovdiff.phase.axis import phase_grid, unwarp, warp, wrap
from echovdiff.phantom.simulate import simulate
from echovdiff.data.sector import Clip
from echovdiff.data.video import read_clip, real_loop
from echovdiff.data.store import Store
from echovdiff.cycles.segmenter import clean
from echovdiff.cycles.cycles import find_cycles
from echovdiff.metrics.perceptual import Lpips, lpips, psnr, ssim, tlpips, tssim
from echovdiff.models.stage import shipped
from echovdiff.models.pcdm import PCDM, PCDMSegmenter
from echovdiff.training.pipeline import commit
from echovdiff.training.pretrained import Stages, find, load_weights
from echovdiff.generate.generate import generate, sector_mask
from echovdiff.generate.prompt import read_prompt
from echovdiff.evaluate.labelled_stills import LabelledStills, open_labelled_stills, read_store
from echovdiff.evaluate.reality import read_alone, score_stills
from echovdiff.evaluate.measurements import (
    QUANTILES, anatomy, as_table, is_plausible, plausible_frames, to_labels,
)

OUT = Path(__file__).parents[1]/'nbs/measured/real.json'
DRAWN = 128  # frames of a drawn beat, so that one lies near the phase of every real frame
STORED = 32  # frames of a beat at equal steps of phase, between which tLPIPS and tSSIM are taken
SEED = 4900  # of the phantoms whose anatomy is measured
SIDE_MM = 182.  # what an image side is taken for: the median of 300 patients' A4C frames
AWAY = 1/8  # of a beat: how far from the prompt a frame must lie to be compared
WHEN = 'ED', 'mid-systole', 'ES', 'mid-diastole'


@dataclass
class Kit:
    "The stage 1 that reads, and all stages that draw."
    weights: str | None

    @cached_property
    def place(self) -> Path:
        "The folder of the stage 1 that reads."
        place = shipped() if self.weights is None else find(self.weights)
        if (place/'weights.safetensors').exists(): return place
        return place/'pcdm'

    @cached_property
    def reader(self) -> PCDM:
        "Stage 1: the reader where the weights have one, else their pcdm."
        return pretrained.load_pcdm(self.place)

    @cached_property
    def stages(self) -> Stages:
        "The stages that draw."
        alone = self.weights is not None and (find(self.weights)/'weights.safetensors').exists()
        return load_weights(None if alone else self.weights)

    @property
    def name(self) -> str:
        "Which stage 1, by a hash of its weights."
        digest = hashlib.sha256((self.place/'weights.safetensors').read_bytes()).hexdigest()
        return f"{'shipped' if self.weights is None else 'own'}-{self.place.name}-{digest[:12]}"


def heart_stills(number: int, seed: int) -> list[tuple]:
    "ED and ES of a simulated heart, every structure labelled."
    made = simulate(seeded(seed, number), theta=torch.tensor([0., torch.pi]))
    frames = (255*made.video[:, 0]).round().to(torch.uint8).numpy()
    labels = [to_labels(masks[:3].numpy()) for masks in made.masks]
    return [(frame, one, number, is_ed, SIDE_MM/frame.shape[-1], made.heart.ef)
            for frame, one, is_ed in zip(frames, labels, (True, False))]


def phantom_stills(n: int, seed: int) -> LabelledStills:
    "The simulated hearts that anatomy is compared with."
    rows = [row for i in range(n) for row in heart_stills(i, seed)]
    return LabelledStills(*map(np.array, zip(*rows)))


def measure_anatomy(args, kit: Kit) -> dict:
    "Phantoms, and the labelled hearts where there are any."
    found = dict(phantoms=anatomy(phantom_stills(args.phantoms, SEED)))
    real = open_labelled_stills(args.camus) if args.camus else None
    if real: found['real'] = anatomy(real)
    print(as_table(**found))
    if real: found['experts_plausible'] = float(np.mean([is_plausible(labels == 1) for labels in real.labels]))
    return dict(found, phantoms_n=args.phantoms, real_n=len(real)//2 if real else 0, seeds=[SEED], quantiles=QUANTILES)


def measure_stills(args, kit: Kit) -> dict:
    "Stills with experts' labels."
    stills = open_labelled_stills(args.camus)
    reader, start = kit.reader, time.process_time()
    reading = read_alone(reader, stills.frames)
    rate = len(stills)/(time.process_time()-start)
    return dict(looks=args.looks, **score_stills(stills, reading), seeds=[0], stills_per_second=round(rate, 1))


def measure_store(args, kit: Kit) -> dict:
    "ED and ES of the beats of a store, against the masks that it holds."
    stills = read_store(args.store)
    by = Store(args.store).about.get('segmenter', 'not noted')
    return dict(masks_by=by, **score_stills(stills, read_alone(kit.reader, stills.frames)), seeds=[0])


def beats_of(clip: Clip, args, kit: Kit) -> list[tuple[int, int, int]]:
    "ED, ES and the next ED of each whole beat of the real loop: by the reference where it is given, else by stage 1."
    if args.reference:
        rows = csv.DictReader(args.reference.open())
        area = torch.tensor([float(row['lv_area_smooth_px']) for row in rows])
    else: area = clean(PCDMSegmenter(kit.reader)(clip.video)).sum((1, 2))
    cycles = find_cycles(area, clip.fps)
    return [(c.ed, c.es, c.ed2) for c in cycles if c.reason is None and c.ed2 is not None]


def prompts_of(ed: int, es: int, ed2: int) -> dict[str, int]:
    "The four prompt frames of a beat."
    return dict(zip(WHEN, (ed, round((ed+es)/2), es, round((es+ed2)/2))))


def likeness(model, real: Tensor, other: Tensor) -> dict[str, float]:
    "How near a film is to the real one, frame by frame."
    each = dict(psnr=psnr(other, real), ssim=ssim(other, real), lpips=lpips(model, other, real))
    return {key: v.mean().item() for key, v in each.items()}


def at_times(video: Tensor, when: Tensor) -> Tensor:
    "Frames between the frames, as the kit stores a beat."
    low = when.floor().long()
    return torch.lerp(video[low], video[low+1], (when-low)[:, None, None, None])


def restlessness(model, films: dict[str, Tensor], tail: str = '') -> dict:
    "tLPIPS and tSSIM of each film."
    return {f'tlpips{tail}': {who: tlpips(model, film) for who, film in films.items()},
            f'tssim{tail}': {who: tssim(film) for who, film in films.items()}}


def drawn_against_frozen(kit: Kit, model, clip: Clip, beat: tuple[int, int, int], frame: int, seed: int) -> dict:
    "A beat drawn from one frame, and that frame standing still, against the real frames away from it."
    ed, es, ed2 = beat
    now = torch.arange(ed, ed2)
    tau = (now-ed)/(ed2-ed)
    off = (tau-(frame-ed)/(ed2-ed)).abs()
    away = torch.minimum(off, 1-off) >= AWAY
    film, prompt = clip.video[ed:ed2], read_prompt(kit.stages, clip.video, frame, clip.fps)
    drawn = generate(kit.stages, prompt, frames=DRAWN, seed=seed)
    stored = at_times(clip.video, ed+unwarp(phase_grid(STORED), (es-ed)/(ed2-ed))*(ed2-ed))
    nearest = wrap(warp(tau, (es-ed)/(ed2-ed))[:, None]-drawn.theta).abs().argmin(1)
    shown = drawn.video[nearest]
    frozen = clip.video[frame].expand(len(film), -1, -1, -1)
    return dict(frames=int(away.sum()), phase_read_deg=np.degrees(prompt.theta),
                drawn=likeness(model, film[away], shown[away]), static_prompt=likeness(model, film[away], frozen[away]),
                **restlessness(model, dict(drawn=drawn.video[::DRAWN//STORED], real=stored)),
                **restlessness(model, dict(drawn=shown, real=film), '_as_recorded'))


def measure_loop(args, kit: Kit) -> dict:
    "Is the drawn beat nearer to what came next than standing still?"
    clip, model, rows = real_loop(whole=True), Lpips.from_file(), []
    for number, beat in enumerate(beats_of(clip, args, kit)):
        for when, frame in prompts_of(*beat).items():
            row = drawn_against_frozen(kit, model, clip, beat, frame, args.seed)
            rows.append(dict(beat=number, prompt=when, **row))
            print(plain(rows[-1]), flush=True)
    if not rows: raise SystemExit('no whole beat was found in the real loop: give --reference, or other weights')
    def mean(*keys): return float(np.mean([row[keys[0]][keys[1]] for row in rows]))
    def nearer(row, key): return (row['drawn'][key] > row['static_prompt'][key]) != (key == 'lpips')
    measures = 'psnr', 'ssim', 'lpips'
    means = {who: {key: mean(who, key) for key in measures} for who in ('drawn', 'static_prompt')}
    over_time = [f'{key}{tail}' for tail in ('', '_as_recorded') for key in ('tlpips', 'tssim')]
    steps = {key: {who: mean(key, who) for who in ('drawn', 'real')} for key in over_time}
    better = {key: sum(nearer(row, key) for row in rows) for key in measures}
    return dict(**means, **steps, drawn_better=better, n=len(rows), beats=len(rows)//len(WHEN),
                landmarks='reference' if args.reference else 'stage 1', phase='read by stage 1', ef_asked=None,
                away=AWAY, drawn_with=kit.stages.name, seeds=[args.seed], rows=rows)


def measure_reference(args, kit: Kit) -> dict:
    "Landmarks and areas of the real loop against an independent segmenter."
    return real(kit.reader, args.reference)


def measure_simulated(args, kit: Kit) -> dict:
    "A beat of a physics simulation."
    return simulated(kit.reader, args.simulated)


def measure_hazy(args, kit: Kit) -> dict:
    "A hazy loop: in how many frames is the mask a ventricle's, and what comes of asking for EF 60 %?"
    clip = read_clip(args.hazy)
    masks = (PCDMSegmenter(kit.reader)(clip.video) >= .5).numpy()
    sector = sector_mask(clip.video.amax(0)).bool().numpy()
    prompt = read_prompt(kit.stages, clip.video, 0, clip.fps)
    drawn = generate(kit.stages, prompt, ef=.6, seed=args.seed)
    shape = float(np.mean([is_plausible(mask, sector) for mask in masks]))
    plausible = float(plausible_frames(masks, sector).mean())
    return dict(n=len(masks), plausible=plausible, plausible_shape=shape, ef_asked=.6, ef_measured=drawn.ef,
                prompt_confidence=prompt.confidence, drawn_with=kit.stages.name, seeds=[args.seed])


PARTS = dict(anatomy=measure_anatomy, stills=measure_stills, store=measure_store, loop=measure_loop,
             reference=measure_reference, simulated=measure_simulated, hazy=measure_hazy)
NEEDS = dict(stills='camus', store='store', reference='reference', simulated='simulated', hazy='hazy')


def plain(found):
    "Ready for JSON: five digits, and null where nothing is known."
    if isinstance(found, dict): return {key: plain(v) for key, v in found.items()}
    if isinstance(found, list | tuple): return [plain(v) for v in found]
    if not isinstance(found, float): return found
    return float(f'{found:.5g}') if np.isfinite(found) else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--camus', type=Path, help='folder of CAMUS, or an .npz')
    for name in ('store', 'reference', 'simulated', 'hazy'): parser.add_argument(f'--{name}', type=Path)
    parser.add_argument('--weights', help='folder of weights, or of a stage 1; what ships without it')
    parser.add_argument('--parts', nargs='+', choices=PARTS, help='default: all whose input is given')
    parser.add_argument('--looks', type=int, help='how often the stills were looked at so far, this time included')
    parser.add_argument('--seed', type=int, default=0, help='of what is drawn')
    parser.add_argument('--phantoms', type=int, default=200, help='hearts in the table of anatomy')
    parser.add_argument('--out', type=Path, default=OUT)
    args = parser.parse_args()
    parts = args.parts or [part for part in PARTS if part not in NEEDS or getattr(args, NEEDS[part])]
    for part in parts:
        if part in NEEDS and not getattr(args, NEEDS[part]):
            parser.error(f'the part {part} needs --{NEEDS[part]}')
    if 'stills' in parts and args.looks is None:
        parser.error('say with --looks how often these stills were looked at so far, this time included')
    torch.set_num_threads(1)
    kit = Kit(args.weights)
    for part in parts:
        start = time.time()
        numbers = PARTS[part](args, kit)
        facts = dict(weights=kit.name, commit=commit(), date=time.strftime('%Y-%m-%d'), seconds=time.time()-start)
        found = json.loads(args.out.read_text()) if args.out.exists() else {}
        write_json(args.out, found | {part: plain(facts | numbers)})
        print(f'{part}: {time.time()-start:.0f} s', flush=True)


if __name__ == '__main__': main()
