"settings.ini, pyproject.toml, _quarto.yml and the package agree, so that none of them is dead."
import os
import re
import tomllib
from configparser import ConfigParser
from importlib.metadata import distribution
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
INI = ConfigParser(delimiters=["="])
INI.read(ROOT / "settings.ini", encoding="utf-8")
SETTINGS = INI["DEFAULT"]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
QUARTO = yaml.safe_load((ROOT / "_quarto.yml").read_text())


def patterns(contents) -> list[str]:
    "The file patterns of a sidebar, in order."
    if isinstance(contents, str): return [contents]
    if isinstance(contents, dict): return patterns(contents["contents"])
    return [pattern for entry in contents for pattern in patterns(entry)]


def test_pyproject_agrees_with_settings():
    nbdev = PYPROJECT["tool"]["nbdev"]
    assert PYPROJECT["project"]["name"] == SETTINGS["lib_name"]
    assert PYPROJECT["project"]["requires-python"] == f">={SETTINGS['min_python']}"
    for key in nbdev.keys() & SETTINGS.keys(): assert nbdev[key] == SETTINGS[key], key


def test_package_has_the_version_of_settings():
    init = (ROOT / SETTINGS["lib_path"] / "__init__.py").read_text()
    assert re.search(r'__version__ = "(.*)"', init)[1] == SETTINGS["version"]


def test_installed_package_is_that_of_settings():
    package = distribution(SETTINGS["lib_name"])
    assert package.version == SETTINGS["version"], "install again: pip install -c constraints.txt -e '.[dev]'"
    script, = package.entry_points.select(group="console_scripts")
    assert f"{script.name} = {script.value}" == SETTINGS["console_script"]


def test_every_requirement_is_pinned():
    name = lambda requirement: re.match(r"[\w-]+", requirement)[0].lower().replace("_", "-")
    pinned = {name(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    required = {name(entry) for key in ("requirements", "dev_requirements") for entry in SETTINGS[key].split()}
    assert required <= pinned, f"run tools/pin.sh: {sorted(required - pinned)} not in constraints.txt"


def test_site_lists_every_notebook_once():
    nbs = ROOT / PYPROJECT["tool"]["nbdev"]["nbs_path"]
    found = sorted(path for path in nbs.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    assert sorted(path for pattern in patterns(QUARTO["website"]["sidebar"]["contents"]) for path in nbs.glob(pattern)) == found


def test_site_goes_where_nbdev_looks():
    assert QUARTO["project"]["output-dir"] == PYPROJECT["tool"]["nbdev"]["doc_path"]
    assert QUARTO["website"]["title"] == SETTINGS["title"]
    assert os.readlink(ROOT / "nbs" / "_quarto.yml") == "../_quarto.yml"
