"""Measure the shipped weights and write echovdiff/weights/measured.json: every number in README and notes comes from here.

    python tools/measure.py [PART ...] [--scorer FOLDER] [--reference CSV] [--simulated NPZ] [--n 128] [--many 300]

Parts, all of them by default: phantom, reading, stills, generated, floor, asked, poor, real. A part that is asked for anew
replaces its old numbers, if these are of the same weights and the same scorer. The scorer (notebook 55), of another architecture, seed and
training set, scores the generated beats and is never used to make them. CSV and NPZ are the reference of the real loop and
the simulated beat; without them those rows are left out. With --n 128 --many 300 all takes about an hour on two cores.
"""
import argparse
import csv
import json
import math
import platform
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from joblib import Parallel, delayed
from equipment import equipment, reader
from pydicom.data import get_testdata_file

from echovdiff.core.files import write_json
from echovdiff.core.random import seeded
from echovdiff.phase.axis import alpha_prior, unwarp, wrap
from echovdiff.phase.posterior import expected_phase_error, median_phase
from echovdiff.phase.beat import Beat, ef_area_length
from echovdiff.phantom.imaging import frame_correlation, radial_power
from echovdiff.phantom.render import phantom
from echovdiff.data.sector import gray
from echovdiff.data.video import open_dicom, real_loop
from echovdiff.cycles.segmenter import clean, dice
from echovdiff.cycles.cycles import find_cycles, mend
from echovdiff.metrics.physiology import (
    ef_of, frechet, interval_about, main_axes, phase_error, score, summarise,
)
from echovdiff.models.stage import shipped
from echovdiff.models.pcdm import PCDM, PCDMSegmenter, read
from echovdiff.training.pipeline import commit
from echovdiff.training.pretrained import Stages, load_weights
from echovdiff.generate.generate import generate
from echovdiff.generate.prompt import read_prompt
from echovdiff.generate.synthesize import play
from echovdiff.evaluate.scorer import Scorer, scorer_name
from echovdiff.evaluate.protocol import HELD_OUT, distances

SEEDS = 0, 1, 2  # of the measurement: other hearts and other noise
FRAMES = dict(ED=0, ES=16, late=26)  # prompts of a beat of 32 frames: end-diastole, end-systole, late diastole
mean = lambda v: float(np.mean(v))


def spread(values) -> dict:
    "Mean over all, and the mean of each seed."
    values = np.array(values, float).reshape(len(SEEDS), -1)
    return dict(mean=values.mean(), seeds=values.mean(1).tolist())


def side_by_side(work, *args, n: int, parts: int = 2) -> list:
    "`work(seed, i, *args)` for `n` hearts of each seed, in two processes, seed by seed."
    return Parallel(parts)(delayed(work)(seed, i, *args) for seed in SEEDS for i in range(n))


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


def ultrasound(video: torch.Tensor, how: str, g: torch.Generator) -> torch.Tensor:
    "Poor input: gain down 12 dB on a display of 60 dB, noise, a third of the sector without contact, half the resolution."
    if how == 'gain -12 dB': return (video-12/60).clamp(0)
    if how == 'noise': return (video+.1*torch.randn(video.shape, generator=g)*(video > .01)).clamp(0, 1)
    if how == 'dropout of a third':
        h, w = video.shape[-2:]
        y, x = torch.meshgrid(torch.arange(h).float(), torch.arange(w)-w/2, indexing='ij')
        angle = torch.atan2(x, y+1.)
        edge = (torch.rand((), generator=g)*2-1)*math.pi/12  # the middle of a sector of 90 degrees; 30 of them go dark
        return video*(1-torch.exp(-((angle-edge)/(math.pi/12))**8))
    if how == 'half resolution': return F.interpolate(F.interpolate(video, scale_factor=.5, mode='area'), scale_factor=2, mode='bilinear')
    return video


POOR = 'gain -12 dB', 'noise', 'dropout of a third', 'half resolution'


def misread(pcdm: PCDM, video: torch.Tensor, mask: torch.Tensor, theta: torch.Tensor) -> tuple[float, float, float]:
    "Phase error (fraction of a beat), Dice and EF of PCDM's reading of a whole beat (t 1 h w)."
    seen = read(pcdm, video)
    hard = (seen['mask'] > .5).float()
    ef = ef_area_length(hard[seen['area'].argmax()], hard[seen['area'].argmin()])
    return phase_error(median_phase(seen['posterior']), theta).item(), dice(hard, (mask > .5).float()).mean().item(), float(ef)


