"""What a run links: the source commit that it exported and the commit that it made, on real git, in whatever order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.trail.following import START, World
from tests.trail.transcripts import Controller

from fluxtrail.model.ci import CiEvidence, CiRole, CiRun, CiState, CiSystem
from fluxtrail.model.figures import Figures
from fluxtrail.model.records import (
    AliasKind,
    CommitId,
    CommitRecord,
    DeliveryRecord,
    ExportEvidence,
    ExportRecord,
    RepositoryId,
    RepositoryRecord,
    TargetId,
    Transition,
)
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.verdict import Verdict
from fluxtrail.trail.ci.judging import take_runs
from fluxtrail.trail.ci.stating import take_statements
from fluxtrail.trail.late import joined

STATED = ExportEvidence.STATED


class Linked(World):
    """`shop` is exported into `fleet`, which says nothing of it."""

    def name(self, origin: str) -> str:
        return parse_repository(self.origins[origin].url).canonical

    def run(self, source: str, carrier: str, number: str = "7", **changed: Any) -> CiRun:
        run = CiRun(
            system=CiSystem.STATED,
            host="stated",
            project=self.name("shop"),
            run_id=number,
            role=CiRole.EXPORT,
            repository=self.name("shop"),
            sha=source,
            url=f"https://ci.test/{number}",
            state=CiState.SUCCEEDED,
            finished_at=self.clock.time,
            updated_at=self.clock.time,
            carrier_repository=self.name("fleet"),
            carrier_sha=carrier,
            evidence=CiEvidence.STATED,
        )
        return replace(run, **changed)

    async def state(self, *runs: CiRun) -> list[CiRun]:
        async with self.ledger.unit() as unit:
            return await take_statements(unit, runs, now=self.clock.time)

    async def state_and_die(self, run: CiRun) -> None:
        async with self.ledger.unit() as unit:
            await take_statements(unit, [run], now=self.clock.time)
            raise RuntimeError("killed")

    async def links(self) -> list[ExportRecord]:
        async with self.ledger.unit() as unit:
            return await unit.exports_of([CommitId(number) for number in range(1, 100)])

    async def pair(self, source: str, carrier: str) -> tuple[int, int]:
        return (await self.record(carrier)).id, (await self.record(source)).id

    async def history(self, sha: str) -> list[Transition]:
        commit = (await self.record(sha)).id
        return [line for line in await self.ledger.transitions(after_id=0) if line.commit_id == commit]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Linked]:
    made = Linked(tmp_path)
    for name in ("shop", "fleet"):
        made.origin(name)
    made.stated["shop"] = []
    made.stated["fleet"] = []
    async with made:
        yield made


async def begin(world: Linked, **fields: Any) -> Controller:
    world.commit("shop", "first", a="0")
    first = world.commit("fleet", "first", apps__a="0")
    flux = world.kustomization(**fields)
    await world.deliver(flux, "fleet", first, "d0")
    return flux


def as_carried(row: DeliveryRecord, source: DeliveryRecord) -> DeliveryRecord:
    """Return what a source commit's delivery is to be, by its carrier's."""
    return replace(row, commit_id=source.commit_id, carrier_id=row.commit_id)


async def is_where_its_carrier_is(world: Linked, source: str, carrier: str, flux: Controller) -> bool:
    mine, its = await world.delivery(source, flux), await world.delivery(carrier, flux)
    return mine == as_carried(its, mine)


# -- in every order -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["before", "pending", "applied"])
async def test_a_statement_may_come_before_its_carrier_is_seen_or_after_it_is_delivered(
    world: Linked, order: str
) -> None:
    flux = await begin(world, has_checks=True)
    source = world.commit("shop", "Sell", a="1")
    await world.settle()
    carrier = world.commit("fleet", "Export", apps__a="1")
    run = world.run(source, carrier)
    if order == "before":
        await world.state(run)
        assert await world.links() == []
    await world.settle()
    if order == "pending":
        await world.state(run)
    if order != "applied":
        assert await world.verdicts([source, carrier], flux) == ["pending"] * 2
        assert (await world.record(carrier)).is_carrier
    await world.deliver(flux, "fleet", carrier, "d1")
    if order == "applied":
        assert await world.verdicts([source, carrier], flux) == ["-", "deployed"]
        await world.state(run)
    assert await world.verdicts([source, carrier], flux) == ["deployed"] * 2
    assert await is_where_its_carrier_is(world, source, carrier, flux)
    (link,) = await world.links()
    assert (link.carrier_id, link.source_id) == await world.pair(source, carrier)
    assert (link.evidence, link.build_link, link.stated_at) == (STATED, "https://ci.test/7", None)
    told = [(line.kind.value, line.at, line.sync_id, line.after) for line in await world.history(source)]
    its = [(line.kind.value, line.at, line.sync_id, line.after) for line in await world.history(carrier)]
    assert told[-2:] == its[-2:]
    assert {item.merged for item in await world.facts()} >= {(await world.record(source)).merged}
    assert (await world.record(source)).merged_is_final


async def test_a_source_commit_that_is_read_after_its_export_was_delivered_has_all_of_it(world: Linked) -> None:
    flux = await begin(world)
    await world.settle()
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.fetch("fleet", carrier)
    world.now(flux).succeed(f"main@sha1:{carrier}", "d1")
    await world.play(flux)
    while await world.attributor.work():
        pass
    await world.state(world.run(source, carrier))
    assert await world.links() == [], "its branch will say when it was merged"
    await world.settle()
    assert await is_where_its_carrier_is(world, source, carrier, flux)
    assert (await world.record(source)).merged is not None


async def test_a_source_commit_that_nobody_reads_is_made_known_by_the_statement(world: Linked) -> None:
    flux = await begin(world)
    carrier = world.commit("fleet", "Export", apps__a="1")
    elsewhere = {"repository": "git.test/acme/other", "project": "git.test/acme/other"}
    await world.state(world.run("ab" * 20, carrier, **elsewhere))
    async with world.ledger.unit() as unit:
        assert "git.test/acme/other" not in {item.canonical for item in await unit.repositories()}
    await world.settle()
    assert await world.verdicts(["ab" * 20, carrier], flux) == ["pending"] * 2
    await world.state(world.run("cd" * 20, carrier, "8", **elsewhere))
    assert await world.verdicts(["cd" * 20], flux) == ["pending"]


async def test_a_source_commit_that_never_comes_costs_nothing(world: Linked) -> None:
    flux = await begin(world)
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.state(world.run("ab" * 20, carrier))
    await world.deliver(flux, "fleet", carrier, "d1")
    assert await world.links() == []
    row = await world.delivery(carrier, flux)
    assert row.verdict is Verdict.DEPLOYED
    assert not (await world.record(carrier)).is_carrier


@pytest.mark.parametrize("is_late", [False, True])
async def test_several_sources_of_one_carrier_and_several_carriers_of_one_source(world: Linked, is_late: bool) -> None:
    flux, other = await begin(world), world.kustomization("infra")
    await world.deliver(other, "fleet", world.commit("fleet", "infra", infra__a="0"), "d0")
    one, two = (world.commit("shop", name, a=name) for name in ("one", "two"))
    first = world.commit("fleet", "to apps", apps__a="1")
    second = world.commit("fleet", "to infra", infra__a="1")
    runs = [world.run(one, first), world.run(two, first), world.run(two, second, "8")]
    if not is_late:
        await world.state(*runs)
    await world.settle()
    for number, flux_ in enumerate((flux, other)):
        await world.deliver(flux_, "fleet", second, f"e{number}")
    if is_late:
        await world.state(*runs)
    assert await is_where_its_carrier_is(world, one, first, flux)
    assert await is_where_its_carrier_is(world, two, first, flux)
    assert await is_where_its_carrier_is(world, two, second, other)
    assert await world.verdicts([one, two], other) == ["-", "deployed"]
    assert len(await world.links()) == 3


@pytest.mark.parametrize("is_odd", [False, True])
async def test_a_later_carrier_decides_where_the_earlier_one_has_not_come(world: Linked, is_odd: bool) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    first, second = (world.commit("fleet", name, apps__a=name) for name in ("one", "two"))
    await world.settle()
    runs = [world.run(source, first), world.run(source, second, "8")]
    await world.state(*(reversed(runs) if is_odd else runs))
    assert (await world.delivery(source, flux)).carrier_id == (await world.record(second)).id
    await world.deliver(flux, "fleet", second, "d1")
    assert (await world.delivery(source, flux)).verdict is Verdict.DEPLOYED


# -- what became of the carrier ------------------------------------------------------------------------------------


async def test_a_failure_that_is_learnt_late_is_that_of_its_sync(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.fetch("fleet", carrier)
    world.now(flux).fail_build(f"main@sha1:{carrier}")
    await world.play(flux)
    await world.settle()
    await world.state(world.run(source, carrier))
    assert await is_where_its_carrier_is(world, source, carrier, flux)
    told, its = (await world.history(source))[-1], (await world.history(carrier))[-1]
    assert (told.after, told.at, told.sync_id) == ("failed", its.at, its.sync_id)
    world.now(flux).succeed(f"main@sha1:{carrier}", "d1")
    await world.play(flux)
    await world.settle()
    assert await world.verdicts([source, carrier], flux) == ["deployed"] * 2
    assert await is_where_its_carrier_is(world, source, carrier, flux)


async def test_what_failed_in_health_and_was_mended_later_has_both_moments(world: Linked) -> None:
    flux = await begin(world, has_checks=True)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.fetch("fleet", carrier)
    world.now(flux).fail_health(f"main@sha1:{carrier}")
    await world.play(flux)
    await world.settle()
    mended = world.commit("fleet", "Mend", apps__a="2")
    await world.deliver(flux, "fleet", mended, "d2")
    row = await world.delivery(carrier, flux)
    assert row.applied_sync != row.healthy_sync
    await world.state(world.run(source, carrier))
    assert await is_where_its_carrier_is(world, source, carrier, flux)
    told = {(line.kind.value, line.sync_id, line.after) for line in await world.history(source)}
    assert ("verdict", row.healthy_sync, "deployed") in told
    assert {sync for kind, sync, _ in told if kind == "applied"} == {row.applied_sync}


async def test_what_was_rolled_back_is_rolled_back_for_its_source_too(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    await world.settle()
    before = (await world.sync(world.target(flux).sync_id)).sha
    assert before is not None
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.deliver(flux, "fleet", carrier, "d1")
    await world.deliver(flux, "fleet", before, "d0")
    await world.state(world.run(source, carrier))
    assert await world.verdicts([source, carrier], flux) == ["rolled_back"] * 2
    told, its = (await world.history(source))[-1], (await world.history(carrier))[-1]
    assert (told.after, told.at, told.sync_id) == ("rolled_back", its.at, its.sync_id)


# -- the same again, and corrected ---------------------------------------------------------------------------------


async def test_stated_again_whether_read_again_or_restarted_it_is_the_same(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    run = world.run(source, carrier)
    await world.settle()
    await world.deliver(flux, "fleet", carrier, "d1")
    assert len(await world.state(run)) == 1
    before, lines = await world.everything(), await world.history(source)
    figures = Figures()
    figures.add_all(await world.facts())
    assert await world.state(run) == []
    await world.restart()
    assert await world.state(run) == []
    await world.state(replace(run, run_id="9", url="https://ci.test/9"))
    await world.settle()
    assert (await world.everything(), await world.history(source)) == (before, lines)
    figures_again = Figures()
    figures_again.add_all(await world.facts())
    assert figures.dump() == figures_again.dump()
    assert [link.build_link for link in await world.links()] == ["https://ci.test/7"]


async def test_a_statement_waits_over_a_restart(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.state(world.run(source, carrier))
    await world.restart()
    await world.settle()
    assert await world.verdicts([source, carrier], flux) == ["pending"] * 2


async def test_a_unit_that_is_not_kept_changes_nothing(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.deliver(flux, "fleet", carrier, "d1")
    before = await world.everything()
    run = world.run(source, carrier)
    with pytest.raises(RuntimeError, match="killed"):
        await world.state_and_die(run)
    assert (await world.links(), await world.everything()) == ([], before)
    await world.state(run)
    assert await world.verdicts([source], flux) == ["deployed"]


async def test_a_correction_moves_what_is_not_delivered_yet(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    wrong, right = (world.commit("fleet", name, apps__a=name) for name in ("wrong", "right"))
    await world.settle()
    await world.state(world.run(source, wrong))
    await world.state(world.run(source, right))
    (link,) = await world.links()
    assert (link.carrier_id, link.source_id) == await world.pair(source, right)
    row = await world.delivery(source, flux)
    assert (row.verdict, row.carrier_id) == (Verdict.PENDING, link.carrier_id)
    await world.state(world.run(source, right, state=CiState.FAILED))
    assert await world.links() == []
    assert await world.verdicts([source], flux) == ["-"], "it was never on its way there"
    assert [line.after for line in await world.history(source)][-1] == "unaffected"


async def test_what_another_run_states_too_or_is_applied_already_is_not_taken_back(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    one, two = (world.commit("fleet", name, apps__a=name) for name in ("one", "two"))
    await world.settle()
    await world.state(world.run(source, one), world.run(source, one, "8"))
    await world.state(world.run(source, two))
    assert len(await world.links()) == 2
    await world.deliver(flux, "fleet", two, "d1")
    await world.state(world.run(source, two, state=CiState.FAILED), world.run(source, "ab" * 20, "8"))
    assert await world.verdicts([source], flux) == ["deployed"]
    (link,) = await world.links()
    assert (link.carrier_id, link.source_id) == await world.pair(source, two)


async def test_a_run_that_failed_behind_its_export_has_exported(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.settle()
    run = world.run(source, carrier)
    await world.state(run)
    async with world.ledger.unit() as unit:
        asked = replace(run, state=CiState.FAILED, evidence=CiEvidence.ASKED, carrier_sha="", carrier_repository="")
        assert await take_runs(unit, [asked], now=world.clock.time) != []
    assert len(await world.links()) == 1
    assert await world.verdicts([source], flux) == ["pending"]


async def test_of_a_run_that_is_asked_for_its_pipeline_corrects_what_only_it_knows(world: Linked) -> None:
    await begin(world)
    source = world.commit("shop", "Sell", a="1")
    wrong, right = (world.commit("fleet", name, apps__a=name) for name in ("wrong", "right"))
    await world.settle()
    asked = world.run(source, "", evidence=CiEvidence.ASKED, carrier_repository="", pipeline="deploy")
    async with world.ledger.unit() as unit:
        await take_runs(unit, [asked], now=world.clock.time)
    await world.state(world.run(source, wrong))
    (kept,) = await world.state(world.run(source, right, pipeline="other"))
    assert (kept.carrier_sha, kept.pipeline, kept.evidence) == (right, "deploy", CiEvidence.ASKED)
    (link,) = await world.links()
    assert (link.carrier_id, link.source_id) == await world.pair(source, right)


async def test_what_was_no_carrier_is_a_commit_like_others_again(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    wrong, automated, right = (world.commit("fleet", name, apps__a=name) for name in ("wrong", "automated", "right"))
    await world.settle()
    pushed = await world.record(automated)
    async with world.ledger.unit() as unit:
        await unit.put_commits([replace(pushed, is_carrier=True)])
    for carrier in (wrong, automated, right):
        await world.state(world.run(source, carrier))
        assert (await world.record(carrier)).is_carrier
    assert [(await world.record(sha)).is_carrier for sha in (wrong, automated, right)] == [False, True, True]
    await world.deliver(flux, "fleet", right, "d1")
    carriers = {item.commit_id: item.is_carrier for item in await world.facts()}
    assert carriers[(await world.record(wrong)).id] is False


async def test_a_carrier_of_two_stays_one_until_neither_is_stated(world: Linked) -> None:
    await begin(world)
    one, two = (world.commit("shop", name, a=name) for name in ("one", "two"))
    carrier, other = (world.commit("fleet", name, apps__a=name) for name in ("carrier", "other"))
    await world.settle()
    await world.state(world.run(one, carrier), world.run(two, carrier))
    await world.state(world.run(one, other))
    assert (await world.record(carrier)).is_carrier
    await world.state(world.run(two, other))
    assert not (await world.record(carrier)).is_carrier


async def test_what_else_carries_a_commit_does_so_again(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    one, two = (world.commit("fleet", name, apps__a=name) for name in ("one", "two"))
    await world.settle()
    await world.state(world.run(source, one, "8"), world.run(source, two))
    assert (await world.delivery(source, flux)).carrier_id == (await world.record(two)).id
    await world.state(world.run(source, "ab" * 20))
    assert await is_where_its_carrier_is(world, source, one, flux)
    await world.deliver(flux, "fleet", one, "d1")
    assert await world.verdicts([source], flux) == ["deployed"]


async def test_a_failure_with_what_was_stated_wrongly_is_none(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    one = world.commit("fleet", "one", apps__a="one")
    await world.fetch("fleet", one)
    world.now(flux).fail_build(f"main@sha1:{one}")
    await world.play(flux)
    await world.settle()
    two = world.commit("fleet", "two", apps__a="two")
    await world.settle()
    await world.state(world.run(source, one))
    assert await world.verdicts([source], flux) == ["failed"]
    await world.state(world.run(source, two))
    assert await is_where_its_carrier_is(world, source, two, flux)
    assert (await world.delivery(source, flux)).reason == ""


async def test_what_was_on_its_way_by_itself_is_so_again(world: Linked) -> None:
    """Code and manifests are one repository."""
    flux = await begin(world)
    source, carrier = (world.commit("fleet", name, apps__a=name) for name in ("source", "carrier"))
    await world.settle()
    before = await world.delivery(source, flux)
    of_itself = {"repository": world.name("fleet"), "project": world.name("fleet")}
    run = world.run(source, carrier, **of_itself)
    await world.state(run)
    assert (await world.delivery(source, flux)).carrier_id == (await world.record(carrier)).id
    await world.state(replace(run, carrier_sha="ab" * 20))
    assert await world.delivery(source, flux) == before
    await world.deliver(flux, "fleet", source, "d1")
    assert await world.verdicts([source, carrier], flux) == ["deployed", "pending"]


async def test_another_repository_with_the_same_digits_is_another_carrier(world: Linked) -> None:
    await begin(world)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.settle()
    run = world.run(source, carrier[:7])
    await world.state(run)
    assert len(await world.links()) == 1
    await world.state(replace(run, carrier_repository="git.test/acme/other"))
    assert await world.links() == []


async def test_what_is_stated_of_a_commit_by_another_sha_is_stated_too(world: Linked) -> None:
    await begin(world)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.settle()
    commit = await world.record(source)
    async with world.ledger.unit() as unit:
        await unit.put_aliases(commit.repository_id, commit.id, AliasKind.PULL_REQUEST, ["cd" * 20])
    await world.state(world.run(source, carrier), world.run("cd" * 20, carrier, "8"))
    await world.state(world.run(source, "ab" * 20))
    assert len(await world.links()) == 1
    await world.state(world.run("cd" * 20, "ab" * 20, "8"))
    assert await world.links() == []


@pytest.mark.parametrize(
    ("verdict", "is_taken"), [(Verdict.DEPLOYED, True), (Verdict.ROLLED_BACK, False), (Verdict.FAILED, False)]
)
async def test_where_a_later_carrier_is_on_its_way_an_earlier_one_says_only_that_it_is_there(
    verdict: Verdict, is_taken: bool
) -> None:
    early = DeliveryRecord(commit_id=CommitId(5), target_id=TargetId(1), verdict=verdict, since=START)
    known = replace(early, commit_id=CommitId(1), verdict=Verdict.PENDING, carrier_id=CommitId(9))
    found = joined(known, early, known.commit_id)
    assert (found is not None) is is_taken


# -- beside other strategies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_first", [True, False])
async def test_what_the_manifests_say_themselves_counts_and_both_are_one(world: Linked, is_first: bool) -> None:
    flux = await begin(world)
    async with world.ledger.unit() as unit:
        ids = {item.canonical: item.id for item in await unit.repositories()}
    world.exports.set_sources({ids[world.name("fleet")]: [ids[world.name("shop")]]})
    source = world.commit("shop", "Sell", a="1")
    stated = {"hash": source, "time": "2026-03-01T11:00:00Z", "summary": "Sell"}
    files = {"exporter-info.json": json.dumps({"commits_since_last_export": [stated]}), "apps/a": "1"}
    carrier = world.commit_files("fleet", "Export", files)
    if is_first:
        await world.state(world.run(source, carrier))
    await world.settle()
    if not is_first:
        await world.state(world.run(source, carrier))
    (link,) = await world.links()
    assert (link.evidence, link.stated_at is not None) == (ExportEvidence.EXPORTER_INFO, True)
    await world.deliver(flux, "fleet", carrier, "d1")
    assert await is_where_its_carrier_is(world, source, carrier, flux)


# -- how the carrier is named --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("is_named", [False, True])
async def test_the_beginning_of_a_sha_is_enough_in_one_repository(world: Linked, is_late: bool, is_named: bool) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    run = world.run(source, carrier[:7], **({} if is_named else {"carrier_repository": ""}))
    if not is_late:
        await world.state(run)
    await world.settle()
    await world.state(run)
    assert await is_where_its_carrier_is(world, source, carrier, flux)
    whole, short = world.run(source, carrier), world.run(source, carrier[:7])
    assert [item.carrier_sha for item in await world.state(whole)] == [carrier]
    assert await world.state(short) == [], "the whole one says it better"
    assert len(await world.links()) == 1


async def test_where_several_repositories_may_be_meant_only_a_whole_sha_links(world: Linked) -> None:
    await begin(world)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.settle()
    world.origin("more")
    more = world.kustomization("more", origin="more")
    await world.deliver(more, "more", world.commit("more", "first", more__a="0"), "d0")
    await world.state(world.run(source, carrier[:12], carrier_repository=""))
    assert await world.links() == []
    await world.state(world.run(source, carrier, carrier_repository=""))
    assert len(await world.links()) == 1


async def test_what_is_followed_and_not_applied_is_not_meant_by_a_short_sha(world: Linked) -> None:
    await begin(world)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    async with world.ledger.unit() as unit:
        await unit.put_repository(
            RepositoryRecord(id=RepositoryId(0), canonical="git.test/acme/more", url="https://git.test/acme/more")
        )
    await world.state(world.run(source, carrier[:7], carrier_repository=""))
    await world.settle()
    assert len(await world.links()) == 1


@pytest.mark.parametrize("is_named", [False, True])
async def test_what_is_followed_and_not_applied_is_meant_where_it_is_named(world: Linked, is_named: bool) -> None:
    await begin(world)
    source = world.commit("shop", "Sell", a="1")
    await world.settle()
    async with world.ledger.unit() as unit:
        cart = RepositoryRecord(id=RepositoryId(0), canonical="git.test/acme/cart", url="https://git.test/acme/cart")
        cart = await unit.put_repository(cart)
        await unit.put_commits([CommitRecord(id=CommitId(0), repository_id=cart.id, sha="ab" * 20)])
    await world.state(world.run(source, "ab" * 20, carrier_repository=cart.canonical if is_named else ""))
    assert len(await world.links()) == int(is_named)


async def test_a_commit_that_was_merged_is_carried_by_its_merge(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    fleet = world.origins["fleet"]
    fleet.git("checkout", "-q", "-b", "export")
    made = world.commit("fleet", "Export", apps__a="1")
    await world.state(world.run(source, made))
    fleet.git("checkout", "-q", "main")
    fleet.git("merge", "-q", "--no-ff", "-m", "Merge", "export")
    fleet.push()
    merge = fleet.git("rev-parse", "HEAD").strip()
    await world.settle()
    assert await is_where_its_carrier_is(world, source, merge, flux)


async def test_a_commit_of_which_figures_were_made_keeps_them(world: Linked) -> None:
    flux = await begin(world)
    source = world.commit("shop", "Sell", a="1")
    carrier = world.commit("fleet", "Export", apps__a="1")
    await world.deliver(flux, "fleet", carrier, "d1")
    before = await world.facts()
    await world.state(world.run(source, carrier))
    assert [item for item in await world.facts() if item.commit_id == before[0].commit_id] == before
    assert not (await world.record(carrier)).is_carrier


async def test_what_was_exported_before_its_merge_is_not_the_merged_commit(world: Linked) -> None:
    """A preview of a pull request is no delivery of what it becomes."""
    flux = await begin(world)
    carrier = world.commit("fleet", "Preview", apps__a="1")
    await world.settle()
    shop = world.origins["shop"]
    shop.git("checkout", "-q", "-b", "feature")
    head = world.commit("shop", "Try", a="1")
    run = world.run(head, carrier)
    for _ in range(20):
        await world.settle()
    await world.state(run)
    shop.git("checkout", "-q", "main")
    shop.git("merge", "-q", "--no-ff", "-m", "Merge", "feature")
    shop.push()
    merge = shop.git("rev-parse", "HEAD").strip()
    await world.settle()
    assert await world.verdicts([merge], flux) == ["-"]
    assert await world.links() == []
