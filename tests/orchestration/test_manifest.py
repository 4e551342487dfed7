"""When a manifest is stale, without dbt."""

from __future__ import annotations

from pathlib import Path

from orchestration.manifest import fingerprint, manifest_path, project_files, with_attached_tests
from warehouse.settings import Settings


def project(folder: Path) -> Path:
    for name, text in {
        "dbt_project.yml": "name: x",
        "models/a.sql": "select 1",
        "models/a.yml": "models: []",
        "seeds/s.csv": "a\n1",
        "target/manifest.json": "{}",
        "logs/dbt.log": "",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_what_dbt_writes_is_no_part_of_the_project(tmp_path: Path) -> None:
    folder = project(tmp_path)
    names = [path.relative_to(folder).as_posix() for path in project_files(folder)]
    assert names == ["dbt_project.yml", "models/a.sql", "models/a.yml", "seeds/s.csv"]


def test_content_names_and_target_count(tmp_path: Path) -> None:
    folder = project(tmp_path)
    first = fingerprint(folder)
    assert fingerprint(folder) == first
    assert fingerprint(folder, ["prod"]) != first
    (folder / "models" / "a.sql").rename(folder / "models" / "b.sql")
    renamed = fingerprint(folder)
    (folder / "models" / "b.sql").write_text("select 2")
    assert len({first, renamed, fingerprint(folder)}) == 3


def test_each_schema_has_its_own(tmp_path: Path) -> None:
    prod = manifest_path(Settings(home=tmp_path, target="prod"))
    dev = manifest_path(Settings(home=tmp_path, target="dev"))
    assert prod.is_relative_to(tmp_path)
    assert prod.parent != dev.parent
    assert prod.name != dev.name


def test_every_test_has_a_node_to_be_shown_on() -> None:
    def node(kind: str, *parents: str, **more: object) -> dict[str, object]:
        return {"resource_type": kind, "depends_on": {"nodes": list(parents)}, **more}

    nodes = {
        "model.m.a": node("model", "source.m.raw.t"),
        "model.m.b": node("model", "model.m.a"),
        "test.m.own": node("test", "model.m.b", "model.m.a", "source.m.raw.t"),
        "test.m.source": node("test", "source.m.control.clock", "source.m.raw.t", test_metadata={"name": "fresh"}),
        "test.m.model": node("test", "model.m.a", attached_node="model.m.a"),
    }
    found = with_attached_tests({"nodes": nodes})["nodes"]
    assert found["test.m.own"]["attached_node"] == "model.m.b"
    assert found["test.m.source"]["attached_node"] == "source.m.raw.t"
    assert found["test.m.model"]["attached_node"] == "model.m.a"
