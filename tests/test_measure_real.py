"tools/measure_real.py on a folder laid out as CAMUS is: one part is replaced, the others stay, and no name gets into the file."
import json
import sys
from pathlib import Path

import pytest
from echovdiff.core.random import seeded
from echovdiff.datasets.mock import Film, write_camus

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tool(monkeypatch):
    "The tool as a module, beside those that it imports."
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import measure_real
    return measure_real


def run(tool, monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["measure_real.py", *map(str, args)])
    tool.main()


def test_stills(tool, monkeypatch, tmp_path):
    films = [Film.from_phantom(seeded(48, i), "camus", seconds=1.6, size=224, patient=f"patient{1 + i:04d}") for i in range(4)]
    write_camus(tmp_path / "camus", films)
    out = tmp_path / "real.json"
    out.write_text(json.dumps(dict(loop=dict(n=12), stills=dict(n=1))))
    run(tool, monkeypatch, "--camus", tmp_path / "camus", "--parts", "stills", "--looks", 3, "--out", out)
    text = out.read_text()
    found = json.loads(text)
    assert found["loop"] == dict(n=12)
    assert not any(word in text for word in ("patient0", "camus", str(tmp_path), "NaN"))
    stills = found["stills"]
    assert (stills["looks"], stills["n"], stills["patients"]) == (3, 8, 4)
    assert stills["structures"]["lv"]["ed"]["dice"]["value"] > .9 and "hd95_mm" in stills["structures"]["lv"]["ed"]
    assert stills["ef"]["label"]["n"] == 4 and sum(stills["reliability"]["count"]) == 8
    assert {"weights", "commit", "date", "seeds"} <= stills.keys()


def test_anatomy(tool, monkeypatch, tmp_path):
    run(tool, monkeypatch, "--parts", "anatomy", "--phantoms", 4, "--out", tmp_path / "real.json")
    table = json.loads((tmp_path / "real.json").read_text())["anatomy"]["phantoms"]
    assert all(len(quantiles) == 5 for quantiles in table.values()) and "fractional area change" in table


@pytest.mark.parametrize("args, words", [(["--parts", "hazy"], "needs --hazy"), (["--camus", "there", "--parts", "stills"], "--looks")])
def test_what_is_missing(tool, monkeypatch, capsys, args, words):
    with pytest.raises(SystemExit): run(tool, monkeypatch, *args)
    assert words in capsys.readouterr().err
