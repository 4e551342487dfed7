"""YAML as people mean it."""

from __future__ import annotations

from typing import Any

import yaml


class UniqueKeys:
    """Put before a loader: refuses a key that is there twice, of which YAML takes the last one, in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge" and isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"'{key.value}' is there twice (line {key.start_mark.line + 1})")
            seen |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        return super().construct_mapping(node, deep)  # pyright: ignore[reportAttributeAccessIssue]  # the loader's


class StrictLoader(UniqueKeys, yaml.SafeLoader):
    """`yaml.SafeLoader` that refuses a key twice."""


class TextLoader(UniqueKeys, yaml.BaseLoader):
    """Every value is the text that stands there: 007, 1e3 and no are names as good as others."""
