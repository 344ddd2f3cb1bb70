"""Every command on every page works: the cheap ones are run, the others are read by the parser that would read them.

A command is a line of a fence without a language or in ```bash, a `!line` of a code cell, or `a command with its words`
in a sentence. Each program has an entry in PROGRAMS; a program that nobody knows fails with the page and the line.
"""
import csv
import json
import re
import shlex
from configparser import ConfigParser
from importlib.metadata import entry_points
from itertools import dropwhile
from pathlib import Path

import numpy as np
import pytest
from accelerate.commands.launch import launch_command_parser
from packaging.requirements import Requirement
from PIL import Image
from torch.distributed.run import get_args_parser as torchrun_parser

from echovdiff.cli import main
from echovdiff.core.random import seeded
from echovdiff.phantom.render import phantom
from echovdiff.data.video import content_hash, write_video
from echovdiff.models.pcdm import PCDM, PCDMConfig
from echovdiff.training.user_stills import phantom_stills, write_stills
from echovdiff.datasets.mock import Film, write_loops

ROOT = Path(__file__).parents[1]
SETTINGS = ConfigParser(delimiters=["="])
SETTINGS.read(ROOT / "settings.ini", encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
CHEAP = dict(steps=1, frames=8, n=1, seconds=1., workers=1, scheduler=None, minutes=.02)     # instead of what a page asks for
NOT_RUN = dict(train="hours long; training/02_pipeline and cli/03_train train small plans", evaluate="minutes long; cli/04_evaluate scores two hearts",
               bench="hours long; evaluate/06_benchmark has a small one")


def texts(page: Path) -> list[tuple[str, str]]:
    "The prose and the code of a page, as (kind, text)."
    if page.suffix == ".md": return [("markdown", page.read_text())]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(page.read_text())["cells"]]


def lines(page: Path) -> list[str]:
    "The commands of a page, one a line."
    found = []
    for kind, text in texts(page):
        if kind == "code": found += re.findall(r"^\s*!(.+)", text, re.M)
        if kind != "markdown": continue
        shell = "".join(body for language, body in FENCE.findall(text) if language in ("", "bash"))
        found += [line.strip() for line in shell.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
        spans = [span for span in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)) if span.strip()]
        found += [span for span in spans if span.split()[0] in PROGRAMS and len(span.split()) > PROGRAMS[span.split()[0]][1]]
    return found


def commands(line: str) -> list[list[str]]:
    "The words of each command of a line, without comments and assignments; a variable of the shell may be any number."
    reader = shlex.shlex(re.sub(r"^\w+=\$\(.*|\\?\$\w+", lambda name: "" if "=" in name[0] else "1", line), posix=True, punctuation_chars="&;|")
    reader.whitespace_split = True
    parts = [[]]
    for word in reader: parts.append([]) if set(word) <= set("&;|") else parts[-1].append(word)
    bare = [list(dropwhile(lambda word: re.match(r"\w+=", word), part)) for part in parts]
    return [part for part in bare if part]


def check(line: str, here: Path):
    "Run or read each command of a line; an exception if it is wrong."
    for program, *words in commands(line):
        if program not in PROGRAMS: raise LookupError(f"nobody knows the program {program!r}: correct the page, or say in PROGRAMS how it is checked")
        PROGRAMS[program][0](words, here)


def kit(words: list[str], here: Path | None):
    "`echovdiff`: read by its own parser; with a place to work in, also run, cheaply and on files that exist."
    context = main.parse(words)
    command, options = context.info_name, context.params
    if here is None or command in NOT_RUN: return
    place = dict(input=here / "loop.gif", path=here / "films", out="out") | (dict(source=here / "films") if command == "prepare" else {})
    if command == "adapt": place |= dict(data=here / "stills", weights=here / "tiny", out="adapted")
    if options.get("weights") == "my_weights": place |= dict(weights=None)
    options |= {name: value for name, value in (CHEAP | place).items() if name in options}
    assert not main.run(context)


def install(words: list[str], here: Path):
    "`pip install`: what it names can be installed. Not run, for it needs the network; `.ci/run` installs."
    assert words.pop(0) == "install"
    wanted = [word for word in words if not word.startswith("-") and word != "constraints.txt"]
    assert wanted
    for word in wanted:
        package = Requirement(word.replace(".[", "echovdiff["))
        for extra in package.extras: assert f"{extra}_requirements" in SETTINGS["DEFAULT"], extra


def script(words: list[str], here: Path):
    "`python`: the module or the script is there. Not run: each is a job of `.ci/run`, or needs weights that we have not."
    if words[0] == "-m": return __import__(words[1])
    assert words[0].startswith("tools/")
    existing(words, here)


def existing(words: list[str], here: Path):
    "The files of the repository that are named are there."
    for word in words:
        if word.startswith(("tools/", "nbs")): assert (ROOT / word).exists(), word


def installed(words: list[str], here: Path):
    "Nothing to read: that the program is there is checked for all. Not run: a job of `.ci/run`, or of a cluster."


def launched(parser):
    "A launcher reads its own words, and the parser of what it launches reads the rest. Not run: tests/test_processes.py launches."
    def read(words: list[str], here: Path):
        told, left = parser().parse_known_args(words)
        assert not left, left
        PROGRAMS[told.training_script][0](told.training_script_args, None)
    return read


def launch(words: list[str], here: Path):
    "`accelerate launch`."
    assert words[0] == "launch"
    launched(launch_command_parser)(words[1:], here)


