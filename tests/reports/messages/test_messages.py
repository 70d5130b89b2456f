"""What messages look like: nobody's words become marks or mentions, and every limit is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.messages.rooms import EXAMPLE, text_of
from tests.reports.standings.rooms import GROUPING, ONE, delivery, deployed, failed, trail
from tests.reports.worlds import SHA, at, moment

from fluxtrail.model.environments import Grouping
from fluxtrail.model.views import DeliveryView
from fluxtrail.reports.messages.cards import CARD_LIMIT_BYTES, adaptive_card
from fluxtrail.reports.messages.parts import DEFAULT_TEXT, pull_request_url
from fluxtrail.reports.messages.slack import SECTION_LIMIT, slack_message
from fluxtrail.reports.messages.texts import EscapedText, card_escape, slack_escape
from fluxtrail.reports.routes import Route, RouteKind
from fluxtrail.reports.standings.saying import Compose, Saying
from fluxtrail.reports.templates import Text

FETCHED = {"merged": moment(0), "fetched": moment(20)}
TRAIL = f"https://trail.example/commits/{SHA}"


def saying(
    *deliveries: DeliveryView,
    grouping: Grouping = GROUPING,
    text: str = DEFAULT_TEXT,
    escape: Any = slack_escape,
    **given: Any,
) -> Saying:
    compose = Compose(
        Route(name="deploys", kind=RouteKind.SLACK),
        grouping.environment_of,
        {
            "text": EscapedText(Text(text, example=EXAMPLE, subject="text"), escape),
            "url": Text("{{ url }}", example=EXAMPLE, subject="url"),
        },
        public_url="https://trail.example",
    )
    [found] = compose.speech(ONE, trail(*deliveries, **given), [], at(200)).sayings
    return found


def test_a_slack_message() -> None:
    message = slack_message(saying(deployed(), deployed("prod-us", at=90), failed("staging")), has_own_text=False)
    assert text_of(message).splitlines() == [
        f":x: *<https://github.com/acme/shop/commit/{SHA}|Sell more>*",
        ":white_check_mark: *production*  deployed on 2 clusters in 1m30s, prod-us last",
        ":x: *staging*  apps: HealthCheckFailed: timeout waiting for web",
        " · ".join(
            [
                f"<https://github.com/acme/shop/commit/{SHA}|a1a1a1a1>",
                "acme/shop main",
                "Ada",
                "<https://github.com/acme/shop/pull/12|#12>",
                f"<{TRAIL}|trail>",
            ]
        ),
    ]
    assert message["text"].startswith("Sell more\nproduction: success, deployed on 2 clusters")


def test_a_card() -> None:
    card = adaptive_card(saying(deployed(), failed("staging")), has_own_text=False)
    assert text_of(card).splitlines() == [
        "❌ Sell more",
        "✅ production  deployed on prod-eu in 1m",
        "❌ staging  apps: HealthCheckFailed: timeout waiting for web",
        "a1a1a1a1 · acme/shop main · Ada · #12",
    ]
    assert [action["url"] for action in card["actions"]] == [
        f"https://github.com/acme/shop/commit/{SHA}",
        TRAIL,
        "https://github.com/acme/shop/pull/12",
    ]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")


def test_the_examples_of_the_docs_are_what_is_said() -> None:
    broken = saying(deployed(), failed("prod-us"), delivery("staging", reason="syncing", stages=FETCHED))
    mended = saying(deployed(), deployed("prod-us", at=90), deployed("staging"))
    over = saying(deployed(), failed("prod-us"), deployed("staging"))
    texts = [text_of(slack_message(one, has_own_text=False)) for one in (broken, mended)]
    texts.append(text_of(adaptive_card(over, has_own_text=False)))
    docs = (Path(__file__).parents[3] / "docs" / "statuses.md").read_text("utf-8")
    for text in texts:
        shown = text.replace(SHA, "a1a1…").replace("https://trail.example", "https://fluxtrail.example.com")
        assert shown in docs


def test_words_of_people_stay_words_in_slack() -> None:
    bad = "<!channel> <@U123> & <https://evil.example|here> > @here #general"
    message = slack_message(saying(failed(message=bad), subject=bad, author=bad), has_own_text=False)
    shown = text_of(message) + message["text"]
    assert "<!channel" not in shown
    assert "<@U" not in shown
    assert "&lt;!channel&gt; &lt;@U123&gt; &amp;" in shown
    texts = [block.get("text") or block["elements"][0] for block in message["blocks"]]
    assert all(text["type"] == "mrkdwn" and text["verbatim"] for text in texts)


def test_words_of_people_stay_words_on_a_card() -> None:
    bad = "[click](https://evil.example) **bold** <at>Ada</at>"
    card = adaptive_card(saying(failed(), subject=bad), has_own_text=False)
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}, "which knows no Markdown"
    own = adaptive_card(
        saying(failed(), subject=bad, text="**{{ commit.subject }}**", escape=card_escape), has_own_text=True
    )
    assert own["body"][1]["text"].startswith(r"**\[click\]\(https://evil.example\) \*\*bold")


def test_a_text_of_ones_own_stands_in_place_of_the_lines() -> None:
    text = "*{{ commit.subject }}* <{{ url }}|more>\n{% for one in environments %}{{ one.environment }} {% endfor %}"
    message = slack_message(saying(deployed(), failed("staging"), subject="a < b", text=text), has_own_text=True)
    assert text_of(message).splitlines()[1:3] == [f"*a &lt; b* <{TRAIL}|more>", "production staging"]


def test_without_our_pages_there_is_no_link_to_them() -> None:
    found = saying(deployed(), web_url=None, pull_request=None, author="")
    bare = msgspec.structs.replace(found, texts={**found.texts, "url": ""})
    assert "<" not in text_of(slack_message(bare, has_own_text=False))
    assert adaptive_card(bare, has_own_text=False)["actions"] == []


def test_many_environments_fit_all_limits() -> None:
    many = [failed(f"cluster-{number:03}", message="&<>" * 200) for number in range(300)]
    found = saying(*many, grouping=Grouping())
    message, card = slack_message(found, has_own_text=False), adaptive_card(found, has_own_text=False)
    assert len(message["blocks"]) <= 50
    assert all(len(block["text"]["text"]) <= SECTION_LIMIT for block in message["blocks"][:-1])
    assert len(msgspec.json.encode(card)) <= CARD_LIMIT_BYTES
    for shown in (text_of(message), text_of(card)):
        assert "more\n" in shown


@given(text=st.text(max_size=4000), subject=st.text(max_size=500))
def test_no_text_breaks_a_message(text: str, subject: str) -> None:
    found = saying(failed(message="x"), subject=subject)
    own = msgspec.structs.replace(found, texts={**found.texts, "text": slack_escape(text)})
    for is_own in (False, True):
        message = slack_message(own, has_own_text=is_own)
        for block in message["blocks"]:
            shown = (block.get("text") or block["elements"][0])["text"]
            assert 0 < len(shown) <= SECTION_LIMIT
        adaptive_card(own, has_own_text=is_own)


@pytest.mark.parametrize(
    ("commit", "page"),
    [
        ("https://github.com/acme/shop/commit/abc", "https://github.com/acme/shop/pull/7"),
        ("https://git.example/group/shop/-/commit/abc", "https://git.example/group/shop/-/merge_requests/7"),
        ("https://bitbucket.org/acme/shop/commits/abc", "https://bitbucket.org/acme/shop/pull-requests/7"),
        ("https://codeberg.org/acme/shop/commit/abc", "https://codeberg.org/acme/shop/pulls/7"),
        ("https://git.example/acme/shop/commit/abc", ""),
        ("", ""),
    ],
)
def test_pages_of_pull_requests(commit: str, page: str) -> None:
    assert pull_request_url(commit, 7) == page
