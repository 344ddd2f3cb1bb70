"""The site in docs/ from the notebooks: python tools/build_docs.py [--check] [--quarto]

1. nbdev's processors render every notebook (no cell is run but the imports); 2. `portable` makes plotly figures and
anywidgets work without a kernel or a network, and lays each function's code beneath its signature; 3. smalldocs, or Quarto with --quarto, renders _quarto.yml; 4. of smalldocs'
pages `offline` turns formulas into MathML and search into a script, and `slim` leaves out styles and icons that no page
uses. The same notebooks give the same bytes, so --check builds elsewhere and compares with docs/.
"""
import argparse
import filecmp
import html
import inspect
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from itertools import groupby
from pathlib import Path

import yaml
from fontTools import subset
from latex2mathml.converter import convert
from nbdev.serve import proc_nbs

ROOT = Path(__file__).resolve().parents[1]
ASSETS = Path(__file__).parent / "site"
PLOTLY = "assets/plotly.js"
PLOTLY_MIME = "application/vnd.plotly.v1+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
STATE_MIME = "application/vnd.jupyter.widget-state+json"
NUMBER = re.compile(r"(?<!\w)\d+[a-z]*_(?=\w+\.ipynb)")   # of phase/00_axis.ipynb: its page is phase/axis.html
SOURCE = re.compile(r"\[source\]\(/blob/[^/]+/([\w/]+\.py)#L(\d+)\)\{[^}]*\}")
LINK = re.compile(r"\]\(((?:\.\./|[\w-]+/)*)(?:\d+[a-z]*_)?([\w-]+)\.(?:ipynb|html)(#[^)]*)?\)")


def in_script(value) -> str:
    "`value` as JSON that can stand inside a <script> element."
    return json.dumps(value, separators=(",", ":")).replace("</", "<\\/")


def figure(spec: dict, name: str, top: str) -> str:
    "A plotly figure; `top` is the way from its page to the top of the site."
    spec = {key: spec[key] for key in ("data", "layout", "frames", "config") if key in spec}
    height = spec.get("layout", {}).get("height", 450)
    return (f'<script src="{top}{PLOTLY}"></script><div class="figure-wide"><div id="plotly-{name}" style="height:{height}px"></div></div>\n'
            f'<script>plotly.then(plotly => plotly.newPlot("plotly-{name}", {in_script(spec)}))</script>')


def widget(view: dict, states: dict, name: str) -> tuple[str, list[dict]]:
    "The place of an anywidget, and its saved state; for any other widget only a note, because its logic needs a kernel."
    saved = states.get(view["model_id"], {})
    if saved.get("model_module") != "anywidget":
        return "<p><em>A live widget: open this notebook in JupyterLab to use it.</em></p>", []
    private = ("_", "layout", "tabbable", "tooltip")
    state = {key: value for key, value in saved["state"].items() if not key.startswith(private)}
    buffers = {buffer["path"][0]: buffer["data"].strip() for buffer in saved.get("buffers", [])}
    return f'<div id="widget-{name}"></div>', [{"id": f"widget-{name}", "front": saved["state"]["_anywidget_id"], "state": state, "buffers": buffers}]


def front_ends(widgets: list[dict], states: dict) -> str:
    "The script that brings the anywidgets of a page to life; the code of each class is there once."
    fronts = {saved["state"]["_anywidget_id"]: {"esm": saved["state"]["_esm"], "css": saved["state"].get("_css", "")}
              for saved in states.values() if saved["model_module"] == "anywidget"}
    shim = (ASSETS / "widgets.js").read_text().replace("= PAGE;", f"= {in_script(dict(fronts=fronts, widgets=widgets))};")
    return f'<script type="module">\n{shim}</script>'


def relative(md: str, top: str) -> str:
    "Links between pages. nbdev's start at the root of a host, but the site may lie anywhere."
    md = LINK.sub(lambda m: f"]({m[1]}{m[2]}.html{m[3] or ''})", md)
    return re.sub(r"\]\(/([\w./-]+\.html(?:#[\w.-]*)?)\)", rf"]({top}\1)", md)


def raw(page: str) -> str: return f"```````{{=html}}\n{page}\n```````"