def one_reading(seed: int, i: int, frames: int, how: str = '') -> tuple:
    "PCDM on a whole held-out beat that starts anywhere: phase error, Dice, EF read, EF."
    pcdm, g = reader(), seeded(HELD_OUT, 2, seed, i)
    beat = phantom(g, frames=frames)
    start = int(torch.randint(frames, (), generator=g))
    video, mask, theta = (x.roll(-start, 0) for x in (ultrasound(beat.video, how, g), beat.mask, beat.theta))
    return *misread(pcdm, video, mask, theta), beat.ef


def reading(n: int, frames: int, how: str = '') -> dict:
    "PCDM on whole beats."
    error, overlap, ef, true = np.array(side_by_side(one_reading, frames, how, n=n)).T
    seen = np.isfinite(ef)
    return dict(n=len(ef), frames=frames, phase_mae=spread(error), dice=spread(overlap), no_ventricle=int((~seen).sum()),
                ef_correlation=np.corrcoef(ef[seen], true[seen])[0, 1], ef_mae_points=100*mean(np.abs(ef-true)[seen]), ef_bias_points=100*mean((ef-true)[seen]))


def one_still(seed: int, i: int, how: str = '') -> tuple:
    "PCDM on one frame: error in degrees, expected_phase_error in degrees."
    pcdm, g = reader(), seeded(HELD_OUT, 6, seed, i)
    beat = phantom(g, frames=8)
    j = int(torch.randint(8, (), generator=g))
    posterior = read(pcdm, ultrasound(beat.video[j:j+1], how, g))['posterior']
    return math.degrees(wrap(median_phase(posterior)-beat.theta[j]).abs()), math.degrees(expected_phase_error(posterior))


def stills(n: int, how: str = '') -> dict:
    "PCDM on single frames: error of all, and of the half that it is surer of."
    error, said = np.array(side_by_side(one_still, how, n=n)).T
    sure = said <= np.median(said)
    return dict(n=len(error), mean_deg=spread(error), median_deg=float(np.median(error)), sure_half_mean_deg=error[sure].mean(), doubt_deg=said.mean(), confidence=1-said.mean()/90)


def features(scorer: Scorer, video: torch.Tensor) -> np.ndarray:
    "What the scorer sees of a beat, (2 d). A stand-in for FVD's network."
    return scorer.features(scorer(video[None]))[0].numpy()


def draw(stages: Stages, beat: Beat, frame: int, seed: int, ef: float | None = None, alpha: float | None = None, picture: torch.Tensor | None = None) -> tuple[Beat, float]:
    "A beat from one frame of a held-out heart, whose phase is known; and its process time. EF and α are its own unless asked otherwise."
    start = time.process_time()
    prompt = read_prompt(stages, beat.video[frame:frame+1] if picture is None else picture, alpha=alpha or beat.alpha, heart_rate=beat.heart_rate, theta=float(beat.theta[frame]))
    made = generate(stages, prompt, ef=ef or beat.ef, seed=seed)
    return made, time.process_time()-start


def codec_psnr(stages: Stages, frame: torch.Tensor) -> float:
    "What the codec alone keeps of a frame (1 1 h w), in dB."
    return float(-10*(stages.codec.decode(stages.codec.encode(frame))-frame).square().mean().log10())


@torch.no_grad()
def one_generated(seed: int, i: int, scorer: str, where: dict, how: str = '') -> list[tuple[dict, np.ndarray]]:
    "Beats from one heart, from each of the frames `where` names (or from any); scored, and as features."
    stages, judge = equipment(scorer)
    beat = phantom(seeded(HELD_OUT, 3, seed, i))
    g, found = seeded(HELD_OUT, 4, seed, i), []
    where = where or dict(any=int(torch.randint(len(beat), (), generator=g)))
    film = ultrasound(beat.video, how, g)
    real = score(film, beat, judge)                                                         # the floor of every grade: the real beat, as poor as the prompt
    for name, frame in where.items():
        made, seconds = draw(stages, beat, frame, seed, picture=film[frame:frame+1])
        row = score(made.video, beat, judge, frame)
        row |= dict(seconds=seconds, codec_psnr=codec_psnr(stages, beat.video[frame:frame+1]), real_ef_error=real['ef_error'], real_phase_error=real['phase_error'])
        found.append((row | dict(prompt=name), features(judge, made.video)))
    return [*found, (real, features(judge, beat.video))]


def whole(rows: list[dict]) -> dict:
    "All metrics of many beats."
    rows = [{k: v for k, v in row.items() if k != 'prompt'} for row in rows]
    ef, true = (np.array([r[k] for r in rows]) for k in ('ef', 'ef_true'))
    return dict(n=len(rows), ef_correlation=float(np.corrcoef(ef, true)[0, 1]), **summarise(rows, seeded(HELD_OUT, 5)))


