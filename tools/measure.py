"""Measure the shipped weights and write echovdiff/weights/measured.json: every number in README and notes comes from here.

    python tools/measure.py --referee RUN [--reference CSV] [--simulated NPZ] [--beats 64]

RUN holds the weights of a PCDM trained from another seed (echovdiff train pcdm --seed 1 --out ref, then --referee
ref/weights/pcdm); it scores the generated beats and is never used to make them.
CSV and NPZ are the reference of the real loop and the simulated beat; without them those rows are left out.
"""
import argparse
import csv
import json
import math
import platform
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from echovdiff.beat import ef_area_length
from echovdiff.cycles import find_cycles, mend
from echovdiff.data import seeded
from echovdiff.generate import generate, read_prompt
from echovdiff.metrics import score, summary
from echovdiff.pcdm import PCDM, PCDMSegmenter, median_phase, read
from echovdiff.phantom import frame_correlation, phantom, radial_power
from echovdiff.phase import wrap
from echovdiff.pretrained import load
from echovdiff.sector import gray
from echovdiff.segment import clean, dice
from echovdiff.stages import commit
from echovdiff.train import shipped, write_json
from echovdiff.video import open_dicom, real_loop
from pydicom.data import get_testdata_file

HELD_OUT = 900  # seed of the phantoms that no training has seen


def phantoms(n: int = 60) -> dict:
    "Speed and texture of the phantom, over its parameter range."
    start, made = time.process_time(), [phantom(seeded(HELD_OUT, 1, i)) for i in range(n)]
    seconds = time.process_time() - start
    power = torch.stack([radial_power(b.video[::4, 0]).mean(0) for b in made]).median(0).values
    rings = (4, 8, 12, 16, 24, 30)
    crops = torch.stack([b.video[:, :, 24:88, 24:88].flatten().quantile(torch.tensor([.05, .25, .5, .75, .95])) for b in made])
    return dict(n=n, beats_per_second=n/seconds, power={k: power[k].item() for k in rings},
                frame_correlation=float(np.median([frame_correlation(b.video) for b in made])),
                quantiles_lowest=crops.amin(0).tolist(), quantiles_highest=crops.amax(0).tolist())


def reading(pcdm: PCDM, frames: int, n: int = 96) -> dict:
    "PCDM on whole held-out beats that start anywhere."
    rows = []
    for i in range(n):
        g = seeded(HELD_OUT, 2, i)
        beat = phantom(g, frames=frames)
        start = int(torch.randint(frames, (), generator=g))
        video, mask, theta = (x.roll(-start, 0) for x in (beat.video, beat.mask, beat.theta))
        seen = read(pcdm, video)
        hard = (seen['mask'] > .5).float()
        ef = float(ef_area_length(hard[seen['area'].argmax()], hard[seen['area'].argmin()]))
        error = wrap(median_phase(seen['posterior'])-theta).abs().mean().item()/(2*math.pi)
        rows.append((error, dice(hard, (mask > .5).float()).mean().item(), ef, beat.ef))
    error, overlap, ef, true = np.array(rows).T
    return dict(n=n, frames=frames, phase_mae=error.mean(), dice=overlap.mean(), ef_correlation=np.corrcoef(ef, true)[0, 1],
                ef_mae_points=100*np.abs(ef-true).mean(), ef_bias_points=100*(ef-true).mean())


def stills(pcdm: PCDM, n: int = 96) -> dict:
    "PCDM on single frames of held-out beats: phase error in degrees, of all and of the half that it is surer of."
    rows = []
    for i in range(n):
        g = seeded(HELD_OUT, 6, i)
        beat = phantom(g, frames=8)
        j = int(torch.randint(8, (), generator=g))
        seen = read(pcdm, beat.video[j:j+1])
        rows.append((math.degrees(wrap(median_phase(seen['posterior'])-beat.theta[j]).abs()), float(seen['y'].norm())))
    error, sure = np.array(rows).T
    return dict(n=n, mean_deg=error.mean(), median_deg=float(np.median(error)), sure_half_mean_deg=error[sure >= np.median(sure)].mean())


