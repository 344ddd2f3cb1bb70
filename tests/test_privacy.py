"What a DICOM, a file name or a folder name tells of a patient reaches no store, picture, log or message."
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
from echovdiff.data import seeded
from echovdiff.layout import Film, screen, write_dicom, write_loops
from echovdiff.store import Store
from echovdiff.video import decode

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


def test_nothing_of_a_patient_gets_out(tmp_path):
    plant(tmp_path / "set")
    said = run("prepare", tmp_path / "set", "--out", tmp_path / "store", "--workers", 1) + run("doctor", tmp_path / "set", "--all") + run("doctor", tmp_path / "store")
    written = {f: f.read_bytes() for f in (tmp_path / "store").rglob("*") if f.is_file()}
    assert len(Store(tmp_path / "store")) >= 3 and len(written) >= 8
    for secret in SECRETS:
        assert secret.lower() not in said.lower(), said
        assert not [f for f, data in written.items() if secret.lower() in str(f.relative_to(tmp_path)).lower() or secret.lower().encode() in data.lower()], secret


def test_burnt_in_text_is_cut_away(tmp_path):
    "The same film with and without text on the screen is the same clip; and there was text."
    film = Film.from_phantom(seeded(68, 9), name="film", seconds=1.)
    clips, screens = [], []
    for words in ("DOE JANE", ""):
        path = tmp_path / f"{len(clips)}.dcm"
        screens.append(screen(film, words))
        write_dicom(screens[-1], path, film.fps)
        clips.append(decode(path))
    assert (screens[0] != screens[1]).any()
    assert np.array_equal(clips[0].video, clips[1].video)
