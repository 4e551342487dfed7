"""`mailwright segment` on the built store: what it says is what the tables hold."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from segments.files import segment_names
from tests.segments.inline import compile_inline
from warehouse.build import build
from warehouse.settings import PROJECT_DIR, Settings


def rows(settings: Settings, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as con:
        con.execute(f'use "{settings.schema}"')
        return con.execute(sql, list(values)).fetchall()


def call(mailwright: Callable[..., Any], settings: Settings, *args: str) -> Any:
    return mailwright("--target", "prod", "segment", *args, home=settings.home)


def test_each_segment_alone_is_its_part_of_all_of_them(built_settings: Settings) -> None:
    """Two compilations of the same conditions: one by one, and all in few passes."""
    names = segment_names(built_settings)
    assert len(names) >= 12
    for name in names:
        alone = rows(built_settings, f"select profile_id from seg_{name} order by all")
        together = rows(
            built_settings, "select profile_id from segment_memberships where segment_name = ? order by all", name
        )
        assert alone == together, name
    assert rows(built_settings, "select count(distinct segment_name) from segment_memberships")[0][0] >= 10


def test_list(built_settings: Settings, mailwright: Callable[..., Any]) -> None:
    document = call(mailwright, built_settings, "list", "--json").document
    sizes = dict(rows(built_settings, "select segment_name, count(*) from segment_memberships group by all"))
    assert {one["name"]: one["n_members"] for one in document["segments"] if one["n_members"]} == sizes
    assert [one["name"] for one in document["segments"]] == segment_names(built_settings)
    for one in document["segments"]:
        assert ("empty" in " ".join(one["notes"])) == (one["n_members"] == 0)
    assert call(mailwright, built_settings, "list").code == 0


def test_a_pair_that_is_meant_to_overlap(own_project: Settings, mailwright: Callable[..., Any]) -> None:
    folder = own_project.dbt_project_dir / "models" / "segments"
    for name, others in (("vip_engaged", "[lapsed, seg_no_session_7d]"), ("lapsed", "[no_session_7d]")):
        file = folder / f"seg_{name}.yml"
        text = file.read_text(encoding="utf-8")
        meant = f"  - name: seg_{name}\n    config: {{meta: {{overlaps: {others}}}}}\n"
        file.write_text(text.replace(f"  - name: seg_{name}\n", meant, 1), encoding="utf-8")
    notes = {
        one["name"]: [note for note in one["notes"] if "meant" in note]
        for one in call(mailwright, own_project, "list", "--json").document["segments"]
    }
    assert notes.pop("vip_engaged") == ["shares nobody with lapsed, and is meant to"]
    assert not any(notes.values())


def test_overlap_and_difference(built_settings: Settings, mailwright: Callable[..., Any]) -> None:
    common = call(mailwright, built_settings, "overlap", "--json").document["common"]
    one, other = "lapsed", "no_session_7d"
    n_both = rows(
        built_settings,
        "select count(*) from (select profile_id from segment_memberships where segment_name = ? "
        "intersect select profile_id from segment_memberships where segment_name = ?)",
        one, other,
    )[0][0]  # fmt: skip
    assert n_both > 0
    assert common[one][other] == common[other][one] == n_both
    found = call(mailwright, built_settings, "diff", one, other, "--json").document
    assert (found["n_one_only"], found["n_both"], found["n_other_only"]) == (
        common[one][one] - n_both, n_both, common[other][other] - n_both,
    )  # fmt: skip
    assert len(found["sample_one_only"]) == min(5, found["n_one_only"])


def test_why_says_what_decides(own_copy: Settings, mailwright: Callable[..., Any]) -> None:
    member = rows(
        own_copy, "select min(profile_id) from segment_memberships where segment_name = 'viewed_not_carted_48h'"
    )[0][0]
    found = call(mailwright, own_copy, "why", "viewed_not_carted_48h", member, "--json").document
    assert found["is_member"] is True
    assert [reason["holds"] for reason in found["reasons"]] == [True, True]
    n_viewed = rows(
        own_copy,
        "select count(*) from fct_web_events, clock where profile_id = ? and event_name = 'Product Viewed' "
        "and occurred_at >= as_of - interval 48 hour",
        member,
    )[0][0]
    assert found["reasons"][0]["deciding"] == f"number = {n_viewed}"
    assert found["stays"], "the build recorded her entry"

    other = rows(
        own_copy,
        "select min(profile_id) from dim_profiles where profile_id not in "
        "(select profile_id from segment_memberships where segment_name = 'viewed_not_carted_48h')",
    )[0][0]
    found = call(mailwright, own_copy, "why", "viewed_not_carted_48h", other, "--json").document
    assert found["is_member"] is False
    assert False in [reason["holds"] for reason in found["reasons"]]


def test_why_takes_an_identifier_and_keeps_addresses_to_itself(
    own_copy: Settings, mailwright: Callable[..., Any]
) -> None:
    email = rows(own_copy, "select min(email) from dim_profiles where email is not null")[0][0]
    outcome = call(mailwright, own_copy, "why", "lapsed", f"email:{email}")
    assert outcome.code == 0
    assert email not in outcome.stdout + outcome.stderr
    outcome = call(mailwright, own_copy, "why", "lapsed", "email:nobody@example.org")
    assert outcome.code == 3
    assert "nobody@example.org" not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("show", "lapst"), 2, "did you mean 'lapsed'?"),
        (("why", "lapsed", "nobody"), 3, "There is no profile 'nobody'."),
        (("diff", "lapsed", "nothing_like_it"), 2, "There is no segment 'nothing_like_it'."),
        (("new", "Big Baskets"), 2, "is no name of a segment"),
        (("new", "lapsed"), 4, "There is a segment 'lapsed' already."),
        (("import", "lapsed", "no_such.csv"), 2, "There is no such file."),
        (("freeze", "lapsed", "at_risk"), 4, "is a segment with conditions, not a list"),
    ],
)
def test_mistakes(
    args: tuple[str, ...], code: int, said: str, own_copy: Settings, mailwright: Callable[..., Any]
) -> None:
    outcome = call(mailwright, own_copy, *args)
    assert outcome.code == code
    assert said in " ".join(outcome.stderr.split())
    assert "Traceback" not in outcome.stderr


def test_without_a_build_there_is_nothing(settings: Settings, mailwright: Callable[..., Any]) -> None:
    for command in (("list",), ("overlap",), ("show", "lapsed"), ("why", "lapsed", "p")):
        outcome = call(mailwright, settings, *command)
        assert outcome.code == 3, outcome
        assert "mailwright" in outcome.stderr


@pytest.fixture
def own_project(own_copy: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The built store with a copy of the dbt project, to which a test may add segments."""
    project = tmp_path / "project"
    shutil.copytree(PROJECT_DIR / "dbt_project", project, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setattr(Settings, "dbt_project_dir", property(lambda _: project))
    return own_copy


def test_lists_are_members_from_the_next_build_on(own_project: Settings, tmp_path: Path) -> None:
    from segments.lists import freeze, import_list

    settings = own_project
    people = rows(settings, "select profile_id, email from dim_profiles where email is not null order by 1 limit 3")
    file = tmp_path / "fair.csv"
    lines = ["email", *(f"  {email.upper()} " for _, email in people), "", "no address", "later@example.org"]
    file.write_text("\n".join(lines), encoding="utf-8")
    listed = import_list(settings, "fair", file)
    assert (listed.n_given, listed.n_added, listed.n_on_list, listed.n_unknown, listed.n_wrong) == (5, 4, 4, 1, 1)
    again = import_list(settings, "fair", file)
    assert (again.n_added, again.n_removed, again.n_on_list) == (0, 0, 4)
    frozen = freeze(settings, "at_risk", "at_risk_then")
    assert frozen.n_unknown == 0

    build(settings, "before_ml")
    found = rows(settings, "select profile_id from segment_memberships where segment_name = 'fair' order by 1")
    assert found == [(profile_id,) for profile_id, _ in people]
    assert rows(
        settings, "select profile_id from segment_memberships where segment_name = 'at_risk' order by 1"
    ) == rows(settings, "select profile_id from segment_memberships where segment_name = 'at_risk_then' order by 1")

    file.write_text(f"email\n{people[0][1]}\n", encoding="utf-8")
    shorter = import_list(settings, "fair", file)
    assert (shorter.n_removed, shorter.n_on_list) == (3, 1)


def test_a_backtest_is_filled_in_before_the_first_build(own_project: Settings) -> None:
    from segments.backtest import fill_history, preview
    from warehouse.errors import RefusedError

    settings = own_project
    text = "{{ segment(all_of=[did('Product Viewed', within='7 days', at_least=2)]) }}\n"
    (settings.dbt_project_dir / "models" / "segments" / "seg_lookers.sql").write_text(text, encoding="utf-8")
    found = preview(settings, "lookers", 20)
    assert len(found.days) == 20
    assert found.days[-1].n_members == found.n_members > 0
    for before, day in zip(found.days, found.days[1:], strict=False):
        assert before.n_members + day.n_entered - day.n_left == day.n_members
    assert len({day.n_members for day in found.days}) > 3, "it moves"

    filled = fill_history(settings, "lookers", 20)
    assert filled.n_stays > filled.n_open > 0
    reasons = rows(
        settings, "select reason, count(*) from segment_membership_history where segment_name = 'lookers' group by 1"
    )
    assert reasons == [("backtest", filled.n_stays)]
    with pytest.raises(RefusedError, match="never rewritten"):
        fill_history(settings, "lookers", 20)

    build(settings, "before_ml")
    as_of = rows(settings, "select as_of from clock")[0][0]
    for day in found.days:
        n = rows(
            settings,
            "select count(*) from segment_membership_history where segment_name = 'lookers' "
            "and entered_at <= ? and (left_at is null or left_at > ?)",
            day.as_of, day.as_of,
        )[0][0]  # fmt: skip
        assert n == day.n_members, (day.as_of, as_of)


def test_hysteresis_is_followed_day_by_day(own_copy: Settings) -> None:
    """In the past as in builds one after the other: in from where she enters until she would leave."""
    enter, leave = "prop('sessions_30d', '>=', 2)", "prop('sessions_30d', '<', 1)"
    other = "did('Product Viewed', within='7 days')"
    conditions = {
        "followed": f"[hysteresis({enter}, {leave}), {other}]",
        "anew": f"[{enter}, {other}]",
        "still": f"[any_of([{enter}, none_of([{leave}])]), {other}]",
    }
    definitions = ", ".join(
        f"{{'name': '{name}', 'all_of': {parts}, 'any_of': [], 'none_of': [], 'capacity': none}}"
        for name, parts in conditions.items()
    )
    query = compile_inline(own_copy, f"members_query([{definitions}], cutoffs='cutoffs_of_the_test')")
    with duckdb.connect(str(own_copy.warehouse_path)) as con:
        con.execute(f'use "{own_copy.schema}"')
        con.execute(
            "create temp table cutoffs_of_the_test as select as_of, as_of as known_at from "
            "(select as_of - to_days(i) as as_of from clock cross join range(40) as days(i))"
        )
        found: dict[tuple[str, Any], set[str]] = defaultdict(set)
        for name, as_of, profile_id in con.execute(f"select segment_name, as_of, profile_id from ({query})").fetchall():
            found[name, as_of].add(profile_id)
        days = [row[0] for row in con.execute("select as_of from cutoffs_of_the_test order by 1").fetchall()]
    members: set[str] = set()
    n_kept = 0
    for as_of in days:
        anew, still = found["anew", as_of], found["still", as_of]
        n_kept += len(members & still - anew)
        members = anew | (members & still)
        assert found["followed", as_of] == members, as_of
    assert n_kept > 20, "some stay in without entering anew"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "select profile_id from ({{ segment(all_of=[prop('orders_lifetime', '>=', 1)]) }}) as s",
            "is not all of the file",
        ),
        (
            "{{ segment(all_of=[prop('orders_90', '>=', 1)]) }}",
            "seg_odd.sql:1: there is no column of the person 'orders_90'",
        ),
    ],
)
def test_a_file_that_cannot_be_meant(
    text: str, said: str, own_project: Settings, mailwright: Callable[..., Any]
) -> None:
    file = own_project.dbt_project_dir / "models" / "segments" / "seg_odd.sql"
    file.write_text(text + "\n", encoding="utf-8")
    outcome = call(mailwright, own_project, "show", "odd")
    assert outcome.code == 2
    assert said in " ".join(outcome.stderr.split())


def test_a_plain_select_is_shown_as_its_file_is_now(own_project: Settings, mailwright: Callable[..., Any]) -> None:
    """Built or not; what it reads need not be of the vocabulary."""
    file = own_project.dbt_project_dir / "models" / "segments" / "seg_plain.sql"
    file.write_text("select distinct profile_id from {{ ref('profile_identifiers') }}\n", encoding="utf-8")
    document = call(mailwright, own_project, "show", "plain", "--json").document
    n_people = rows(own_project, "select count(distinct profile_id) from profile_identifiers")[0][0]
    assert (document["n_members"], document["days"]) == (n_people, [])
    build(own_project, "before_ml")
    assert rows(own_project, "select count(*) from segment_memberships where segment_name = 'plain'") == [(n_people,)]
