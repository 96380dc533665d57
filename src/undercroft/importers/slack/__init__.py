"""Slack's history: official exports and the three layouts of slackdump, read as neutral records."""

from undercroft.importers.quarantine import Quarantined
from undercroft.importers.slack.export import SlackExport, open_export
from undercroft.importers.slack.markup import plain_text

__all__ = ["Quarantined", "SlackExport", "open_export", "plain_text"]
