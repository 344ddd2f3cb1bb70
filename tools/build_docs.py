"""The site in docs/ from the notebooks: python tools/build_docs.py [--check] [--quarto]

1. nbdev's processors render every notebook (no cell is run but the imports); 2. `portable` makes plotly figures and
anywidgets work without a kernel or a network; 3. smalldocs, or Quarto with --quarto, renders _quarto.yml; 4. `offline`
turns formulas into MathML. The same notebooks give the same bytes, so --check builds elsewhere and compares with docs/.
"""
import argparse
import filecmp
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import plotly
import yaml
from latex2mathml.converter import convert
from nbdev.serve import proc_nbs

ROOT = Path(__file__).resolve().parents[1]
PLOTLY = "assets/plotly.min.js"
PLOTLY_MIME = "application/vnd.plotly.v1+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
STATE_MIME = "application/vnd.jupyter.widget-state+json"
NUMBER = re.compile(r"(?<![\w/])\d+[a-z]*_(?=\w+\.ipynb)")   # of 00_phase.ipynb: its page is phase.html
LINK = re.compile(r"\]\(((?:\.\./|[\w-]+/)*)(?:\d+[a-z]*_)?([\w-]+)\.(?:ipynb|html)(#[^)]*)?\)")


def in_script(value) -> str:
    "`value` as JSON that can stand inside a <script> element."
    return json.dumps(value, separators=(",", ":")).replace("</", "<\\/")


def figure(spec: dict, name: str, top: str) -> str:
    "A plotly figure; `top` is the way from its page to the top of the site."
    spec = {key: spec[key] for key in ("data", "layout", "frames", "config") if key in spec}
    height = spec.get("layout", {}).get("height", 450)
    return (f'<script src="{top}{PLOTLY}"></script><div id="plotly-{name}" style="height:{height}px"></div>\n'
            f'<script>Plotly.newPlot("plotly-{name}", {in_script(spec)})</script>')


def widget(view: dict, states: dict, name: str) -> str:
    "An anywidget from its saved state; of any other widget only a note, because its logic needs a kernel."
    saved = states.get(view["model_id"], {})
    if saved.get("model_module") != "anywidget":
        return "<p><em>A live widget: open this notebook in JupyterLab to use it.</em></p>"
    private = ("_", "layout", "tabbable", "tooltip")
    state = {key: value for key, value in saved["state"].items() if not key.startswith(private)}
    buffers = {buffer["path"][0]: buffer["data"].strip() for buffer in saved.get("buffers", [])}
    data = {"id": f"widget-{name}", "esm": saved["state"]["_esm"], "state": state, "buffers": buffers}
    shim = (Path(__file__).parent / "static_widget.js").read_text().replace("SAVED;", in_script(data) + ";")
    css = f"<style>{saved['state']['_css']}</style>" if saved["state"].get("_css") else ""
    return f'{css}<div id="widget-{name}"></div>\n<script type="module">\n{shim}</script>'


def relative(md: str, top: str) -> str:
    "Links between pages. nbdev's start at the root of a host, but the site may lie anywhere; its source links lead nowhere."
    md = re.sub(r"\[source\]\(/blob/[^)]*\)\{[^}]*\}", "", md)
    md = LINK.sub(lambda m: f"]({m[1]}{m[2]}.html{m[3] or ''})", md)
    return re.sub(r"\]\(/([\w./-]+\.html(?:#[\w.-]*)?)\)", rf"]({top}\1)", md)


def portable_output(out: dict, states: dict, name: str, top: str) -> dict:
    "One stored output, with no need of a kernel, a network or Jupyter's own scripts."
    data = {mime: "".join(value) if isinstance(value, list) else value for mime, value in out.get("data", {}).items()}
    if PLOTLY_MIME in data: page = figure(data[PLOTLY_MIME], name, top)
    elif WIDGET_MIME in data: page = widget(data[WIDGET_MIME], states, name)
    else: page = data.get("text/html")
    if page is None and "text/markdown" not in data: return out
    md = relative(data["text/markdown"], top) if page is None else f"```````{{=html}}\n{page}\n```````"
    return {"output_type": "display_data", "metadata": {}, "data": {"text/markdown": md}}


