"""README.md from nbs/index.ipynb, with no Quarto: python tools/build_readme.py [--check]

Pictures among the stored outputs go to nbs/images/readme-*.png. With --check nothing is written, and a stale file exits 1.
"""
import base64
import os
import re
import sys
from pathlib import Path

import yaml
from fastcore.nbio import read_nb
from nbdev.processors import FilterDefaults

ROOT = Path(__file__).resolve().parents[1]
INDEX, IMAGES = ROOT / "nbs" / "index.ipynb", Path("nbs/images")


def alert(callout: re.Match) -> str:
    "A Quarto callout as a GitHub alert."
    kind, options, body = callout.groups()
    title = re.search(r'title="([^"]*)"', options)
    lines = ([f"**{title[1]}**", ""] if title else []) + body.strip("\n").splitlines()
    return "\n".join(f"> {line}".rstrip() for line in [f"[!{kind.upper()}]", *lines])


def github(md: str) -> str:
    "Markdown of a page as Markdown of GitHub: callouts, links between notebooks, and paths from the top folder."
    md = re.sub(r"^:::+ *\{\.callout-(\w+)([^}]*)\}\n(.*?)^:::+ *$", alert, md, flags=re.S | re.M)
    md = re.sub(r"^:::+.*\n?", "", md, flags=re.M)
    md = re.sub(r"\[(`[^`]+`)\]\(/[^)]*\)", r"\1", md)                         # nbdev's links to the site
    md = re.sub(r"\]\((?!\w+:|[/#.])([^)\s]+)\)", r"](nbs/\1)", md)             # beside the notebook
    return re.sub(r'(<(?:img|video|source)[^>]*src=")(?!\w+:|[/.])', r"\1nbs/", md)


def output(out: dict, name: str) -> tuple[str, dict[Path, bytes]]:
    "One stored output as Markdown, and the files it needs. A widget is for the site, where it moves."
    if "application/vnd.jupyter.widget-view+json" in out.get("data", {}): return "", {}
    data = {mime: "".join(value) for mime, value in out.get("data", {}).items() if mime.startswith(("image/png", "text/"))}
    if "image/png" in data:
        path = IMAGES / f"readme-{name}.png"
        return f"![]({path.as_posix()})", {path: base64.b64decode(data["image/png"])}
    if "text/markdown" in data: return github(data["text/markdown"]), {}
    text = data.get("text/plain") or "".join(out.get("text", ""))
    return "\n".join(f"    {line}".rstrip() for line in text.rstrip().splitlines()), {}


def code(cell) -> tuple[list[str], dict[Path, bytes]]:
    "A code cell's source, unless it says `echo: false`, and its outputs."
    lines = cell.source.splitlines()
    options = yaml.safe_load("\n".join(line[2:].strip() for line in lines if line.startswith("#|"))) or {}
    source = "\n".join(line for line in lines if not line.startswith("#|")).strip()
    parts, files = [f"```python\n{source}\n```"] if source and options.get("echo", True) else [], {}
    for n, out in enumerate(cell.get("outputs", [])):
        text, pictures = output(out, options.get("label", cell.id) + (f"-{n}" if n else ""))
        parts.append(text)
        files |= pictures
    return parts, files


def readme() -> dict[Path, bytes]:
    "Every file of the README: README.md and its pictures."
    nb, parts, files = read_nb(INDEX), [], {}
    FilterDefaults()(nb)
    for cell in nb.cells:
        if cell.cell_type == "raw":
            head = yaml.safe_load(cell.source.strip().strip("-"))
            parts += [f"# {head['title']}", head.get("description", "")]
        elif cell.cell_type == "markdown": parts.append(github(cell.source))
        else:
            texts, pictures = code(cell)
            parts += texts
            files |= pictures
    text = "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"
    return {Path("README.md"): text.encode(), **files}


if __name__ == "__main__":
    os.chdir(ROOT)
    os.environ["IN_TEST"] = "1"
    files = readme()
    stale = [path for path, content in files.items() if not path.exists() or path.read_bytes() != content]
    if "--check" in sys.argv:
        sys.exit(f"stale, run tools/build_readme.py: {', '.join(map(str, stale))}" if stale else 0)
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[path])
    print(f"wrote {', '.join(map(str, stale)) or 'nothing: README.md is fresh'}")
