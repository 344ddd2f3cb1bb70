"""Measure the way from files to beats: decoding, cycle cutting, prepare, random reads, kills, corrupt files.

    python tools/measure_data.py [decode screens cycles prepare read kill corrupt]      # all of them: about 25 minutes on two cores

Everything happens on made hearts, in a temporary folder. Results go into nbs/measured/data.json, which the notebooks print.
"""
import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch
from joblib import Parallel, delayed
from PIL import Image

from echovdiff.core.files import write_json
from echovdiff.core.random import seeded
from echovdiff.phantom.heart import Heart
from echovdiff.phantom.render import cine, phantom
from echovdiff.data.sector import Clip
from echovdiff.data.video import decode as decode_film, read_clip
from echovdiff.data.store import Store, beat_row, finish, pack, write_part
from echovdiff.cycles.cycles import find_cycles
from echovdiff.datasets.mock import Film, screen, write_dicom, write_echonet, write_loops
from echovdiff.datasets.recordings import Recording
from echovdiff.datasets.extract_beats import Recipe, at_rate, read_films, segmenter_of

OUT = Path(__file__).parents[1] / "nbs/measured/data.json"


def practice_set(folder: Path, films: int, distinct: int = 48) -> None:
    "An EchoNet-Dynamic folder of `films` videos of 175 frames; every `distinct`-th one is a copy under another name."
    made = Parallel(2)(delayed(Film.from_phantom)(seeded(6400, i), name=f"0X{i:06X}") for i in range(min(distinct, films)))
    write_echonet(folder, [f if i < distinct else made[0].__class__(**{**vars(made[i % distinct]), "name": f"0X{i:06X}"})
                           for i in range(films) for f in [made[i % distinct]]])


