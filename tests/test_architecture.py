"""The house keeps its shape: import directions, budgets, and papers that name what exists."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).resolve().parents[1]
APPS = ("einbox", "spool", "accounts", "audit")
FILE_LINES, FUNCTION_LINES = 400, 50

# contract: (file to add a line to, the import that breaks it)
PLANTED = {
    "apps import one way: einbox, spool, accounts, audit": ("audit/record.py", "import accounts.models"),
    "layers inside spool": ("spool/models/service.py", "import spool.queue"),
    "mime is pure: no Django, no network, no database, no Celery": ("spool/mime/trace.py", "import socket"),
    "the SMTP client knows no database": ("spool/smtp/__init__.py", "import django.db"),
    "capture and log-in need only the database: no Celery, no Redis": ("spool/queue/__init__.py", "import kombu"),
    "SMTP server and client never meet": ("spool/smtpd/__init__.py", "import spool.smtp"),
}


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def tracked() -> list[Path]:
    """Files of the project, by Git where there is a repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    return [
        path for folder in (*APPS, "tests", "docs", "deploy") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"},
    )


def contracts() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        return [contract["name"] for contract in tomllib.load(stream)["tool"]["importlinter"]["contracts"]]


def test_import_contracts_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout
    assert f"{len(contracts())} kept, 0 broken" in result.stdout


def test_each_import_contract_catches_a_planted_violation(tmp_path: Path) -> None:
    assert set(contracts()) == set(PLANTED)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for app in APPS:
        shutil.copytree(ROOT / app, tmp_path / app, ignore=shutil.ignore_patterns("__pycache__", "static"))
    for name, line in PLANTED.values():
        with (tmp_path / name).open("a", encoding="utf-8") as stream:
            stream.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    missed = [name for name in PLANTED if f"{name} BROKEN" not in result.stdout]
    assert missed == [], result.stdout


def filled(text: str) -> int:
    """Lines that are not blank."""
    return sum(1 for line in text.splitlines() if line.strip())


def body_lines(source: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Filled lines of a function without its signature and docstring."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    if not body or (len(body) == 1 and isinstance(body[0], ast.Return)):
        return 0  # a single expression: a table
    return filled("\n".join(source.splitlines()[body[0].lineno - 1 : node.end_lineno]))


def test_files_and_functions_stay_small() -> None:
    large = []
    for path in sources(*APPS, "tests"):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT)
        if filled(text) > FILE_LINES:
            large.append(f"{name}: {filled(text)} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = body_lines(text, node)
                if lines > FUNCTION_LINES:
                    large.append(f"{name}: {node.name} has {lines} lines")
    assert not large, "\n".join(large)


def test_every_module_says_its_purpose() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources(*APPS, "tests")
        if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent, "\n".join(silent)


def test_no_module_has_a_name_without_meaning() -> None:
    empty = {"utils.py", "helpers.py", "common.py", "services.py", "misc.py"}
    assert [str(path) for path in sources(*APPS, "tests") if path.name in empty] == []


def test_tests_wait_on_conditions_and_never_sleep() -> None:
    sleepers = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("tests")
        # A double may be slow on purpose, and a measurement waits between its rounds.
        if path.name != "waiting.py" and not {"doubles", "bench"} & set(path.parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr == "sleep" and ast.unparse(node.value) == "time")
        or (isinstance(node, ast.ImportFrom) and node.module == "time" and any(a.name == "sleep" for a in node.names))
    ]
    assert not sleepers, "\n".join(sleepers)


INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style\b|\sstyle\s*=|\son[a-z]+\s*=\s*[\"']|javascript:", re.IGNORECASE)


def test_templates_hold_no_inline_script_or_style() -> None:
    guilty = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for app in APPS
        for path in (ROOT / app).rglob("*.html")
        for match in INLINE.finditer(re.sub(r"{%.*?%}", "", path.read_text(encoding="utf-8")))
    ]
    assert not guilty, "\n".join(guilty)


def test_nothing_names_a_place_of_one_machine_or_an_index() -> None:
    forbidden = ["/" + "work/", "/" + "root/", "/" + "home/", "py" + "pi.org", "--" + "index-url", "--" + "find-links"]
    guilty = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        guilty += [f"{path.relative_to(ROOT)}: {word}" for word in forbidden if word in text]
    assert not guilty, "\n".join(guilty)


def test_requirements_are_pinned_with_hashes() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        blocks = re.split(r"\n(?=[A-Za-z0-9])", path.read_text(encoding="utf-8").strip())
        for block in blocks:
            if not block.startswith("#"):
                assert re.match(r"[A-Za-z0-9._\[\],-]+==\S+", block), f"{path.name}: {block[:60]}"
                assert "--hash=sha256:" in block, f"{path.name}: {block[:60]}"


def test_each_list_of_requirements_holds_the_one_before_it() -> None:
    """The Makefile installs one of them, and .ci/run adds to the packages of tests that run."""
    texts = [(ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8") for name in ("run", "test", "check")]
    run, test, check = (set(re.findall(r"^[\w.\[\],-]+==\S+", text, re.MULTILINE)) for text in texts)
    assert run
    assert run - test == test - check == set()


NODE = re.compile(r"(tests/[\w/]+\.py)::([\w:]+)")


def rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in cells if row[0] not in {"id", ""} and not set(row[0]) <= set(":- ")]


def defined(path: Path) -> set[str]:
    """Test names of a file, methods as Class::method."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return names


def test_every_row_of_the_threat_model_names_a_test_that_exists() -> None:
    assert rows(), "the threat model is empty"
    wrong = []
    for row in rows():
        found = NODE.findall(row[-1])
        if len(row) != 4 or not found:
            wrong.append(f"{row[0]}: needs four cells, the last with a test")
        wrong += [
            f"{row[0]}: {file}::{name}"
            for file, name in found
            if not (ROOT / file).exists() or name not in defined(ROOT / file)
        ]
    assert not wrong, "\n".join(wrong)


def test_each_threat_has_one_row() -> None:
    ids = [row[0] for row in rows()]
    assert sorted(ids) == sorted(set(ids))


def test_every_setting_has_its_row_in_the_papers() -> None:
    code = "".join((ROOT / "einbox" / name).read_text(encoding="utf-8") for name in ("settings.py", "env.py"))
    names = set(re.findall(r"env\.\w+\(\s*\"(EINBOX_\w+)\"", code))
    papers = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f"`{name}`" not in papers] == []


def test_every_decision_is_in_the_index_with_its_title_and_status() -> None:
    folder = ROOT / "docs" / "adr"
    wanted = []
    for path in sorted(folder.glob("[0-9]*.md")):
        title, _, status, *_ = path.read_text(encoding="utf-8").splitlines()
        number, _, name = title.removeprefix("# ").partition(". ")
        assert path.name.startswith(f"{int(number):04}-")
        wanted.append(f"| [{path.name[:4]}]({path.name}) | {name} | {status.removesuffix('.')} |")
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert [line for line in index.splitlines() if line.startswith("| [")] == wanted


@pytest.mark.parametrize("name", ["dependencies", "test", "check", "postgresql"])
def test_every_dependency_has_its_reason(name: str) -> None:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        project = tomllib.load(stream)
    listed = {
        "dependencies": project["project"]["dependencies"],
        "postgresql": project["project"]["optional-dependencies"]["postgresql"],
        "test": project["dependency-groups"]["test"],
        "check": project["dependency-groups"]["check"],
    }[name]
    papers = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    wanted = [re.split(r"[\[<>=~ ]", item)[0].lower() for item in listed]
    assert [package for package in wanted if f"| {package} |" not in papers] == []