def signatures(md: str) -> str:
    "What nbdev says of a function, its types by their names alone: Tensor, and not torch.Tensor."
    return re.sub(r"^```python\n(?:def|class) .*?^```", lambda m: re.sub(r"\b(?:\w+\.)+(?=[A-Z]\w*)", "", m[0]), md, flags=re.S | re.M)


def line(cell: dict) -> int:
    "The line of the code that a cell documents; 0 if it documents none."
    found = SOURCE.search("".join("".join(out.get("data", {}).get("text/markdown", "")) for out in cell.get("outputs", [])))
    return int(found[2]) if found else 0


def in_order(cells: list[dict]) -> list[dict]:
    "The functions of an exported cell in the order of their code, which nbdev turns round."
    return [cell for documents, run in groupby(cells, lambda cell: line(cell) > 0) for cell in (sorted(run, key=line) if documents else run)]


def with_code(md: str) -> str:
    "nbdev links to the source on a host that need not exist: the code itself is laid, folded, beneath what is said of it."
    found = SOURCE.search(md)
    if not found: return md
    code = "".join(inspect.getblock((ROOT / found[1]).read_text().splitlines(True)[int(found[2])-1:])).rstrip()
    return f"{SOURCE.sub('', md)}\n\n<details class=\"source\"><summary>Code</summary>\n\n```python\n{code}\n```\n\n</details>\n"


def portable_output(out: dict, states: dict, name: str, top: str) -> tuple[dict, list[dict]]:
    "One stored output, with no need of a kernel, a network or Jupyter's own scripts; and the anywidget that it shows, if any."
    data = {mime: "".join(value) if isinstance(value, list) else value for mime, value in out.get("data", {}).items()}
    widgets = []
    if PLOTLY_MIME in data: page = figure(data[PLOTLY_MIME], name, top)
    elif WIDGET_MIME in data: page, widgets = widget(data[WIDGET_MIME], states, name)
    else: page = data.get("text/html")
    if page is None and "text/markdown" not in data: return out, []
    md = relative(with_code(signatures(data["text/markdown"])), top) if page is None else raw(page)
    return {"output_type": "display_data", "metadata": {}, "data": {"text/markdown": md}}, widgets


def portable(nb: dict, top: str) -> dict:
    "A staged notebook that smalldocs and Quarto render alike."
    states, widgets = nb["metadata"].pop("widgets", {}).get(STATE_MIME, {}).get("state", {}), []
    for cell in nb["cells"]: cell["outputs"] = [out for out in cell.get("outputs", []) if "%|" not in "".join(out.get("data", {}).get("text/plain", ""))]   # progress bars
    nb["cells"] = in_order(nb["cells"])
    for cell in nb["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "raw": source = re.sub(r"^output-file:.*\n", "", source, flags=re.M)
        if cell["cell_type"] == "markdown": source = relative(source, top)
        for n, out in enumerate(cell.get("outputs", [])):
            cell["outputs"][n], shown = portable_output(out, states, f"{cell['id']}-{n}", top)
            widgets += shown
        cell["source"] = source.splitlines(True)   # Quarto joins a plain string wrongly
    if widgets:
        nb["cells"].append({"cell_type": "markdown", "id": "widgets", "metadata": {}, "source": raw(front_ends(widgets, states)).splitlines(True)})
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
        shutil.copy2(ASSETS / "plotly.js", site / PLOTLY)
        config["project"]["resources"] = [PLOTLY]
    (site / "_quarto.yml").write_text(NUMBER.sub("", yaml.safe_dump(config, sort_keys=False, allow_unicode=True)))


def mathml(formula: re.Match) -> str:
    "One formula of a page, from LaTeX to MathML. Its number, and a few words of TeX that the converter does not know, are seen to here."
    kind, tex = formula.groups()
    tex = html.unescape(tex).strip()[2:-2]
    tex, number = re.sub(r"\\tag\{\w+\}", "", tex), re.search(r"\\tag\{(\w+)\}", tex)
    tex = re.sub(r"\\\\\[[^]]*\]", r"\\\\", tex).replace(r"\arg", r"\operatorname{arg}")
    tag = f'<span class="number">({number[1]})</span>' if number else ""
    return f'<span class="math {kind}">{convert(tex, display="block" if kind == "display" else "inline")}{tag}</span>'


def anchors(docs: Path):
    "A method that nbdev does not show has no place on its page: what points there (`#owner.method`) points at its class, or at the page."
    pages = {page.resolve(): page.read_text() for page in docs.rglob("*.html")}
    names = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in pages.items()}
    for page, text in pages.items():
        def mend(link):
            owner, there = link[2].split(".")[0], names.get((page.parent / link[1]).resolve() if link[1] else page, {link[2]})
            return link[0] if link[2] in there else f'href="{link[1]}#{owner}"' if owner in there else f'href="{link[1] or page.name}"'
        page.write_text(re.sub(r'href="(?!\w+:)([^"#]*)#(\w+\.[\w.]+|_\w+)"', mend, text))