def echonet_loop(path: str) -> np.ndarray:
    "The frame loop of EchoNet-Dynamic's loader, in its steps: a frame, RGB, into an array; then channels first."
    film = cv2.VideoCapture(path)
    count, width, height = (int(film.get(k)) for k in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    video = np.zeros((count, height, width, 3), np.uint8)
    for i in range(count): video[i] = cv2.cvtColor(film.read()[1], cv2.COLOR_BGR2RGB)
    return video.transpose((3, 0, 1, 2))


def decode(work: Path) -> dict:
    "Milliseconds a video, interleaved, on one core; ours includes every check and the conversion to float."
    practice_set(work / "set", 16)
    films = sorted((work / "set/Videos").glob("*.avi"))
    ways = dict(ours=lambda p: decode_film(p, clean=True).video, echonet_loop=lambda p: echonet_loop(str(p)),
                echonet_loop_as_float=lambda p: echonet_loop(str(p)).astype(np.float32))
    times = {name: [] for name in ways}
    for _ in range(8):
        for path in films:
            for name, way in ways.items():
                start = time.process_time(); way(path); times[name].append(time.process_time() - start)
    return dict(n=len(times["ours"]), frames=175, **{f"{k}_ms": round(1e3 * float(np.median(v)), 2) for k, v in times.items()},
                ours_videos_per_second=round(1 / float(np.median(times["ours"])), 1))


def screens(work: Path) -> dict:
    "Seconds of one core to decode a scanner's screen, 800 x 600 in an uncompressed DICOM, 175 frames: what comes on top of a film of 112 x 112."
    film, times = Film.from_phantom(seeded(6700, 0), name="screen", seconds=3.5, size=210), []
    wide = np.stack([cv2.resize(f, (800, 600)) for f in screen(film)])
    write_dicom(wide, work / "screen.dcm", film.fps)
    for _ in range(5):
        begin = time.process_time(); read_clip(work / "screen.dcm"); times.append(time.process_time() - begin)
    return dict(n=len(times), frames=len(wide), width=800, height=600, decode_seconds=round(float(np.median(times)), 2))


def long_film(i: int) -> dict:
    "Areas of one long phantom video, true and as PCDM reads them, with the true moments of ED and ES."
    torch.set_num_threads(1)
    g = seeded(8000, i)
    u = torch.rand(4, generator=g).tolist()
    rate, fps, seconds = 40 + 120 * u[0], 25 + 55 * u[1], 3 + 2 * u[2]
    film = cine(g, Heart.draw(g, heart_rate=rate), seconds=seconds, fps=fps, drift=.015, rr_spread=.05)
    video = (film.video + .04 * u[3] * torch.randn(film.video.shape, generator=g)).clamp(0, 1)
    for _ in range(2):                                                         # contact is lost: 60 ms go dark, twice
        at = int(torch.randint(len(video), (), generator=g))
        video[at:at + max(1, int(.06 * fps))] *= .3
    mask = at_rate(segmenter_of("pcdm"), 30.)(None, Clip(video, fps, "film"))
    area, noise = film.area.double(), np.random.default_rng(i)
    stroke = float(np.ptp(np.quantile(area, (.05, .95))))
    area = area.numpy() + .02 * stroke * noise.standard_normal(len(area))      # true masks, 2 % noise, a frame in 100 lost
    area[noise.random(len(area)) < .01] = 0
    return dict(rate=rate, fps=fps, ed=film.ed, es=film.es, area=dict(true=area, pcdm=mask.sum((1, 2)).double().numpy()))


def landmarks(film: dict, kind: str) -> tuple[int, list[list[float]], int]:
    "Whole beats in a film; for each that was found, how far ED, ES and the next ED are off, in frames; beats that are none."
    near = max(2, .12 * 60 / film["rate"] * film["fps"])
    beats = [(a, e, b) for a, b in zip(film["ed"], film["ed"][1:]) for e in film["es"] if a < e < b]
    found = [c for c in find_cycles(torch.from_numpy(film["area"][kind]), film["fps"]) if c.reason is None]
    off = [[abs(c.ed - round(a)), abs(c.es - round(e)), abs(c.ed2 - round(b))] for a, e, b in beats for c in [c for c in found if abs(c.es - e) <= near][:1]]
    return len(beats), off, len(found) - len(off)


def cycles(work: Path, n: int = 500) -> dict:
    "Whole beats found and how well, on long phantom videos."
    films = Parallel(2)(delayed(long_film)(i) for i in range(n))
    result = dict(n=n, seeds=[8000], rr_spread=.05, area_noise=.02, lost_frames=.01)
    for kind, most in (("true", 1), ("pcdm", 2)):
        scores = [landmarks(f, kind) for f in films]
        whole, off = sum(s[0] for s in scores), np.array(sum((s[1] for s in scores), []))
        result[kind] = dict(whole_beats=whole, found=round(len(off) / whole, 4), accepted_but_not_whole=sum(s[2] for s in scores), frames_allowed=most,
                            ed_within=round(float((off[:, ::2] <= most).mean()), 4), es_within=round(float((off[:, 1] <= most).mean()), 4),
                            landmarks_within=round(float((off <= most).mean()), 4))
    return result


@contextlib.contextmanager
def memory_of(process: psutil.Process, peak: dict):
    "Watch the memory of a process and its children: proportional set size, which counts shared pages once, in MB."
    stop = threading.Event()
    def callback():
        while not stop.wait(1.):                                               # reading it costs the watched processes their time
            total = 0
            for p in [process, *process.children(recursive=True)]:
                with contextlib.suppress(psutil.Error): total += p.memory_full_info().pss
            peak["mb"] = max(peak.get("mb", 0), total // 2**20)
    thread = threading.Thread(target=callback); thread.start()
    try: yield
    finally: stop.set(); thread.join()


def command(*args: str) -> list[str]: return [str(Path(sys.executable).with_name("echovdiff")), *map(str, args)]


def timed(source: Path, store: Path) -> tuple[float, int]:
    "Seconds and peak MB of `echovdiff prepare` on two processes."
    start, peak = time.time(), {}
    run = subprocess.Popen(command("prepare", source, "--out", store, "--workers", 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with memory_of(psutil.Process(run.pid), peak): assert run.wait() == 0
    return time.time() - start, peak["mb"]


def prepare(work: Path) -> dict:
    "Videos a second and memory, end to end with PCDM's masks, for a small set and one four times as large."
    small, large = 160, 640
    practice_set(work / "small", small); practice_set(work / "large", large)
    (s, s_mb), (l, l_mb) = timed(work / "small", work / "a"), timed(work / "large", work / "b")
    store = Store(work / "b")
    size = sum(f.stat().st_size for f in (work / "b").rglob("*") if f.is_file())
    return dict(films=large, frames=175, workers=2, videos_per_second=round(large / l, 2), videos_per_second_without_start=round((large - small) / (l - s), 2),
                core_seconds_per_film=round(2 * l / large, 3), peak_mb_small=s_mb, peak_mb=l_mb, beats=len(store), beats_per_film=round(len(store) / large, 2), bytes_per_beat=round(size / len(store)))


def read(work: Path, beats: int = 20_000) -> dict:
    "One beat at random from a large store."
    made = [phantom(seeded(6500, i)) for i in range(20)]
    rows = [beat_row(b, (0, 12, 31), 50.) for b in made]
    part = 100
    for p in range(beats // part): write_part(work / "s", p, [pack(b) for b in made] * (part // 20), dict(beats=rows * (part // 20), films=[], rejected=[]))
    start, before = time.perf_counter(), psutil.Process().memory_info().rss
    store = finish(work / "s", beats // part, dict(frames=32, uniform="phase"))
    start = time.perf_counter(); store = Store(work / "s"); opened = time.perf_counter() - start
    times = []
    for i in np.random.default_rng(0).integers(0, beats, 2000).tolist():
        start = time.perf_counter(); store[i]; times.append(1e3 * (time.perf_counter() - start))
    return dict(beats=len(store), reads=len(times), open_ms=round(1e3 * opened, 1), median_ms=round(float(np.median(times)), 2), p95_ms=round(float(np.quantile(times, .95)), 2),
                grown_mb=(psutil.Process().memory_info().rss - before) // 2**20)


def contents(store: Path) -> dict: return {str(f.relative_to(store)): f.read_bytes() for f in sorted(store.rglob("*")) if f.is_file()}


def kill(work: Path, times: int = 10) -> dict:
    "kill -9 the whole process group at random moments, go on, and compare with an unbroken run byte for byte."
    practice_set(work / "set", 160, distinct=32)
    whole, _ = timed(work / "set", work / "unbroken")
    chance, done = random.Random(0), []
    while len(done) < times:
        run = subprocess.Popen(command("prepare", work / "set", "--out", work / "broken", "--workers", 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        moment = chance.uniform(.5, .45 * whole)
        try: run.wait(moment)
        except subprocess.TimeoutExpired: os.killpg(run.pid, signal.SIGKILL); run.wait()
        done.append(len(list((work / "broken/parts").glob("*/[0-9]*"))))
        if run.returncode == 0: shutil.rmtree(work / "broken")               # it was finished before it was killed: begin anew
    assert subprocess.run(command("prepare", work / "set", "--out", work / "broken", "--workers", 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    a, b = contents(work / "unbroken"), contents(work / "broken")
    return dict(kills=times, parts_after_each=done, same=a == b, files=len(a))


def spoil_file(good: bytes, how: int, chance: random.Random) -> bytes:
    "One of the ways in which a file gets broken."
    if how == 0: return good[:chance.randrange(1, len(good))]
    if how == 1:
        out = bytearray(good)
        for _ in range(chance.choice((1, 20, 500))): out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
        return bytes(out)
    if how == 2: return chance.randbytes(5000)
    if how == 3: return b""
    if how == 4: return good[:200] + bytes(len(good) - 200)
    out = bytearray(good)                                                     # sizes in the header become huge
    for at in range(0, min(400, len(out) - 4), 4):
        if chance.random() < .25: out[at:at + 4] = struct.pack("<I", chance.choice((2**31 - 1, 2**32 - 1, 10**6)))
    return bytes(out)


def longest(paths: list[Path]) -> float:
    "Seconds that the slowest of some files holds up `prepare`, each read by itself, on the clock."
    times, recipe = [], Recipe()
    for path in paths:
        start = time.perf_counter(); list(read_films([Recording(path, None, "p", "train")], recipe)); times.append(time.perf_counter() - start)
    return round(max(times), 2)


def corrupt(work: Path, n: int = 200) -> dict:
    "Two hundred broken files of every kind among good ones."
    films = [Film.from_phantom(seeded(6600, i), name=f"f{i}", seconds=2.) for i in range(8)]
    write_loops(work / "set", films)
    good = sorted(p for p in (work / "set").rglob("*") if p.is_file())
    chance = random.Random(1)
    (work / "set/broken").mkdir()
    for i in range(n - 2):
        model = chance.choice(good)
        suffix = chance.choice((model.suffix, ".avi", ".dcm", ".mp4", ".gif"))      # some have the wrong extension
        data = spoil_file(model.read_bytes(), i % 6, chance)
        (work / f"set/broken/b{i:03d}{suffix}").write_bytes(data)
    Image.new("P", (9000, 9000)).save(work / "set/broken/bomb.gif", save_all=True, append_images=[Image.new("P", (9000, 9000), 1)])
    two = (work / "set/broken/bomb.gif").read_bytes()                         # a bomb: its second frame 40 times, more than 2**31 pixels
    (work / "set/broken/bomb.gif").write_bytes(two[:-1] + two[two.rindex(b"\x21\xf9\x04"):-1] * 40 + b";")
    cv2.VideoWriter(str(work / "set/broken/none.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 30, (112, 112)).release()
    seconds, mb = timed(work / "set", work / "store")
    with open(work / "store/films.csv") as file: lines = file.read().splitlines()[1:]
    facts = json.loads((work / "store/summary.json").read_text())
    problems = sum(facts["problems"].values())
    good_beats = len({r["source"] for r in Store(work / "store").rows()})
    segmenter_of("pcdm")(None, read_clip(good[0]))                           # the weights are loaded once, for whatever film comes first
    slowest = longest(sorted((work / "set/broken").iterdir()))
    return dict(broken=n, good=len(good), films_listed=len(lines), faults=facts["faults"], films_with_a_problem=problems, films_with_beats=good_beats, seconds=round(seconds, 1), longest_seconds=slowest,
                peak_mb=mb, problems=facts["problems"])


def main():
    names = dict(decode=decode, screens=screens, cycles=cycles, prepare=prepare, read=read, kill=kill, corrupt=corrupt)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=list(names))
    torch.set_num_threads(1)
    for name in parser.parse_args().what:
        work = Path(tempfile.mkdtemp(prefix="echovdiff-measure-"))
        start = time.time()
        try: facts = names[name](work)
        finally: shutil.rmtree(work, ignore_errors=True)
        all_ = json.loads(OUT.read_text()) if OUT.exists() else {}
        write_json(OUT, dict(sorted((all_ | {name: facts}).items())))
        print(f"{name} ({time.time() - start:.0f} s): {json.dumps(facts)}", flush=True)


if __name__ == "__main__": main()
