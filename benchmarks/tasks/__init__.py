"""What is measured: a module a task, with its NUMBER among the project's targets, its TITLE, and ``run(bench)``."""
