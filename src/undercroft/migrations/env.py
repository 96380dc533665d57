"""What Alembic runs: whatever `undercroft.migrations.runner` or `authoring` hands over."""

from alembic import context

context.config.attributes["run"](context)
