from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.remotes.worlds import BEGIN, Origin, StoreMaker

from fluxtrail.model.errors import NotFoundError, WireError


async def test_refresh_brings_branches_tags_and_the_default_branch(origin: Origin, make_store: StoreMaker) -> None:
    first = origin.commit("one", files={"a": "1"})
    origin.git("tag", "light")
    origin.git("tag", "-a", "-m", "x", "annotated")
    origin.git("tag", "-a", "-m", "x", "nested", "annotated")
    origin.git("tag", "tree", "HEAD^{tree}")
    origin.git("branch", "feature/x")
    origin.push("origin", "--all")
    origin.push("origin", "--tags")
    repository = make_store().open(origin.url)
    heads = await repository.refresh()
    assert heads.branches == {"main": first, "feature/x": first}
    assert heads.tags == {"light": first, "annotated": first, "nested": first}
    assert heads.default_branch == "main"
    assert heads.fetched_at is not None
    assert not heads.missing
    assert await repository.heads() == heads


async def test_refresh_follows_force_pushes_and_prunes(origin: Origin, make_store: StoreMaker) -> None:
    origin.commit("one")
    origin.git("branch", "gone")
    origin.git("branch", "dir")
    origin.push("origin", "--all")
    old = origin.commit("two")
    repository = make_store().open(origin.url)
    await repository.refresh()
    origin.git("reset", "-q", "--hard", "HEAD~1")
    new = origin.commit("other")
    origin.push("origin", ":gone", ":dir", "HEAD:dir/inner")
    heads = await repository.refresh()
    assert heads.branches == {"main": new, "dir/inner": new}
    assert await repository.has(old)
    assert not await repository.is_ancestor(old, new)


async def test_an_empty_repository_has_no_heads(origin: Origin, make_store: StoreMaker) -> None:
    repository = make_store().open(origin.url)
    heads = await repository.refresh()
    assert (heads.branches, heads.tags) == ({}, {})
    sha = origin.commit("first")
    assert (await repository.refresh()).branches == {"main": sha}


async def test_a_wanted_commit_that_no_ref_reaches_is_fetched_by_name(origin: Origin, make_store: StoreMaker) -> None:
    origin.commit("one")
    unreachable = origin.commit("two", files={"x/y": "1"})
    origin.git("reset", "-q", "--hard", "HEAD~1")
    origin.push()
    repository = make_store().open(origin.url)
    gone = "12" * 20
    heads = await repository.refresh(want=[unreachable, gone])
    assert heads.missing == {gone}
    assert await repository.has(unreachable)
    assert [c.paths for c in await repository.log(unreachable)] == [(), ("x/y",)]
    assert await repository.read_file(unreachable, "x/y", limit_bytes=10) == b"1"


async def test_callers_get_only_their_own_missing(origin: Origin, make_store: StoreMaker) -> None:
    sha = origin.commit("one")
    repository = make_store().open(origin.url)
    gone = "12" * 20
    mine, other = await asyncio.gather(repository.refresh(want=[sha]), repository.refresh(want=[gone]))
    assert not mine.missing
    assert other.missing == {gone}


async def test_the_remote_default_branch_is_followed(origin: Origin, make_store: StoreMaker, clock: Any) -> None:
    origin.commit("one")
    repository = make_store().open(origin.url)
    await repository.refresh()
    origin.push("origin", "HEAD:trunk")
    origin.git("symbolic-ref", "HEAD", "refs/heads/trunk", cwd=origin.path)
    assert (await repository.refresh()).default_branch == "main"
    clock.forward(3601)
    assert (await repository.refresh()).default_branch == "trunk"


async def test_log_facts(origin: Origin, make_store: StoreMaker) -> None:
    first = origin.commit("Add a shop (#12)\n\nWith a body.\n\nAnd more.\n", files={"a/b.yaml": "1", "c": "2"})
    second = origin.commit(f'Revert "Add a shop (#12)" (#13)\n\nThis reverts commit {first}.\n', files={"c": "3"})
    repository = make_store().open(origin.url)
    await repository.refresh()
    one, two = await repository.log(second)
    assert (one.sha, one.parents, one.subject, one.pull_request) == (first, (), "Add a shop (#12)", 12)
    assert (one.author, one.author_email) == ("Ada", "ada@example.com")
    assert one.committed_at == BEGIN + timedelta(seconds=1)
    assert one.authored_at.tzinfo is not None
    assert one.paths == ("a/b.yaml", "c")
    assert (two.parents, two.reverts, two.pull_request, two.paths) == ((first,), (first,), 13, ("c",))


