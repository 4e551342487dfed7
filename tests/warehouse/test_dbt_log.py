"""What dbt says, line by line: progress as it comes, an error whole, and words without a time."""

from __future__ import annotations

from collections.abc import Iterator

from warehouse.dbt import messages_of, without_row


def line(level: str, text: str) -> str:
    return f"20:39:01.092845 [{level:<5}] [MainThread]: {text}\n"


def test_progress_comes_with_its_line_and_not_with_the_next() -> None:
    read = []

    def lines() -> Iterator[str]:
        for number in range(3):
            read.append(number)
            yield line("info", f"{number} of 3 START")

    found = messages_of(lines())
    for number in range(3):
        assert next(found) == (f"{number} of 3 START", False)
        assert read == list(range(number + 1))


def test_an_error_keeps_its_lines_and_ends_with_the_next_message() -> None:
    said = [
        "\n",
        "============================== 20:39:00.011291 | aa594cc3 ==============================\n",
        line("info", "Running with dbt=1.11.16"),
        line("info", ""),
        line("error", "Error while parsing node: inline_query"),
        "Sql_Operation depends on a node named 'x'\n",
        "which was not found\n",
        line("warn", "and a warning"),
        line("error", "Encountered an error:"),
        "the last word",
    ]
    assert list(messages_of(said)) == [
        ("Running with dbt=1.11.16", False),
        (
            "Error while parsing node: inline_query\nSql_Operation depends on a node named 'x'\nwhich was not found",
            True,
        ),
        ("and a warning", False),
        ("Encountered an error:\nthe last word", True),
    ]


def test_words_of_a_dbt_that_did_not_start_are_one_message() -> None:
    said = ["Usage: dbt run [OPTIONS]\n", "\n", "Error: No such option '--no-such'.\n"]
    assert list(messages_of(said)) == [("".join(said).strip(), False)]


def test_a_violated_constraint_shows_nobodys_row() -> None:
    said = """Database Error in model dim_profiles
  null value in column "email" of relation "dim_profiles" violates not-null constraint
  DETAIL:  Failing row contains (c1, null, Ann, Smith, Baker Street 1).
  compiled code at x.sql"""
    assert without_row(said).endswith("violates not-null constraint")
    assert without_row("NOT NULL constraint failed: t.a") == "NOT NULL constraint failed: t.a"
