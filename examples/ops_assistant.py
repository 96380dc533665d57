"""An operations assistant on a single file: it knows the goals, remembers what was said, and is set while it runs.

    python examples/ops_assistant.py                                  # asks and answers, until the end of the input
    python examples/ops_assistant.py --once "What is most urgent?"    # as a cron job or another program would
    undercroft config set assistant.prompt "Answer in one sentence."  # from elsewhere: the next answer obeys
    undercroft flags set weekly_actions --on --share 50               # half of the people hear what to do this week

`call_model` is to be your model. Everything else lies in undercroft.db, or where UNDERCROFT_DATABASE_URL says.
"""

import argparse
import getpass
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from undercroft import Blocking, Goal, Store, TenantScope, UndercroftError

ALL = 100  # per cent
PROMPT = "You help a team to reach its goals. Be brief and name numbers."
HELP = """/goal KEY TITLE       make a goal, or rename it     /do KEY ACTION    what to do for it each week
/progress KEY 0-100   how far it is                 /goals            what the team wants
/prefer NAME VALUE    such as: /prefer tone dry     /stats            how fast the model answered
Anything else is a question."""


def call_model(messages: Sequence[dict[str, str]], model: str) -> str:
    """Return the model's answer to a conversation: here, what it was told, which is what a real one would work with."""
    return f"[{model}, {len(messages) - 1} remembered] {messages[0]['content'].splitlines()[-1]}"


@dataclass
class Assistant:
    """Answers the people of one tenant, each in a conversation of his own."""

    tenant: TenantScope[Blocking]
    call_model: Callable[[Sequence[dict[str, str]], str], str] = call_model

    def answer(self, user: str, text: str) -> str:
        """Do what is asked for, or answer a question."""
        return self.obey(user, text) if text.startswith("/") else self.ask(user, text)

    def obey(self, user: str, text: str) -> str:
        """Do what a command says, or tell which there are."""
        goals, reply = self.tenant.goals, HELP
        match text.split(maxsplit=2):
            case ["/goals"]:
                reply = self.goals() or "No goal yet: /goal sales_q1 Sell twenty seats"
            case ["/goal", key, title]:
                reply = line(goals.save(key, title=title, status="in_progress", by=user))
            case ["/do", key, action]:
                reply = line(goals.save(key, weekly_actions=[*goals.get(key).weekly_actions, action], by=user))
            case ["/progress", key, percent] if percent.rstrip("%").isdecimal():
                share = int(percent.rstrip("%"))
                reply = line(
                    goals.save(key, progress=share, status="completed" if share == ALL else "in_progress", by=user)
                )
            case ["/prefer", name, value]:
                self.tenant.preferences.set(user, name, value)
                reply = f"For you, {name} is {value}."
            case ["/stats"]:
                reply = self.stats()
        return reply

    def ask(self, user: str, question: str) -> str:
        """Answer a question with the model, as it is configured at this moment."""
        config, thread = self.tenant.config, f"assistant:{user}"
        self.tenant.threads.append(thread, role="user", content=question, user=user)
        window = self.tenant.threads.messages(thread, max_tokens=config.get("assistant.window_tokens", 2000))
        told = [{"role": one.role, "content": str(one.content)} for one in window]
        model = config.get("assistant.model", "small")
        began = time.monotonic()
        reply = self.call_model([{"role": "system", "content": self.briefing(user)}, *told], model)
        self.tenant.metrics.log("assistant.answer", time.monotonic() - began, unit="s", data={"model": model})
        self.tenant.threads.append(thread, role="assistant", content=reply)
        return reply

    def briefing(self, user: str) -> str:
        """Return what the model is told first: how to answer, whom, and how things stand."""
        prompt = self.tenant.config.get("assistant.prompt", PROMPT)
        wishes = ", ".join(f"{name}: {value}" for name, value in self.tenant.preferences.effective(user).items())
        goals = self.goals(actions=self.tenant.settings.flag("weekly_actions", user=user))
        return f"{prompt}\nWhoever asks wants {wishes or 'nothing special'}.\n{goals or 'There is no goal yet.'}"

    def goals(self, *, actions: bool = True) -> str:
        """Return the goals that are under way, the most important first, one a line."""
        open_ = sorted(self.tenant.goals.list(status="in_progress"), key=lambda goal: -goal.priority)
        return "\n".join(line(goal, actions=actions) for goal in open_)

    def stats(self) -> str:
        """Return how fast the model was today."""
        seen = self.tenant.metrics.summary("assistant.answer", hours=24).total
        return f"{seen.count} answers, p95 {seen.p95:.2f} s" if seen else "Nobody has asked today."


def line(goal: Goal, *, actions: bool = True) -> str:
    """Return a goal as people read it."""
    weekly = f" - each week: {'; '.join(goal.weekly_actions)}" if actions and goal.weekly_actions else ""
    return f"{goal.key}: {goal.title}, {goal.progress} %{weekly}"


def main() -> None:
    """Ask and answer at the terminal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", metavar="QUESTION", help="answer this and end")
    parser.add_argument("--user", default=getpass.getuser(), help="who asks (default: your login)")
    given = parser.parse_args()
    with Store() as store:
        assistant = Assistant(store.default)
        if given.once:
            print(assistant.answer(given.user, given.once))
            return
        print("Ask, or write /help; Ctrl-D ends.")
        while True:
            try:
                if text := input("> ").strip():
                    print(assistant.answer(given.user, text), flush=True)
            except UndercroftError as error:  # one line, which says what to do
                print(error, flush=True)
            except (EOFError, KeyboardInterrupt):
                return


if __name__ == "__main__":
    try:
        main()
    except UndercroftError as wrong:
        sys.exit(str(wrong))