def within(words: list[str], here: Path):
    "`srun bash -c LINE`: the line."
    assert words[:2] == ["bash", "-c"]
    check(words[2], None)


# program: (how it is checked, how many words without arguments are only its name, in a sentence)
PROGRAMS = {"echovdiff": (kit, 2), "pip": (install, 2), "python": (script, 1), "python3": (script, 1), ".": (lambda words, here: None, 1),
            "jupyter": (existing, 1), "voila": (existing, 1), "pytest": (installed, 1), "nbdev-export": (installed, 1), "nbdev-clean": (installed, 1),
            "nbdev-test": (existing, 1), "accelerate": (launch, 2), "torchrun": (launched(torchrun_parser), 1), "srun": (within, 1), "dask": (installed, 1),
            "tools/pin.sh": (lambda words, here: existing(["tools/pin.sh"], here), 1), ".ci/run": (lambda words, here: None, 1)}
SCRIPTS = {script.name for script in entry_points(group="console_scripts")}
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in page.parts)]
FOUND = {line: page for page in reversed(PAGES) for line in lines(page)}         # a line that stands on several pages is checked once


@pytest.fixture(scope="session")
def here(tmp_path_factory) -> Path:
    "A place with a folder of films, a loop, a folder of traced stills, and weights with a tiny stage 1."
    here = tmp_path_factory.mktemp("commands")
    write_loops(here / "films", [Film.from_phantom(seeded(82), "000", seconds=2., patient="000")])
    write_loops(here / "gifs", [Film.from_phantom(seeded(82), f"{i:03d}", seconds=1., patient="000") for i in range(4)])
    write_stills(here / "stills", phantom_stills(3, 83, frames=2))
    PCDM(PCDMConfig.tiny()).save(here / "tiny" / "pcdm")
    next((here / "gifs").rglob("*.gif")).rename(here / "loop.gif")
    return here


@pytest.mark.parametrize("line", FOUND, ids=lambda line: f"{FOUND[line].stem}: {line[:60]}")
def test_command(line, here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try: check(line, here)
    except (Exception, SystemExit) as error: pytest.fail(f"{FOUND[line].relative_to(ROOT)}: {line}\n{type(error).__name__}: {error}")


def test_programs_are_installed():
    "Those that come with the environment, and not with the system or with a cluster."
    assert {name for name in PROGRAMS if re.fullmatch(r"(echovdiff|nbdev-\w+|pytest|jupyter|voila|accelerate|torchrun|dask)", name)} <= SCRIPTS


@pytest.mark.parametrize("line, why", {"echovdif demo": "nobody knows", "echovdiff trian all --out run": "trian", "echovdiff train all --echofm FOLDER": "out",
    "pip install -e '.[bentch]'": "bentch", "python tools/nothing.py": "nothing", "accelerate launch --no_python echovdiff train all": "out"}.items())
def test_wrong_command_is_found(line, why, here):
    with pytest.raises((Exception, SystemExit), match=why): check(line, here)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    "A folder with a still, a loop of the same name in a folder below, and a file that is broken."
    folder, beat = tmp_path_factory.mktemp("mixed"), phantom(seeded(83), frames=24)
    Image.fromarray(beat.video[0, 0].mul(255).byte().numpy()).save(folder / "doe.png")
    write_video(beat.video, folder / "more" / "doe.gif", beat.fps, scale=1)
    (folder / "broken.avi").write_bytes(b"RIFF....AVI ")
    return folder


def rows(path: Path) -> list[dict]:
    with open(path) as sheet: return list(csv.DictReader(sheet))


def test_read_folder(mixed, tmp_path):
    assert main.main(["read", str(mixed), "--out", str(tmp_path / "out")]) == 0
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == {"doe.npz", "doe.png", "more_doe.npz", "more_doe.mp4", "more_doe.png", "files.csv", "frames.csv"}
    files = {r["file"]: r for r in rows(out / "files.csv")}
    assert set(files) == {"broken.avi", "doe.png", "more/doe.gif"}
    assert files["broken.avi"]["problem"] and files["broken.avi"]["trusted"] == "False" and not files["doe.png"]["ef"]
    assert (files["doe.png"]["kind"], files["more/doe.gif"]["kind"]) == ("still", "loop")
    with np.load(out / "more_doe.npz") as loop:
        t = int(files["more/doe.gif"]["frames"])
        assert {loop[k].shape for k in ("frames", "lv", "myocardium", "la")} == {(t, 112, 112)} and loop["lv"].dtype == np.uint8
        assert {loop[k].shape for k in ("phase_deg", "confidence", "area_px")} == {(t,)} and loop["crop"].tolist() == [0, 0, 112]
    frames = rows(out / "frames.csv")
    assert len(frames) == t + 1 and tuple(frames[0]) == ("file", "frame", "phase_deg", "confidence", "area_px", "la_area_px", "trusted")
    assert Image.open(out / "doe.png").width >= 4 * 112


def test_read_anonymous(mixed, tmp_path):
    assert main.main(["read", str(mixed), "--out", str(tmp_path), "--anonymous"]) == 0
    names = " ".join(p.name for p in tmp_path.iterdir()) + (tmp_path / "files.csv").read_text() + (tmp_path / "frames.csv").read_text()
    assert content_hash(mixed / "doe.png") in names and not re.search("doe|broken", names)


@pytest.mark.parametrize("path, words", [("broken.avi", "nothing could be read"), ("none.gif", "no file or folder")])
def test_nothing_to_read(path, words, mixed, tmp_path, capsys):
    assert main.main(["read", str(mixed / path), "--out", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
