"""The folder of subscribers."""

from __future__ import annotations

import pytest

from fluxtrail.reports.subscribers.folder import SUBSCRIBERS_LIMIT, Folder, Subscriber, read_folder


def test_file_name_is_the_name_and_the_first_line_the_url() -> None:
    files = [
        ("spektate", "https://spektate.example.com/api/flux\n"),
        ("board", "\ufeff  http://board:8080/hook?code=s3cret \r\nsecond line\n"),
    ]
    assert read_folder(files) == Folder(
        subscribers=(
            Subscriber(name="board", url="http://board:8080/hook?code=s3cret"),
            Subscriber(name="spektate", url="https://spektate.example.com/api/flux"),
        )
    )


def test_kubernetes_own_entries_are_passed_over() -> None:
    assert read_folder([("..data", "x"), (".hidden", "https://x")]) == Folder()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("empty", "", "its first line is empty"),
        ("blank", "\nhttps://late.example.com", "its first line is empty"),
        ("no-scheme", "board.example.com/hook", "no http:// or https:// URL"),
        ("ftp", "ftp://board.example.com", "no http:// or https:// URL"),
        ("no-host", "https:///hook", "no http:// or https:// URL"),
        ("bad-port", "https://board:99999/hook", "no http:// or https:// URL"),
        ("bad-host", "https://[board/hook", "no http:// or https:// URL"),
        ("spaces", "https://board/s3cret hook", "has spaces"),
        ("long", "https://board/" + "x" * 5000, "longer than"),
        ("bad name", "https://board/s3cret", "rename the file"),
        ("x" * 300, "https://board/s3cret", "rename the file"),
    ],
)
def test_bad_file_is_named_and_keeps_nothing_from_the_others(name: str, text: str, said: str) -> None:
    folder = read_folder([(name, text), ("good", "https://good.example.com")])
    assert [subscriber.name for subscriber in folder.subscribers] == ["good"]
    [problem] = folder.problems
    assert repr(name[:253]) in problem
    assert said in problem
    assert "s3cret" not in problem


def test_there_are_only_so_many() -> None:
    folder = read_folder((f"s{number:03}", "https://x") for number in range(SUBSCRIBERS_LIMIT + 1))
    assert len(folder.subscribers) == SUBSCRIBERS_LIMIT
    assert len(folder.problems) == 1
