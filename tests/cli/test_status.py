"""What `mailwright status` reads of the models."""

from __future__ import annotations

from datetime import datetime

from cli.status import read_status
from tests.ml_jobs import stores
from warehouse.settings import Settings

AS_OF = datetime(2024, 6, 1)


def runs(settings: Settings) -> list[tuple[str, str]]:
    return [(row["model_version"], row["state"]) for row in read_status(settings).tables["models"]]


def test_the_newest_run_of_each_job_and_what_became_of_it(settings: Settings) -> None:
    stores.new_store(settings, AS_OF)
    with stores.connect(settings) as con:
        con.execute(
            f"""insert into {settings.ml_schema}.model_runs by name
            select version as model_version, job, as_of, as_of as trained_at, '{{}}' as params, '{{}}' as metrics,
                file as artefact_sha256, 1 as n_train, 1 as n_test, is_live
            from (values
                ('a-1', 'a', timestamp '2024-05-01', 'x', true), ('a-2', 'a', timestamp '2024-05-02', 'x', false),
                ('b-1', 'b', timestamp '2024-05-01', 'x', true),
                ('c-1', 'c', timestamp '2024-05-01', null, false)
            ) as t (version, job, as_of, file, is_live)"""
        )
    assert runs(settings) == [("a-2", "stays aside"), ("b-1", "live"), ("c-1", "refused")]


def test_a_warehouse_that_nothing_has_written_to_since(settings: Settings) -> None:
    stores.new_store(settings, AS_OF)
    with stores.connect(settings) as con:
        for column in ("is_live", "was_tried", "decision"):
            con.execute(f"alter table {settings.ml_schema}.model_runs drop column {column}")
        con.execute(
            f"insert into {settings.ml_schema}.model_runs values "
            "('churn-old', 'churn', timestamp '2024-05-31', timestamp '2024-05-31', '{}', '{}', 'abc', 1, 1)"
        )
    assert runs(settings) == [("churn-old", "live")]