FETCH = """const r = await fetch(offset + "search.json");
      index = await r.json();"""
SCRIPT = """await new Promise((done, fail) => document.head.append(
        Object.assign(document.createElement("script"), {src: offset + "search.js", onload: done, onerror: fail})));
      index = window.searchIndex;"""


def offline(docs: Path):
    "What smalldocs would fetch: KaTeX for formulas, from a CDN; and the index of search, which a page opened as a file may not."
    for page in docs.rglob("*.html"):
        text = re.sub(r'<span class="math (inline|display)">(.*?)</span>', mathml, page.read_text(), flags=re.S)
        text = re.sub(r"<(?:link|script)[^>]*cdn\.jsdelivr\.net/npm/katex[^>]*>(?:</script>)?\s*", "", text)
        page.write_text(text)
    (docs / "search.js").write_text(f"searchIndex = {(docs / 'search.json').read_text()};")
    (docs / "search.json").unlink()
    script = docs / "site_libs/smalldocs.js"
    before = script.read_text()
    if FETCH not in before: sys.exit("smalldocs.js fetches its search index in another way now: tell `offline` in tools/build_docs.py")
    script.write_text(before.replace(FETCH, SCRIPT))


def shake(css: str, words: set[str]) -> str:
    "A style sheet without the rules for classes that are not among `words`."
    def rule(match):
        wanted = [s for s in re.split(r",(?![^(]*\))", match[1]) if set(re.findall(r"\.([A-Za-z_][\w-]*)", re.sub(r":not\([^)]*\)", "", s))) <= words]
        return f"{','.join(wanted)}{{{match[2]}}}" if wanted else ""
    parts = re.split(r"(/\*!.*?\*/)", re.sub(r"/\*(?!!).*?\*/", "", css, flags=re.S), flags=re.S)     # a licence is kept
    parts[::2] = [re.sub(r"@(?:media|supports)[^{}]*\{\s*\}", "", re.sub(r"([^{};]+)\{([^{}]*)\}", rule, part)) for part in parts[::2]]
    return "".join(parts)


def slim(docs: Path):
    "Leave out the styles and icons that no page uses: four fifths of what each page would load."
    words = {word for file in docs.rglob("*") if file.suffix in (".html", ".js") and file != docs / PLOTLY
             for word in re.findall(r"[\w-]+", file.read_text())}
    sheets = {path: shake(path.read_text(), words) for path in docs.rglob("*.css")}
    icons = next(docs.rglob("bootstrap-icons.woff"))
    used = {int(code, 16) for css in sheets.values() for code in re.findall(r'content: ?"\\(f\w{3})"', css)}
    logging.getLogger("fontTools").setLevel("ERROR")      # it mentions two bytes too many
    options = subset.Options()
    font, subsetter = subset.load_font(icons, options), subset.Subsetter(options)
    subsetter.populate(unicodes=used)
    subsetter.subset(font)
    subset.save_font(font, icons, options)
    icons.with_suffix(".woff2").unlink()
    for path, css in sheets.items(): path.write_text(re.sub(r'url\("[^"]*\.woff2[^"]*"\) format\("woff2"\),', "", css))


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
        anchors(docs)
        if not quarto: offline(docs), slim(docs)
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
