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
SLICES = (Path(__file__).parent.parent / "src" / "undercroft").glob("*/models.py")
LATER = {"alembic", "mako", "typer", "click", "rich", "psycopg_pool", "undercroft.cli", "undercroft.importers"}


def _printed(code: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[-1].split()


def _modules_after(code: str) -> set[str]:
    return set(_printed(f"import sys\n{code}\nprint(*sys.modules)"))


def _brought_by(code: str) -> set[str]:
    return _modules_after(code) & (EXTRAS | LATER)


def test_importing_the_package_brings_nothing_optional():
    assert {"asyncpg", "psycopg", "redis"} <= EXTRAS
    assert _brought_by("import undercroft") == set()


def test_importing_the_package_brings_no_slice():
    """The one exception is where a tenant's id is computed."""
    slices = {path.parent.name for path in SLICES}
    assert {"threads", "archive", "tenants"} <= slices
    brought = _modules_after("import undercroft")
    assert {f"undercroft.{name}" for name in slices} & brought == {"undercroft.tenants"}
    assert "cryptography" not in brought
    assert "undercroft.threads" in _modules_after("import undercroft; undercroft.Thread")


def test_every_public_name_is_found_where_it_is_said_to_be():
    code = "print(*(f'{getattr(undercroft, name).__module__}' for name in undercroft.__all__))"
    assert _printed(f"import undercroft\nassert set(undercroft.__all__) <= set(dir(undercroft))\n{code}")
    assert _printed("import undercroft\nprint(undercroft.models.Thread.__name__, hasattr(undercroft, 'Thred'))") == [
        "Thread",
        "False",
    ]


def test_a_model_of_the_users_finds_ours_beside_it():
    code = "print('undercroft.threads' in undercroft.Base.metadata.tables)"
    assert _printed(f"import undercroft\n{code}") == ["True"]


def test_a_rotation_of_keys_knows_every_sealed_column():
    code = "from undercroft import Store\nfrom undercroft.keys import resealing\n"
    code += "print(*sorted({column.table.name for column in resealing.every_sealed_column()}))"
    assert _printed(code) == ["config_audit", "configurations", "secrets"]


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
