"""What `import undercroft` brings into a process: nothing optional, and nothing that only some programs ever use."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PYPROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
EXTRAS = {
    re.match(r"[\w-]+", requirement)[0].replace("-", "_")
    for extra, requirements in PYPROJECT["project"]["optional-dependencies"].items()
    if extra != "dev"
    for requirement in requirements
}
LATER = {"alembic", "mako", "typer", "click", "rich", "psycopg_pool", "undercroft.cli", "undercroft.importers"}


def _brought_by(code: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(run.stdout.splitlines()[-1].split()) & (EXTRAS | LATER)


def test_importing_the_package_brings_nothing_optional():
    assert {"asyncpg", "psycopg", "redis"} <= EXTRAS
    assert _brought_by("import undercroft") == set()


def test_a_store_on_a_file_brings_no_servers_driver(tmp_path: Path):
    brought = _brought_by(f"import undercroft\nundercroft.Store('sqlite:///{tmp_path}/bot.db').default.users.list()")
    assert brought & EXTRAS == set()


def test_what_is_brought_would_be_seen():
    assert _brought_by("import undercroft, undercroft.cli, psycopg") >= {"undercroft.cli", "psycopg", "typer"}


@pytest.mark.parametrize("missing", ["starlette", "jwt"])
def test_an_adapter_without_its_extra_names_it(missing: str):
    code = f"import sys\nsys.modules[{missing!r}] = None\nimport undercroft.adapters.starlette"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = run.stderr.splitlines()[-1]
    assert "MissingExtra" in last
    assert last.endswith("pip install 'undercroft[web]'")