def portable(nb: dict, top: str) -> dict:
    "A staged notebook that smalldocs and Quarto render alike."
    states = nb["metadata"].pop("widgets", {}).get(STATE_MIME, {}).get("state", {})
    for cell in nb["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "raw": source = re.sub(r"^output-file:.*\n", "", source, flags=re.M)
        if cell["cell_type"] == "markdown": source = relative(source, top)
        if "outputs" in cell:
            cell["outputs"] = [portable_output(out, states, f"{cell['id']}-{n}", top) for n, out in enumerate(cell["outputs"])]
        cell["source"] = source.splitlines(True)   # Quarto joins a plain string wrongly
    return nb


def pages(contents) -> list:
    "The contents of a sidebar, its patterns replaced by the notebooks they match and its empty sections left out."
    if isinstance(contents, str):
        return [path.relative_to(ROOT / "nbs").as_posix() for path in sorted((ROOT / "nbs").glob(contents))]
    if isinstance(contents, dict):
        inner = pages(contents["contents"])
        return [{**contents, "contents": inner}] if inner else []
    return [page for entry in contents for page in pages(entry)]


def stage(site: Path):
    "Fill `site` with portable notebooks, the files beside them, _quarto.yml and, if a page needs it, plotly."
    cache = proc_nbs(str(ROOT / "nbs"), n_workers=2, force=True)
    for path in sorted(p for p in cache.rglob("*") if p.is_file()):
        page = site / NUMBER.sub("", path.relative_to(cache).as_posix())
        page.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".ipynb": shutil.copy2(path, page)
        else:
            nb = portable(json.loads(path.read_text()), "../" * (len(page.relative_to(site).parts) - 1))
            page.write_text(json.dumps(nb, indent=1))
    shutil.rmtree(cache)
    config = yaml.safe_load((ROOT / "_quarto.yml").read_text())
    config["website"]["sidebar"]["contents"] = pages(config["website"]["sidebar"]["contents"])
    if any(PLOTLY in page.read_text() for page in site.rglob("*.ipynb")):
        (site / PLOTLY).parent.mkdir(exist_ok=True)
        shutil.copy2(Path(plotly.__file__).parent / "package_data/plotly.min.js", site / PLOTLY)
        config["project"]["resources"] = [PLOTLY]
    (site / "_quarto.yml").write_text(NUMBER.sub("", yaml.safe_dump(config, sort_keys=False, allow_unicode=True)))


def mathml(formula: re.Match) -> str:
    "One formula of a page, from LaTeX to MathML."
    kind, tex = formula.groups()
    tex = html.unescape(tex).strip()[2:-2]
    return f'<span class="math {kind}">{convert(tex, display="block" if kind == "display" else "inline")}</span>'


def offline(site: Path):
    "What smalldocs would fetch from a CDN: KaTeX for formulas."
    for page in site.rglob("*.html"):
        text = re.sub(r'<span class="math (inline|display)">(.*?)</span>', mathml, page.read_text(), flags=re.S)
        text = re.sub(r"<(?:link|script)[^>]*cdn\.jsdelivr\.net/npm/katex[^>]*>(?:</script>)?\s*", "", text)
        page.write_text(text)


def render(site: Path, quarto: bool) -> list[str]:
    "Render the staged site in place, and return what its builder warns of."
    command = ["quarto", "render"] if quarto else [sys.executable, "-m", "smalldocs.cli", "render", "-q"]
    done = subprocess.run([*command, str(site)], stderr=subprocess.PIPE, text=True)
    if done.returncode: sys.exit(done.stderr)
    # smalldocs names the settings that only Quarto needs
    return [line for line in done.stderr.splitlines() if line.startswith("warning:") and "is ignored" not in line]


def build(out: Path, quarto: bool) -> list[str]:
    "Build the site into the folder `out`, which is replaced, and return the builder's warnings, such as broken links."
    with tempfile.TemporaryDirectory(prefix="echovdiff-docs-") as temp:
        site = Path(temp)
        stage(site)
        warnings = render(site, quarto)
        docs = site / yaml.safe_load((site / "_quarto.yml").read_text())["project"]["output-dir"]
        offline(docs)
        (docs / ".nojekyll").touch()
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(docs, out)
    return warnings


def differences(a: Path, b: Path) -> list[str]:
    "The files that are not the same in the two folders."
    files = {p.relative_to(folder) for folder in (a, b) for p in folder.rglob("*") if p.is_file()}
    same = filecmp.cmpfiles(a, b, files, shallow=False)[0]
    return sorted(str(path) for path in files - set(same))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if docs/ is stale")
    parser.add_argument("--quarto", action="store_true", help="render with Quarto instead of smalldocs")
    args = parser.parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as temp:
        new = Path(temp) / "docs" if args.check else ROOT / "docs"
        problems = build(new, args.quarto)
        if args.check: problems += [f"stale: docs/{path}" for path in differences(new, ROOT / "docs")]
    if problems: sys.exit("\n".join(problems))


if __name__ == "__main__": main()
