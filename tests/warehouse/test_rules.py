"""The company's own rules of recommendation: read, checked, and written for the models."""

from __future__ import annotations

from datetime import date

import pytest

from cli import pipeline
from warehouse.build import open_build
from warehouse.connection import connect
from warehouse.errors import ConfigError
from warehouse.rules import FILE, Rules, read_rules, write_rules
from warehouse.rules_report import report_built_rules, report_rules
from warehouse.settings import Settings
from warehouse.state import ensure_state

EVERYTHING = """\
recommend:
  - name: coal for grills
    bought: {products: [007, GRILL], categories: [ovens]}
    recommend: {categories: [fuel], products: [COAL]}
    within_days: 30
    placement: post_purchase
    from: 2026-05-01
    until: 2026-05-01
  - name: gloves
    bought: {products: [GRILL]}
    recommend: {products: [GLOVE]}
    reason: so that you keep your hands
exclude:
  - name: too cheap
    price_below: 5
    price_above: 99.5
  - name: clearance
    categories: [Clearance]
    products: [1e3]
boost:
  - name: season
    categories: [garden]
    factor: 1.5
"""


def _read(settings: Settings, text: str) -> Rules:
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / FILE).write_text(text, encoding="utf-8")
    return read_rules(settings)


def test_what_is_written_is_what_the_models_read(settings: Settings) -> None:
    rules = _read(settings, EVERYTHING)
    with connect(settings, purpose="test") as con:
        ensure_state(con, settings)
        for _ in range(2):
            write_rules(con, settings, rules)
        ml = settings.ml_schema
        day, words = date(2026, 5, 1), "goes with {product}"
        assert con.execute(f"from {ml}.recommendation_rules order by kind desc, position").fetchall() == [
            ("coal for grills", "recommend", 1, 2, "post_purchase", day, day, None, words, 30, None, None),
            ("gloves", "recommend", 2, 1, None, None, None, None, "so that you keep your hands", 90, None, None),
            ("too cheap", "exclude", 1, 0, None, None, None, None, None, None, 5.0, 99.5),
            ("clearance", "exclude", 2, 2, None, None, None, None, None, None, None, None),
            ("season", "boost", 1, 1, None, None, None, 1.5, None, None, None, None),
        ]  # fmt: skip
        items = con.execute(f"from {ml}.recommendation_rule_items order by rule_name, role, position").fetchall()
        assert items == [
            ("clearance", "offered", 1, "1e3", None),
            ("clearance", "offered", 2, None, "Clearance"),
            ("coal for grills", "bought", 1, "007", None),
            ("coal for grills", "bought", 2, "GRILL", None),
            ("coal for grills", "bought", 3, None, "ovens"),
            ("coal for grills", "offered", 1, "COAL", None),
            ("coal for grills", "offered", 2, None, "fuel"),
            ("gloves", "bought", 1, "GRILL", None),
            ("gloves", "offered", 1, "GLOVE", None),
            ("season", "offered", 1, None, "garden"),
        ]
        write_rules(con, settings, Rules())
        assert con.execute(f"select count(*) from {ml}.recommendation_rule_items").fetchall() == [(0,)]


def test_accents_are_one_however_they_are_written(settings: Settings) -> None:
    """An editor may write é as e and a combining accent, and so may the file of a catalogue."""
    apart = "exclude: [{name: x, products: [THE\u0301], categories: [E\u0301picerie]}]"
    rules = _read(settings, apart)
    assert (rules.exclude[0].products, rules.exclude[0].categories) == (("TH\u00c9",), ("\u00c9picerie",))
    assert rules == _read(settings, "exclude: [{name: x, products: [TH\u00c9], categories: [\u00c9picerie]}]")
    with connect(settings, purpose="test") as con:
        ensure_state(con, settings)
        con.execute(f"create schema {settings.schema}")
        con.execute(f"create table {settings.schema}.dim_products as select ? as product_id, ? as category", [
            "THE\u0301", "E\u0301PICERIE",
        ])  # fmt: skip
        assert report_rules(con, settings, rules).unknown == ()


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "recommend:\nexclude:\nboost:\n"])
def test_an_empty_file_is_no_rules(settings: Settings, text: str) -> None:
    assert _read(settings, text) == Rules()
    (settings.home / FILE).unlink()
    assert read_rules(settings) == Rules()


