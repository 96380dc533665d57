"""docs/upkeep.md tells for how long everything is kept by default."""

from pathlib import Path

from undercroft.upkeep.retention.classes import CLASSES

PAGE = Path(__file__).parent.parent.parent / "docs" / "upkeep.md"


def test_the_page_tells_every_data_class_and_its_default():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    wanted = [
        f"| `{name}` | {one.about} | {'for ever' if one.keep is None else f'{one.keep.days} days'} |"
        for name, one in CLASSES.items()
    ]
    assert rows == wanted