async def test_log_of_a_range_is_first_parent_oldest_first(origin: Origin, make_store: StoreMaker) -> None:
    base = origin.commit("base", files={"base": "1"})
    origin.git("checkout", "-q", "-b", "feature")
    inner1 = origin.commit("inner 1", files={"f1": "1"}, push=False)
    inner2 = origin.commit("inner 2", files={"f2": "1"}, push=False)
    origin.git("checkout", "-q", "main")
    direct = origin.commit("direct", files={"d": "1"})
    merge = origin.merge("feature", "Merge pull request #7 from acme/feature")
    last = origin.commit("last", files={"l": "1"})
    repository = make_store().open(origin.url)
    await repository.refresh()
    facts = await repository.log(last, exclude=[base])
    assert [c.sha for c in facts] == [direct, merge, last]
    assert [c.paths for c in facts] == [("d",), ("f1", "f2"), ("l",)]
    assert facts[1].is_merge
    assert facts[1].pull_request == 7
    assert [c.sha for c in await repository.log(last, exclude=[inner2])] == [base, direct, merge, last][1:]
    assert {c.sha for c in await repository.log(last, exclude=[base], first_parent=False)} == {
        direct, merge, last, inner1, inner2,
    }  # fmt: skip
    assert [c.sha for c in await repository.log(last, exclude=[base], limit=2)] == [merge, last]
    assert [c.paths for c in await repository.log(last, exclude=[base], with_paths=False)] == [(), (), ()]
    assert await repository.list_commits(last, exclude=[base]) == [direct, merge, last]
    assert await repository.merged_commits(merge) == [inner1, inner2]
    assert await repository.merged_commits(last) == []
    assert await repository.merged_commits(base) == []
    assert await repository.log(base, exclude=[last]) == []
    assert await repository.log([]) == []


async def test_log_survives_unusual_names_and_messages(origin: Origin, make_store: StoreMaker) -> None:
    names = ["ünï/código.yaml", "quo\"te's", "new\nline", "\nfirst", " space ", "-dash", "tab\t", "*glob[1]"]
    sha = origin.commit("\n\n  subject\twith\x01 control \n\nline\n\n\nlast", files=dict.fromkeys(names, "x"))
    empty = origin.commit("", files={})
    origin.seconds += 1
    latin = origin.git(
        "-c",
        "i18n.commitEncoding=ISO-8859-1",
        "commit-tree",
        "HEAD^{tree}",
        "-p",
        "HEAD",
        stdin="caf\xe9".encode("latin-1"),
    )
    origin.push("origin", f"{latin}:refs/heads/main")
    repository = make_store().open(origin.url)
    await repository.refresh()
    one, two, three = await repository.log(latin)
    assert (one.sha, sorted(one.paths)) == (sha, sorted(names))
    assert (two.sha, two.subject, two.paths) == (empty, "", ())
    assert three.subject == "café"
    for name in names:
        assert await repository.read_file(sha, name, limit_bytes=5) == b"x", name
        assert await repository.commits_touching(name, latin) == [sha], name


async def test_a_mailmap_and_attributes_in_the_repository_change_nothing(
    origin: Origin, make_store: StoreMaker
) -> None:
    files = {
        ".mailmap": "Eve <eve@example.com> <ada@example.com>\n",
        ".gitattributes": "* diff=evil filter=evil\n",
        "a": "1",
    }
    sha = origin.commit("one", files=files)
    repository = make_store().open(origin.url)
    await repository.refresh()
    (facts,) = await repository.log(sha)
    assert (facts.author, facts.paths) == ("Ada", (".gitattributes", ".mailmap", "a"))
    assert await repository.commits_touching("a", sha) == [sha]


async def test_commits_touching_a_path_counts_a_merge_that_brings_it(origin: Origin, make_store: StoreMaker) -> None:
    base = origin.commit("base", files={"exporter-info.json": "0"})
    origin.git("checkout", "-q", "-b", "feature")
    origin.commit("inner", files={"exporter-info.json": "1"}, push=False)
    origin.git("checkout", "-q", "main")
    origin.commit("unrelated", files={"d": "1"})
    merge = origin.merge("feature", "merge")
    changed = origin.commit("again", files={"exporter-info.json": "2"})
    repository = make_store().open(origin.url)
    await repository.refresh()
    assert await repository.commits_touching("exporter-info.json", changed) == [base, merge, changed]
    assert await repository.commits_touching("exporter-info.json", changed, [merge]) == [changed]
    assert await repository.commits_touching("none", changed) == []


async def test_ancestry(origin: Origin, make_store: StoreMaker) -> None:
    base = origin.commit("base")
    left = origin.commit("left")
    origin.git("checkout", "-q", "--orphan", "island")
    island = origin.commit("island")
    origin.git("checkout", "-q", "-b", "right", base)
    right = origin.commit("right")
    repository = make_store().open(origin.url)
    await repository.refresh()
    assert await repository.is_ancestor(base, left)
    assert await repository.is_ancestor(base, left)  # from memory
    assert await repository.is_ancestor(left, left)
    assert not await repository.is_ancestor(left, base)
    assert not await repository.is_ancestor(left, right)
    assert await repository.merge_base(left, right) == base
    assert await repository.merge_base(left, island) is None
    with pytest.raises(NotFoundError, match="is not in the clone"):
        await repository.is_ancestor("12" * 20, left)


