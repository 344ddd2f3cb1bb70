"What a DICOM, a file name or a folder name tells of a patient reaches no store, picture, log or message."
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pydicom
import torch
from echovdiff.core.random import seeded
from echovdiff.data.video import decode, write_video
from echovdiff.data.store import Store
from echovdiff.datasets.mock import Film, screen, write_dicom, write_loops

SECRETS = "Doe", "Jane", "MRN4711", "20260102", "Springfield", "1.2.840.4711"      # name, id, date, hospital, uid


def plant(folder: Path) -> list[Path]:
    "Loops of two patients under telling names; one of them damaged, one with colour, one a report."
    write_loops(folder, [Film.from_phantom(seeded(68, i), name=f"film{i}", seconds=2.5) for i in range(3)])
    for path in sorted(folder.rglob("*.dcm")):
        ds = pydicom.dcmread(path)
        ds.PatientName, ds.PatientID, ds.StudyDate, ds.InstitutionName, ds.StudyInstanceUID = "Doe^Jane", "MRN4711", "20260102", "Springfield", "1.2.840.4711"
        ds.save_as(path)
    model = next(folder.rglob("*.dcm"))
    secret = folder / "Doe_Jane_MRN4711"
    secret.mkdir()
    good = secret / "Doe_20260102.dcm"
    good.write_bytes(model.read_bytes())
    (secret / "Doe_cut.dcm").write_bytes(model.read_bytes()[:-len(model.read_bytes()) // 3])
    (secret / "Doe_Jane.avi").write_bytes(b"RIFF\0\0\0\0AVI LIST Doe^Jane MRN4711")
    (secret / "Doe_Jane.txt").write_text("Doe^Jane MRN4711")
    ds = pydicom.dcmread(model)
    ds.Modality = "OT"
    ds.save_as(secret / "Doe_other.dcm")
    return sorted(p for p in folder.rglob("*") if p.is_file())


def run(*args) -> str:
    done = subprocess.run([Path(sys.executable).with_name("echovdiff"), *map(str, args)], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr[-2000:]
    return done.stdout + done.stderr


def by_chance(file: Path, secret: str) -> bool:
    "Among a million compressed bytes of pixels any three letters turn up somewhere; five, not in ten thousand such files."
    return file.parent.parts[-5:-4] == ("c",) and len(secret) < 5


def test_nothing_of_a_patient_gets_out(tmp_path):
    plant(tmp_path / "set")
    said = run("prepare", tmp_path / "set", "--out", tmp_path / "store", "--workers", 1) + run("doctor", tmp_path / "set", "--all") + run("doctor", tmp_path / "store")
    written = {f: f.read_bytes() for f in (tmp_path / "store").rglob("*") if f.is_file()}
    assert len(Store(tmp_path / "store")) >= 3 and len(written) >= 8
    for secret in SECRETS:
        assert secret.lower() not in said.lower(), said
        assert not [f for f in written if secret.lower() in str(f.relative_to(tmp_path)).lower()], secret
        assert not [f for f, data in written.items() if not by_chance(f, secret) and secret.lower().encode() in data.lower()], secret


def test_burnt_in_text_is_cut_away(tmp_path):
    "The same film with and without text on the screen is the same clip; and there was text."
    film = Film.from_phantom(seeded(68, 9), name="film", seconds=2.)
    clips, screens = [], []
    for words in ("DOE JANE", ""):
        path = tmp_path / f"{len(clips)}.dcm"
        screens.append(screen(film, words))
        write_dicom(screens[-1], path, film.fps)
        clips.append(decode(path))
    assert (screens[0] != screens[1]).any()
    assert np.array_equal(clips[0].video, clips[1].video)


def labelled(film: Film, words: str) -> np.ndarray:
    "The film as it is, 112 x 112, with small words in both top corners, beside the fan: (t h w) uint8."
    frames = film.video.copy()
    for page in frames:
        cv2.putText(page, words, (1, 9), cv2.FONT_HERSHEY_SIMPLEX, .3, 220, 1)
        cv2.putText(page, words[:3], (92, 9), cv2.FONT_HERSHEY_SIMPLEX, .3, 220, 1)
    return frames


def test_burnt_in_text_is_cut_away_at_112(tmp_path):
    "A film that has just the size of the clips is cut to its fan, too: a DICOM to the fitted fan, another file to its hull."
    film = Film.from_phantom(seeded(68, 10), name="film", seconds=2.)
    named, bare = labelled(film, "DOE"), labelled(film, "")
    letters = (named != bare).any(0)
    assert named.shape[1:] == (112, 112) and letters.sum() > 60
    clips = []
    for frames in (named, bare):
        dicom, gif = tmp_path / f"{len(clips)}.dcm", tmp_path / f"{len(clips)}.gif"
        write_dicom(np.repeat(frames[..., None], 3, -1), dicom, film.fps)
        write_video(torch.from_numpy(frames[:, None]).float() / 255, gif, film.fps, scale=1)
        clips.append((decode(dicom).video, decode(gif).video))
    (dicom, gif), (bare_dicom, bare_gif) = clips
    assert torch.equal(dicom, bare_dicom) and dicom.max() > .5
    assert not dicom[:, 0, :8, :24].any() and not dicom[:, 0, :8, -24:].any()
    assert (gif - bare_gif).abs().max() < 5 / 255  # beside letters the fan's faintest edge, up to 4 of 255, counts as background
    assert not gif[:, 0, letters].any() and gif.max() > .5
