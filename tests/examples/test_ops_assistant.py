"""The assistant on a single file: what it keeps, what its model is told, and that it is set while it runs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples import ops_assistant
from examples.ops_assistant import HELP, PROMPT, Assistant

EXAMPLE = Path(ops_assistant.__file__)


@pytest.fixture
def colour() -> str:
    return "sync"


class Model:
    """A model that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[list[dict[str, str]]] = []
        self.models: list[str] = []

    def __call__(self, messages: Any, model: str) -> str:
        self.told.append(list(messages))
        self.models.append(model)
        return f"answer {len(self.told)}"


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def assistant(tenant: Any, model: Model) -> Assistant:
    return Assistant(tenant, model)


def test_a_conversation_goes_on_where_it_was(assistant, model, tenant):
    assert assistant.answer("ada", "How are we doing?") == "answer 1"
    again = Assistant(tenant, model)  # as after a restart
    again.answer("ada", "And now?")
    system, *said = model.told[-1]
    assert system["role"] == "system"
    assert [one["content"] for one in said] == ["How are we doing?", "answer 1", "And now?"]
    again.answer("grace", "Hello")
    assert [one["content"] for one in model.told[-1][1:]] == ["Hello"]


def test_the_window_is_a_budget_of_tokens(assistant, model, tenant):
    for number in range(10):
        assistant.answer("ada", f"question {number} " + "word " * 100)
    assert len(model.told[-1]) == 20
    tenant.config.set("assistant.window_tokens", 500)
    assistant.answer("ada", "short")
    assert 2 < len(model.told[-1]) < 10
    assert model.told[-1][-1]["content"] == "short"


def test_goals_are_made_brought_on_and_told_to_the_model(assistant, model, tenant):
    assert assistant.answer("ada", "/goal sales Sell twenty seats") == "sales: Sell twenty seats, 0 %"
    assert assistant.answer("ada", "/do sales Call leads").endswith("each week: Call leads")
    assert assistant.answer("ada", "/do sales Send offers").endswith("Call leads; Send offers")
    assert "40 %" in assistant.answer("ada", "/progress sales 40%")
    assert assistant.answer("ada", "/goals") == "sales: Sell twenty seats, 40 % - each week: Call leads; Send offers"
    assistant.answer("ada", "What is next?")
    assert model.told[-1][0]["content"].endswith("sales: Sell twenty seats, 40 %")
    tenant.settings.set_flag("weekly_actions", enabled=True, users=["ada"])
    assistant.answer("ada", "What is next?")
    assert model.told[-1][0]["content"].endswith("each week: Call leads; Send offers")
    assistant.answer("grace", "What is next?")
    assert model.told[-1][0]["content"].endswith("40 %")
    assistant.answer("ada", "/progress sales 100")
    assert "No goal" in assistant.answer("ada", "/goals")
    assert [one.progress for one in tenant.goals.progress("sales")] == [100, 40, 0]


def test_what_somebody_prefers_is_told_to_the_model(assistant, model, tenant):
    tenant.settings.set("tone", "friendly")
    assistant.answer("ada", "/prefer tone dry, please")
    for user, tone in (("ada", "dry, please"), ("grace", "friendly")):
        assistant.answer(user, "Hello")
        assert f"tone: {tone}" in model.told[-1][0]["content"]


def test_how_fast_the_model_was(assistant):
    assert assistant.answer("ada", "/stats") == "Nobody has asked today."
    assistant.answer("ada", "Hello")
    assert assistant.answer("ada", "/stats").startswith("1 answers, p95 0.")


def test_what_it_does_not_know_is_explained(assistant, model):
    for wrong in ("/help", "/", "/goal", "/progress sales many", "/prefer tone"):
        assert assistant.answer("ada", wrong) == HELP
    assert model.told == []


# -- as a program -----------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("UNDERCROFT_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def running(place: Path) -> Iterator[subprocess.Popen[str]]:
    """The assistant, which waits for a question."""
    arguments = [sys.executable, EXAMPLE, "--user", "ada"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=place) as process:
        yield process
        process.kill()


def asked(process: subprocess.Popen[str], question: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{question}\n")
    process.stdin.flush()
    return process.stdout.readline().removeprefix("> ")


def ran(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_a_change_in_another_process_shows_in_the_next_answer(running):
    assert running.stdout.readline().startswith("Ask")
    assert asked(running, "Hello").startswith("[small, 1 remembered]")
    done = ran("-m", "undercroft.cli", "config", "set", "assistant.model", "large")
    assert done.returncode == 0, done.stderr
    assert asked(running, "Hello again").startswith("[large, 3 remembered]")
    assert asked(running, "/do nothing Call") == "The tenant has no goal 'nothing': check its name or id\n"
    assert asked(running, "/goal sales Sell twenty seats") == "sales: Sell twenty seats, 0 %\n"
    assert asked(running, "What is next?").endswith("sales: Sell twenty seats, 0 %\n")


def test_one_question_on_the_command_line(place):
    first = ran(EXAMPLE, "--user", "ada", "--once", "Hello")
    assert (first.returncode, first.stdout) == (0, "[small, 1 remembered] There is no goal yet.\n")
    assert ran(EXAMPLE, "--user", "ada", "--once", "Hello").stdout.startswith("[small, 3 remembered]")
    assert (place / "undercroft.db").exists()
    wrong = ran(EXAMPLE, "--once", "/do nothing Call")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (1, "", 1)


def test_it_is_one_import_and_one_file():
    text = EXAMPLE.read_text()
    assert len(text.splitlines()) < 150
    assert [line for line in text.splitlines() if "undercroft import" in line] == [
        "from undercroft import Blocking, Goal, Store, TenantScope, UndercroftError"
    ]
    assert PROMPT in text