def generated(n: int, scorer: str) -> dict:
    "Beats from ED, ES and late diastole of the same hearts; Frechet distances to other hearts, on the 64 axes along which real beats vary most."
    found = side_by_side(one_generated, scorer, FRAMES, n=-(-n//len(SEEDS)))
    real = np.array([many[-1][1] for many in found])
    other = np.array(Parallel(2)(delayed(real_features)(i, scorer) for i in range(len(real))))
    sets = {name: np.array([many[k][1] for many in found]) for k, name in enumerate(FRAMES)}
    far = distances({name: [dict(features=f) for f in some] for name, some in (sets | dict(real=real, others=other)).items()})
    rows = {name: [many[k][0] for many in found] for k, name in enumerate(FRAMES)}
    prompts = {name: dict(frechet=far[name]['frechet'][0], interval=far[name]['frechet'][1:], ef_mae_points=100*mean([r['ef_error'] for r in some]), phase_mae=mean([r['phase_error'] for r in some]))
               for name, some in rows.items()}
    seen = main_axes(other)
    return whole([row for some in rows.values() for row in some]) | dict(hearts=len(real), real=whole([many[-1][0] for many in found]),
        prompts=prompts, prompts_apart=prompts_apart(np.stack([seen(some) for some in sets.values()]), seen(other)), frechet_real=far['real']['frechet'][0])


def prompts_apart(made: np.ndarray, other: np.ndarray, times: int = 400) -> dict:
    "Does it matter which frame is shown? How far apart their distances lie, and how far where the beats of each heart are shuffled, so that it cannot matter."
    def apart(sets: np.ndarray) -> float:
        far = [frechet(some, other) for some in sets]
        return max(far)/min(far)-1
    g, hearts = np.random.default_rng(HELD_OUT), np.arange(made.shape[1])
    order = np.tile(np.arange(len(made))[:, None], len(hearts))
    drawn = [apart(made[:, g.integers(len(hearts), size=len(hearts))]) for _ in range(times//2)]        # the same hearts for all prompts
    again = np.array([apart(made[g.permuted(order, axis=0), hearts]) for _ in range(times)])
    return dict(apart=apart(made), interval=interval_about(apart(made), drawn), shuffled=np.quantile(again, (.025, .5, .975)).tolist(), as_far=float((again >= apart(made)).mean()), times=times)


@torch.no_grad()
def real_features(i: int, scorer: str) -> np.ndarray:
    "Of a heart that no beat was made from."
    return features(equipment(scorer)[1], phantom(seeded(HELD_OUT, 7, i)).video)


@torch.no_grad()
def one_asked(seed: int, i: int, scorer: str) -> tuple:
    "EF and α asked, as drawn at random, and obtained: EF by the scorer's mask, α by cutting the played film where the scorer sees area turn; beside it, the same cut through the true area of the prompt's own heart."
    stages, judge = equipment(scorer)
    g = seeded(HELD_OUT, 8, seed, i)
    beat = phantom(g)
    frame, (ef, alpha) = int(torch.randint(len(beat), (), generator=g)), (torch.rand(2, generator=g)*torch.tensor([.6, .3])+torch.tensor([.15, .25])).tolist()
    made, _ = draw(stages, beat, frame, seed, ef=ef, alpha=alpha)
    start = float(torch.rand((), generator=g))
    film, (_, mask) = play(made, start, 3.5, 50.)[0], play(replace(beat, alpha=alpha, tau=unwarp(beat.theta, alpha)), start, 3.5, 50.)
    return ef, float(ef_of(judge(made.video[None])['mask'])), alpha, cut_alpha(judge(film[None])['area'][0]), cut_alpha(mask.sum((1, 2))), beat.ef


@torch.no_grad()
def one_floor(seed: int, i: int, scorer: str | None) -> tuple[dict, float]:
    "The scorer on a real beat, and on its film: metrics, and how far off the α is that is cut from the areas it sees."
    _, judge = equipment(scorer)
    g = seeded(HELD_OUT, 9, seed, i)
    beat, alpha, start = phantom(g), .25+.3*float(torch.rand((), generator=g)), float(torch.rand((), generator=g))
    film, _ = play(replace(beat, alpha=alpha, tau=unwarp(beat.theta, alpha)), start, 3.5, 50.)
    return score(beat.video, beat, judge), cut_alpha(judge(film[None])['area'][0])-alpha


def floor(n: int, scorer: str | None) -> dict:
    "What the scorer says of real beats: no beat can be graded better."
    rows, off = zip(*side_by_side(one_floor, scorer, n=n))
    off = np.array(off)
    return whole(list(rows)) | dict(alpha=dict(n=int(np.isfinite(off).sum()), mae=float(np.nanmean(abs(off))), bias=float(np.nanmean(off))))


def cut_alpha(area: torch.Tensor) -> float:
    "The median α of a film's beats at 50 frames a second; nan where there are none."
    found = [c.alpha for c in find_cycles(area, 50.) if c.reason is None]
    return float(np.median(found)) if found else math.nan


def asked(n: int, scorer: str) -> dict:
    "EF in 15 to 75 % and α in .25 to .55, asked independently of the heart that the prompt shows."
    ef, got, alpha, cut, floor, own = np.array(side_by_side(one_asked, scorer, n=n)).T
    seen = np.isfinite(cut)
    off = lambda v: dict(mae=float(np.nanmean(np.abs(v-alpha))), bias=float(np.nanmean(v-alpha)))
    return dict(n=len(ef), ef=dict(correlation=np.corrcoef(ef, got)[0, 1], mae_points=spread(100*np.abs(got-ef)), bias_points=spread(100*(got-ef)), slope=np.polyfit(ef, got, 1)[0], correlation_with_own=np.corrcoef(own, got)[0, 1]),
                alpha=dict(n=int(seen.sum()), **off(cut), of_the_cutter=off(floor), correlation=np.corrcoef(cut[seen], alpha[seen])[0, 1], of_the_prior=mean(np.abs(alpha-float(alpha_prior(70.))))))


def quick(n: int, scorer: str, how: str) -> dict:
    "Beats from any frame of poor input, in fewer words."
    rows = [many[0][0] for many in side_by_side(one_generated, scorer, {}, how, n=n)]
    full = whole(rows)
    return dict(n=full['n'], ef_correlation=full['ef_correlation'], **{k: full[k]['median' if 'correlation' in k else 'mean'][0] for k in ('phase_error', 'area_correlation', 'ef_error', 'ef_bias', 'loop_closure', 'prompt_psnr', 'power_8', 'power_12', 'power_16', 'seconds', 'real_ef_error', 'real_phase_error') if k in full})


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
    frames, mask, theta = (torch.from_numpy(beat[name]).float() for name in ('frames', 'mask', 'phase'))
    off, overlap, _ = misread(pcdm, frames[:, None]/255, mask, theta)
    return dict(phase_mae=off, dice=overlap)


def measure(part: str, args: argparse.Namespace) -> dict:
    "The numbers of one part."
    n, few, pcdm, scorer = args.n, -(-args.n//len(SEEDS)), reader(), args.scorer
    if part == 'phantom': return dict(phantom=phantoms())
    if part == 'reading': return dict(pcdm=[reading(few, frames) for frames in (16, 32)])
    if part == 'stills': return dict(stills=stills(n))
    if part == 'generated': return dict(generated=generated(args.many, scorer))
    if part == 'floor': return dict(floor=floor(-(-few//2), scorer))
    if part == 'asked': return dict(asked=asked(few, scorer))
    if part == 'poor': return dict(poor={how: dict(pcdm=reading(few, 32, how), stills=stills(few, how), generated=quick(few, scorer, how)) for how in POOR})
    found = dict(real_loop=real(pcdm, args.reference)) if args.reference else {}
    return found | (dict(simulated_beat=simulated(pcdm, args.simulated)) if args.simulated else {})


PARTS = 'phantom', 'reading', 'stills', 'generated', 'floor', 'asked', 'poor', 'real'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('parts', nargs='*', choices=[*PARTS, []], help='what to measure (default: all)')
    parser.add_argument('--scorer', help='folder of another scorer than the one that ships')
    parser.add_argument('--reference', type=Path)
    parser.add_argument('--simulated', type=Path)
    parser.add_argument('--n', type=int, default=128)
    parser.add_argument('--many', type=int, default=300)
    args = parser.parse_args()
    torch.set_num_threads(1)
    names, path = dict(weights=load_weights().name, scorer=scorer_name(args.scorer)), shipped()/'measured.json'
    old = json.loads(path.read_text()) if path.exists() else {}
    results = old if names.items() <= old.items() else {}
    for part in args.parts or PARTS:
        start = time.time()
        results |= names | dict(commit=commit(), torch=torch.__version__, machine=platform.processor() or platform.machine()) | measure(part, args)
        write_json(path, results)
        print(f'{part}: {time.time()-start:.0f} s', flush=True)


if __name__ == '__main__': main()