def test_an_empty_key_has_its_default(settings: Settings) -> None:
    rules = _read(settings, "exclude:\n  - {name: x, products: [p], categories: , placement: , until: , price_below: }")
    assert rules == _read(settings, "exclude: [{name: x, products: [p]}]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "The rules are no mapping of recommend, exclude and boost."),
        ("a: [", "The rules are not YAML: "),
        ("boost:\nboost:\n", "'boost' is there twice (line 2)"),
        *(
            (
                f"recommend:\n  - name: x\n    reason: {reason}",
                "The rules are not YAML: a key must be a word; put quotes around braces (line 3)",
            )
            for reason in ("{{product}}", "{{product}, it}", "{[product]}")
        ),
        ("bost:\n  - {name: x}", "bost: is not known here; did you mean 'boost'?"),
        ("recommend: 5", "recommend: must be a list."),
        ("exclude: [x]", "Rule 1 of exclude: must be keys with values."),
        ("boost: [{name: x, factor: 2}]", "Rule 'x': name products or categories."),
        ("boost: [{name: x, products: [p]}]", "Rule 'x': factor: is missing."),
        ("boost: [{name: x, products: [p], factr: 2}]", "Rule 'x': factr: is not known here; did you mean 'factor'?"),
        ("boost: [{products: [p], factor: 2}]", "Rule 1 of boost: name: is missing."),
        *(
            (f"boost: [{{name: x, products: [p], factor: {factor}}}]", "Rule 'x': factor: Input should be ")
            for factor in ("0", "-1", "0.0009", "1001", "inf", "nan", ".inf", "two")
        ),
        (
            "boost: [{name: x, products: [p], factor: 1,5}]",
            "Rule 'x': 5: is not known here; a decimal is written with a ",
        ),
        ("boost: [{name: x, products: [p], factor: }]", "Rule 'x': factor: is missing."),
        ("boost: [{name: , products: [p], factor: 2}]", "Rule 1 of boost: name: is missing."),
        ("boost: [{name: x, products: , factor: 2}]", "Rule 'x': name products or categories."),
        *(
            (f"exclude:\n  - name: x\n    {key}\n    price_below: 5", "Rule 'x': products or categories is empty; ")
            for key in ("products:\n    # - P1", "categories: []", "products:\n    categories:")
        ),
        ("exclude: [{name: x}]", "Rule 'x': name products, categories, price_below or price_above."),
        (
            "exclude: [{name: x, price_above: 5, price_below: 10}]",
            "Rule 'x': price_above lies below price_below: that excludes every price.",
        ),
        ("exclude: [{name: x, price_below: nan}]", "Rule 'x': price_below: Input should be a finite number."),
        ("exclude: [{name: x, products: []}]", "Rule 'x': name products, categories, price_below or price_above."),
        (
            "exclude: [{name: x, price_below: 1}]\nboost: [{name: x, products: [p], factor: 2}]",
            "two rules are called 'x'.",
        ),
        (
            "exclude: [{name: x, price_below: 1, placement: chekout}]",
            "Rule 'x': placement: there is no 'chekout', only email, cart, post_purchase.",
        ),
        *(
            (
                f"exclude: [{{name: x, price_below: 1, {key}: '{day}'}}]",
                f"Rule 'x': {key}: write the day like 2026-05-31.",
            )
            for key in ("from", "until")
            for day in ("0", "1785456000", "2026-5-1", "31.05.2026", "2026-05-31T00:00:00")
        ),
        ("exclude: [{name: x, price_below: 1, until: [2026-02-01]}]", "Rule 'x': until: "),
        ("exclude: [{name: x, price_below: 1, from: 2026-02-30}]", "Rule 'x': from: Input should be a valid date"),
        (
            "exclude: [{name: x, price_below: 1, from: 2026-02-02, until: 2026-02-01}]",
            "Rule 'x': until lies before from.",
        ),
        (
            "recommend: [{name: x, bought: {products: [p]}, recommend: {products: []}}]",
            "Rule 'x': recommend: name products or categories.",
        ),
        *(
            (
                "recommend: [{name: x, bought: {products: [p]}, recommend: {products: [q]}, "
                f"reason: '{reason}'}}]",
                "Rule 'x': reason: {product} is the only word in braces.",
            )
            for reason in ("with {name}", "with {", "with {}", "with }", "{{product}}", "{product!r}", "{product:>9}")
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_message(settings: Settings, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _read(settings, text)
    assert message in caught.value.what
    assert "\n" not in caught.value.what
    assert caught.value.where == str(settings.home / FILE)


def test_wrong_rules_stop_a_build_before_it_begins(settings: Settings) -> None:
    with connect(settings, purpose="test") as con:
        ensure_state(con, settings)
    with pytest.raises(ConfigError):
        _read(settings, "boost: [{name: x}]")
    with pytest.raises(ConfigError):
        open_build(settings)
    with connect(settings, read_only=True) as con:
        assert con.execute("select count(*) from ops.builds").fetchall() == [(0,)]


def test_a_build_takes_the_rules_with_it(settings: Settings) -> None:
    _read(settings, EVERYTHING)
    open_build(settings)
    past = settings.model_copy(update={"schema_override": "asof_20260101"})
    open_build(past)
    with connect(settings, read_only=True) as con:
        for schema in (settings.ml_schema, past.ml_schema):
            assert con.execute(f"select count(*) from {schema}.recommendation_rules").fetchall() == [(5,)], schema


def test_a_file_that_is_edited_meanwhile_changes_nothing_of_the_build(settings: Settings) -> None:
    _read(settings, EVERYTHING)
    open_build(settings)
    (settings.home / FILE).write_text("boost: [")
    assert pipeline.rules_of(settings).n_rules == 5


def test_what_the_catalogue_does_not_have_is_named(settings: Settings) -> None:
    rules = _read(settings, EVERYTHING)
    with connect(settings, purpose="test") as con:
        ensure_state(con, settings)
        assert report_rules(con, settings, rules).warning is None  # nothing was built yet
        con.execute(f"create schema {settings.schema}")
        con.execute(f"create table {settings.schema}.dim_products (product_id text, category text)")
        con.execute(f"insert into {settings.schema}.dim_products values ('GRILL', ' Ovens'), ('GLOVE', null)")
        report = report_rules(con, settings, rules)
        write_rules(con, settings, rules)
        assert report_built_rules(con, settings) == report
    assert (report.n_recommend, report.n_exclude, report.n_boost, report.n_rules) == (2, 2, 1, 5)
    assert report.unknown == (
        "product 007", "product COAL", "category fuel", "product 1e3", "category Clearance", "category garden",
    )  # fmt: skip
    assert report.warning == (
        "recommendation_rules.yml names what the catalogue does not have: product 007, product COAL, category fuel, "
        "product 1e3, category Clearance and 1 more."
    )
