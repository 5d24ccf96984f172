"""The project's own rules that no linter knows: sizes, verifier imports, the lock, the `tests` package."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import tests

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-fuzz.lock")
PACKAGES = ("api", "circuits", "exchange", "prover", "verifier")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
TABLES = re.compile(r"constants|tables|keys")
"""Modules that hold nothing but numbers may be as long as the numbers need."""


def product_modules() -> Iterator[tuple[str, str]]:
    """(path below the root, text) of every module that is shipped."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def test_modules_and_functions_stay_short() -> None:
    too_long = []
    for name, text in product_modules():
        lines = text.count("\n")
        if lines > MODULE_LINES_MAX and not TABLES.search(name):
            too_long.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    too_long.append(f"{name}:{node.lineno} {node.name}: {length} lines")
    assert too_long == []


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name, text in product_modules() if not ast.get_docstring(ast.parse(text))] == []


def test_the_verifier_imports_the_standard_library_and_itself_only() -> None:
    foreign = []
    for name, text in product_modules():
        if not name.startswith("verifier/"):
            continue
        for node in ast.walk(ast.parse(text)):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            foreign += [
                f"{name}: {module}"
                for module in modules
                if module.partition(".")[0] not in sys.stdlib_module_names | {"verifier"}
            ]
    assert foreign == []


def test_this_is_our_tests_package() -> None:
    assert tests.__file__ == str(ROOT / "tests" / "__init__.py")


def locked() -> dict[str, list[str]]:
    """Distribution name (lower case, dashes) to the versions that the lock files pin for it."""
    pins: dict[str, list[str]] = {}
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in LOCKS)
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE):
        pins.setdefault(re.sub(r"[-_.]+", "-", name).lower(), []).append(version)
    return pins


def declared() -> list[str]:
    """Every requirement of pyproject.toml: base, extras and groups."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [project["project"]["dependencies"], *project["dependency-groups"].values()]
    groups += project["project"]["optional-dependencies"].values()
    return [text for group in groups for text in group]


@pytest.mark.parametrize("text", declared())
def test_the_lock_satisfies_what_is_declared(text: str) -> None:
    requirement = Requirement(text)
    versions = locked().get(re.sub(r"[-_.]+", "-", requirement.name).lower(), [])
    assert versions, f"{requirement.name} is in no lock file: make lock"
    assert all(requirement.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_names_no_host_and_hashes_everything(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "pysha3" not in locked()
    for block in re.split(r"\n(?=[a-z0-9])", text, flags=re.IGNORECASE)[1:]:
        assert "--hash=sha256:" in block, block
