"""YAML as people mean it."""

from __future__ import annotations

from typing import Any

import yaml


class UniqueKeys:
    """Put before a loader: refuses a key that is there twice, of which YAML takes the last one, in silence.

    Also one that is a list or mapping, which is what YAML makes of braces without quotes.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"a key must be a word; put quotes around braces (line {line})")
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.YAMLError(f"'{key.value}' is there twice (line {line})")
            seen.add(key.value)
        return super().construct_mapping(node, deep)  # pyright: ignore[reportAttributeAccessIssue]  # the loader's


class StrictLoader(UniqueKeys, yaml.SafeLoader):
    """`yaml.SafeLoader` that refuses a key twice."""


class TextLoader(UniqueKeys, yaml.BaseLoader):
    """Every value is the text that stands there: 007, 1e3 and no are names as good as others."""