async def test_read_file_within_its_limit(origin: Origin, make_store: StoreMaker) -> None:
    big = b"\0binary\n" * 40_000
    sha = origin.commit("files", files={"dir/big": big, "small": "x\n", "empty": "", "tool": "#!"})
    (origin.work / "link").symlink_to("small")
    (origin.work / "tool").chmod(0o755)
    sha = origin.commit("link")
    repository = make_store().open(origin.url)
    await repository.refresh()
    assert await repository.read_file(sha, "dir/big", limit_bytes=len(big)) == big
    assert await repository.read_file(sha, "./small", limit_bytes=2) == b"x\n"
    assert await repository.read_file(sha, "empty", limit_bytes=0) == b""
    assert await repository.read_file(sha, "tool", limit_bytes=10) == b"#!"
    for absent in ("none", "dir", "link", "small/inner", ""):
        assert await repository.read_file(sha, absent, limit_bytes=10) is None, absent
    with pytest.raises(WireError, match="320000 bytes are more than the limit of 1000"):
        await repository.read_file(sha, "dir/big", limit_bytes=1000)
    for bad in ("../x", "/etc/passwd", "a/../b", "a\0b"):
        with pytest.raises(WireError, match="not a path inside"):
            await repository.read_file(sha, bad, limit_bytes=10)


async def test_trees(origin: Origin, make_store: StoreMaker) -> None:
    one = origin.commit("one", files={"apps/shop/a.yaml": "1", "apps/b.yaml": "1", "other": "1"})
    two = origin.commit("two", files={"other": "2"})
    repository = make_store().open(origin.url)
    await repository.refresh()
    assert [(e.mode, e.type, e.name) for e in await repository.list_tree(one, "apps")] == [
        ("100644", "blob", "b.yaml"),
        ("040000", "tree", "shop"),
    ]
    assert await repository.tree_id(one, "./apps/") == await repository.tree_id(two, "apps") is not None
    assert await repository.tree_id(one) != await repository.tree_id(two)
    assert await repository.tree_id(one, "none") is None
    assert await repository.list_tree(one, "none") == []
    assert await repository.tree_id(one) == origin.git("rev-parse", f"{one}^{{tree}}")


async def test_resolve_prefix_finds_only_commits(origin: Origin, make_store: StoreMaker) -> None:
    sha = origin.commit("one", files={"a": "1"})
    repository = make_store().open(origin.url)
    await repository.refresh()
    tree = await repository.tree_id(sha)
    assert tree is not None
    assert await repository.resolve_prefix(sha[:7].upper()) == [sha]
    assert await repository.resolve_prefix(sha) == [sha]
    assert await repository.resolve_prefix(tree[:12]) == []
    for bad in ("abc", "HEAD", "main", "--all", "a" * 65):
        with pytest.raises(WireError, match="hexadecimal"):
            await repository.resolve_prefix(bad)


async def test_nothing_but_full_shas_reaches_git(origin: Origin, make_store: StoreMaker) -> None:
    sha = origin.commit("one")
    repository = make_store().open(origin.url)
    await repository.refresh()
    for bad in ("HEAD", "--output=/tmp/x", "-n1", f"{sha}~0", sha.upper(), f"{sha}\n--all"):
        with pytest.raises(WireError):
            await repository.log(bad)
        with pytest.raises(WireError):
            await repository.log(sha, exclude=[bad])
        with pytest.raises(WireError):
            await repository.is_ancestor(bad, sha)
        with pytest.raises(WireError):
            await repository.refresh(want=[bad])
        with pytest.raises(WireError):
            await repository.pin("x", bad)


async def test_reading_before_the_first_refresh_says_so(origin: Origin, make_store: StoreMaker) -> None:
    repository = make_store().open(origin.url)
    with pytest.raises(NotFoundError, match="refresh it first") as caught:
        await repository.log("12" * 20)
    assert caught.value.retryable
    assert not await repository.has("12" * 20)


async def test_a_killed_reader_is_started_again(origin: Origin, make_store: StoreMaker) -> None:
    sha = origin.commit("one", files={"a": "1"})
    repository = make_store().open(origin.url)
    await repository.refresh()
    assert await repository.read_file(sha, "a", limit_bytes=5) == b"1"
    process = repository.reader._process
    assert process is not None
    process.kill()
    await process.wait()
    assert await repository.read_file(sha, "a", limit_bytes=5) == b"1"
    assert repository.reader._process is not process


async def test_a_cancelled_read_does_not_confuse_the_next(origin: Origin, make_store: StoreMaker) -> None:
    big = b"x" * 3_000_000
    sha = origin.commit("one", files={"big": big, "small": "s"})
    repository = make_store().open(origin.url)
    await repository.refresh()
    await repository.prefetch([(sha, "big"), (sha, "small")])
    for turns in (1, 2, 3, 5, 8, 13):
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(repository.read_file(sha, "big", limit_bytes=len(big)))
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
        assert await repository.read_file(sha, "small", limit_bytes=5) == b"s"
