import pytest

from undercroft.errors import SourceRefused
from undercroft.importers.slack.layout import recognise


def test_an_official_export():
    layout = recognise(
        [
            "users.json",
            "channels.json",
            "dms.json",
            "canvases.json",
            "b/2020-01-02.json",
            "b/2019-12-31.json",
            "a/x.json",
        ],
        "x",
    )
    assert layout.kind == "export"
    assert layout.users == ("users.json",)
    assert layout.channels == {"channels.json": "public", "dms.json": "dm"}
    assert layout.days == {"b": ("b/2019-12-31.json", "b/2020-01-02.json")}
    assert layout.skipped == ("a/x.json", "canvases.json")


def test_an_enterprise_export_names_its_users_otherwise():
    assert recognise(["org_users.json", "channels.json"], "x").users == ("org_users.json",)


@pytest.mark.parametrize("root", ["", "acme/", "a/b/c/"])
def test_the_export_is_found_however_deep_it_lies(root):
    names = [f"{root}channels.json", f"{root}general/2020-01-01.json", "__MACOSX/._x", "readme.md"]
    layout = recognise(names, "x")
    assert layout.days == {f"{root}general": (f"{root}general/2020-01-01.json",)}
    assert layout.skipped == ("readme.md",)


def test_a_shared_file_is_no_list_and_no_day():
    names = [
        "channels.json",
        "general/2020-01-01.json",
        "general/attachments/F1-channels.json",
        "__uploads/F2/2020-01-01.json",
        "__uploads/F3/C1234567.json",
    ]
    layout = recognise(names, "x")
    assert list(layout.message_files()) == ["general/2020-01-01.json"]
    assert len(layout.skipped) == 3


def test_a_shared_file_at_the_top_does_not_make_an_export_a_dump():
    names = ["channels.json", "CHANGELOG.json", "general/2020-01-01.json"]
    assert recognise(names, "x").kind == "export"


def test_a_dump_and_chunks():
    dump = recognise(["channels.json", "users.json", "workspace.json", "C1234567.json", "C1234567/a.json"], "x")
    assert (dump.kind, dump.conversations, dump.workspace) == ("dump", ("C1234567.json",), "workspace.json")
    chunks = recognise(["users.json.gz", "C1234567.json.gz", "search.json.gz", "__uploads/F1/a.gz"], "x")
    assert (chunks.kind, chunks.conversations) == ("chunks", ("C1234567.json.gz", "users.json.gz"))
    assert chunks.skipped == ("__uploads/F1/a.gz", "search.json.gz")


def test_an_export_without_messages_is_one():
    assert recognise(["channels.json"], "x").kind == "export"


@pytest.mark.parametrize("names", [[], ["a.txt"], ["2020-01-01.json"], ["general/2020-01-01.json"], ["users.json"]])
def test_anything_else_is_none(names):
    with pytest.raises(SourceRefused, match=r"x\.zip holds no channels\.json"):
        recognise(names, "x.zip")
