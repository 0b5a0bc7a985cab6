"""The house rules that no linter knows: sizes, sentences, names, registries, links. Each message names the fix."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULE_LINES_MAX = 400
TEST_MODULE_LINES_MAX = 600  # one subject, many cases
FUNCTION_LINES_MAX = 70
SKIPPED = {".git", ".venv", ".build", "node_modules", "dist", "artifacts", "seamark-data", ".demo"}
BANNED_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "misc"}

# A folder whose every file is one of a kind -> the files in it that are none, and where the visible lines stand.
REGISTRIES = {
    "compute/drift": ({"method"}, "compute/drift/__init__.py"),
    "compute/backtest/policies": (set(), "compute/backtest/policies/__init__.py"),
    "compute/shapes": ({"shape"}, "compute/shapes/__init__.py"),
    "delivery/channels": (set(), "delivery/channels/__init__.py"),
    "delivery/scalers": ({"scaler"}, "delivery/scalers/__init__.py"),
}

# Written in pieces, or this file would be the first to break its own rule.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
NOT_OURS = re.compile(
    r"/(?:home|Users)/[a-z]\w*|/ro" r"ot/\.?\w|/wo" r"rk/(?:main|shared)|py" r"pi\.org|python" r"hosted|anaconda\.org"
)


@cache
def files() -> list[Path]:
    """Return what is tracked, or about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=30).stdout
        found = [ROOT / name for name in listed.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # not a checkout: an unpacked archive
        found = [path for path in ROOT.rglob("*") if not SKIPPED & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def python_files() -> list[Path]:
    return [path for path in files() if path.suffix == ".py"]


def markdown_files() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def told(wrong: list[str], rule: str) -> None:
    assert not wrong, f"{rule}:\n  " + "\n  ".join(wrong)


# --- size and sentences ----------------------------------------------------------------------------------------------


def test_modules_are_small():
    lines = {path: len(path.read_text().splitlines()) for path in python_files()}
    limits = {path: TEST_MODULE_LINES_MAX if "tests" in path.parts else MODULE_LINES_MAX for path in lines}
    told(
        [f"{name_of(path)}: {count} lines" for path, count in lines.items() if count > limits[path]],
        f"split modules of more than {MODULE_LINES_MAX} lines by what they are about",
    )


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without those of the functions in it (a router is a list of handlers)."""
    count = (function.end_lineno or function.lineno) - function.lineno + 1
    if count <= FUNCTION_LINES_MAX:
        return count  # without its inner ones there would be fewer still
    inner = [node for node in ast.walk(function) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    outermost = [
        node
        for node in inner
        if node is not function
        and not any(other is not function and other is not node and node in ast.walk(other) for other in inner)
    ]
    return count - sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in outermost)


def test_functions_are_small():
    wrong = [
        f"{name_of(path)}:{node.lineno} {node.name}: {own_lines(node)} lines"
        for path in python_files()
        if "versions" not in path.parts  # a migration is one list of tables
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and own_lines(node) > FUNCTION_LINES_MAX
    ]
    told(wrong, f"split functions of more than {FUNCTION_LINES_MAX} lines")


def test_each_module_says_in_one_sentence_what_becomes_what():
    wrong = []
    for path in python_files():
        text = ast.get_docstring(tree(path))
        if not path.read_text().strip():
            continue  # an empty __init__.py has nothing to say
        if not text or not text.split("\n\n")[0].rstrip().endswith((".", ":")):
            wrong.append(name_of(path))
    told(wrong, "begin the module with a docstring whose first paragraph is a sentence")


def test_nothing_is_left_for_later():
    wrong = [
        f"{name_of(path)}:{number}: {line.strip()[:80]}"
        for path in files()
        if path.suffix in (".py", ".md", ".yml", ".yaml", ".toml", ".j2", ".css", ".js", ".sh", "")
        and not path.name.startswith("requirements")
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    told(wrong, "do it, or open an issue; no marks for later in the tree")


def test_names_say_what_is_inside():
    wrong = [
        name_of(path)
        for path in python_files()
        if BANNED_NAMES & {part.removesuffix(".py").lower() for part in path.relative_to(ROOT).parts}
    ]
    told(wrong, f"name modules for what they hold; {', '.join(sorted(BANNED_NAMES))} say nothing")


def test_test_modules_have_unique_names():
    # pytest imports them by bare name.
    seen: dict[str, list[str]] = {}
    for path in python_files():
        if path.is_relative_to(ROOT / "tests") and path.name != "conftest.py":
            seen.setdefault(path.name, []).append(name_of(path))
    told([", ".join(names) for names in seen.values() if len(names) > 1], "rename one of these test modules")


# --- registries ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", REGISTRIES)
def test_every_file_of_a_registry_has_its_line(folder):
    package = ROOT / "service" / "seamark"
    interfaces, list_file = REGISTRIES[folder]
    present = {path.stem for path in (package / folder).glob("*.py")} - {"__init__"} - interfaces
    prefix = f"seamark.{folder.replace('/', '.')}"
    listed = set()
    for node in tree(package / list_file).body:
        if isinstance(node, ast.ImportFrom) and node.module == prefix:
            listed |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{prefix}."):
            listed.add((node.module or "").removeprefix(f"{prefix}."))
    assert present, f"{folder} has no implementation"
    told(sorted(present - listed), f"add a line to service/seamark/{list_file} for these files of {folder}")


# --- what must not be in the tree ------------------------------------------------------------------------------------


def test_no_machine_paths_and_no_package_registries():
    wrong = []
    for path in files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        wrong += [f"{name_of(path)}: {match[0]}" for match in NOT_OURS.finditer(text)]
    told(wrong, "these belong to one machine or one registry, not to the project")


def test_python_files_compile_without_warnings():
    # A wrong escape in a string is a warning at compile time, which a later Python makes an error.
    for path in python_files():
        compile(path.read_text(), str(path), "exec", dont_inherit=True)


# --- documents -------------------------------------------------------------------------------------------------------


def prose(path: Path) -> list[str]:
    """Return the lines of a Markdown file outside its code."""
    out, fenced = [], False
    for line in path.read_text().splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            out.append(line)
    return out


def test_each_document_has_one_title():
    wrong = [
        f"{name_of(path)}: {len(titles)} titles"
        for path in markdown_files()
        if len(titles := [line for line in prose(path) if re.match(r"# \S", line)]) != 1
    ]
    told(wrong, "one `# Title` per document")


def anchors(path: Path) -> set[str]:
    """Return the anchors that a forge makes of a document's headings."""
    headings = [line.lstrip("#").strip() for line in prose(path) if re.match(r"#{1,6} ", line)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_in_documents_resolve():
    wrong = []
    for path in markdown_files():
        text = re.sub(r"`[^`]*`", "", "\n".join(prose(path)))
        for target in re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            place, _, anchor = target.partition("#")
            file = (path.parent / place).resolve() if place else path
            if not file.exists():
                wrong.append(f"{name_of(path)}: {target} leads nowhere")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                wrong.append(f"{name_of(path)}: {target} has no such heading")
    told(wrong, "mend these links")