def generation(stages, referee: PCDM, n: int) -> dict:
    "Beats from one frame of held-out phantoms, with the patient's own EF asked, scored by a referee."
    rows = []
    for i in range(n):
        beat = phantom(seeded(HELD_OUT, 3, i))
        frame = int(torch.randint(len(beat), (), generator=seeded(HELD_OUT, 4, i)))
        prompt = read_prompt(stages, beat.video[frame:frame+1], alpha=beat.alpha, heart_rate=beat.heart_rate, theta=float(beat.theta[frame]))
        start = time.process_time()
        made = generate(stages, prompt, ef=beat.ef, seed=i)
        rows.append(score(made.video, beat, referee, frame) | dict(seconds=time.process_time()-start))
        print(f'{i+1}/{n}', {k: round(v, 3) for k, v in rows[-1].items() if k in ('area_correlation', 'ef', 'ef_true', 'loop_closure')}, flush=True)
    ef, true = (np.array([r[k] for r in rows]) for k in ('ef', 'ef_true'))
    return dict(n=n, ef_correlation=float(np.corrcoef(ef, true)[0, 1]), **summary(rows, seeded(HELD_OUT, 5)))


def centre_crop() -> torch.Tensor:
    "The whole real loop on the grid that \"sector centre-cropped\" is taken to mean: the middle 480 x 480 of 640 x 480, at 112 px; (t 1 h w) in [0,1]."
    film = open_dicom(Path(get_testdata_file('color3d_jpeg_baseline.dcm', download=False)))
    frames = [cv2.resize(gray(frame)[:, 80:560], (112, 112), interpolation=cv2.INTER_AREA) for frame in film.frames]
    return torch.from_numpy(np.stack(frames))[:, None].float()/255


def real(pcdm: PCDM, reference: Path) -> dict:
    "The whole real loop against an independent segmenter: landmarks on the kit's own crop, areas on the reference's grid."
    clip = real_loop(whole=True)
    cycles = find_cycles(clean(PCDMSegmenter(pcdm)(clip.video)).sum((1, 2)), clip.fps)
    area = mend(clean(PCDMSegmenter(pcdm)(centre_crop())).sum((1, 2)), clip.fps)
    truth = np.array([float(row['lv_area_smooth_px']) for row in csv.DictReader(reference.open())])
    marks = dict(ed=(49, 76, 103), es=(31, 60, 86, 114))
    near = lambda kind, f: min((abs(f-getattr(c, kind)) for c in cycles), default=None)
    rr = [c.ed2-c.ed for c in cycles if c.reason is None]
    return dict(accepted=len(rr), period_frames=float(np.mean(rr)) if rr else None,
                alpha=[c.alpha for c in cycles if c.reason is None],
                frames_off={kind: [near(kind, f) for f in frames] for kind, frames in marks.items()},
                area_px=[round(float(a), 1) for a in area], area_ratio={kind: [round(float(area[f]/truth[f]), 3) for f in frames] for kind, frames in marks.items()})


def simulated(pcdm: PCDM, path: Path) -> dict:
    "One beat of a physics simulation."
    beat = np.load(path)
    seen = read(pcdm, torch.from_numpy(beat['frames']).float()[:, None]/255)
    off = wrap(median_phase(seen['posterior'])-torch.from_numpy(beat['phase']).float()).abs().mean().item()/(2*math.pi)
    return dict(phase_mae=off, dice=dice((seen['mask'] > .5).float(), torch.from_numpy(beat['mask']).float()).mean().item())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--referee', type=Path, required=True)
    parser.add_argument('--reference', type=Path)
    parser.add_argument('--simulated', type=Path)
    parser.add_argument('--beats', type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    stages = load()
    results = dict(weights=stages.name, commit=commit(), torch=torch.__version__, machine=platform.processor() or platform.machine(), phantom=phantoms(),
                   pcdm=[reading(stages.pcdm, frames) for frames in (16, 32)], stills=stills(stages.pcdm))
    referee = PCDM.from_folder(args.referee)
    results |= dict(referee=reading(referee, 32), generated=generation(stages, referee, args.beats))
    if args.reference: results['real_loop'] = real(stages.pcdm, args.reference)
    if args.simulated: results['simulated_beat'] = simulated(stages.pcdm, args.simulated)
    write_json(shipped()/'measured.json', results)
    print(json.dumps({k: v for k, v in results.items() if k != 'real_loop'}, indent=1))


if __name__ == '__main__': main()
