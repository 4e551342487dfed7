"""What each feature of a boosted model adds to its score: exact Shapley values, as TreeSHAP defines them.

Source: Lundberg and others 2020, "From local explanations to global understanding with explainable AI for trees"
(doi:10.1038/s42256-019-0138-9), path-dependent: where a feature is not known, each branch counts by its share of the
rows that the tree was fitted to. Why not from the package: docs/adr/0026-reasons-without-a-compiler.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_ROWS = 1 << 14
"""People at a time: what is held of them fits into the cache."""


@dataclass(frozen=True)
class _Leaf:
    """A leaf, with what must hold of a row to come to it."""

    value: float
    steps: dict[int, list[tuple[int, bool]]]
    """Feature → (position of the inner node, whether the way goes left) of all its nodes on the way."""
    shares: dict[int, float]
    """Feature → share of the rows that took these steps, of those that came to them."""


def tree_shapley(booster: Any, features: np.ndarray) -> np.ndarray:
    """Of a HistGradientBoosting model of one output on numeric features (nan for null): (rows, features), which add up
    to the row's raw score less what it is where nothing is known."""
    import numpy as np

    trees = [_leaves(stage[0].nodes) for stage in booster._predictors]
    found = np.zeros(features.shape)
    for start in range(0, len(features), _ROWS):
        # by feature: its values lie together
        some = np.ascontiguousarray(features[start : start + _ROWS].T)
        total = np.zeros(some.shape)
        for (stage,), leaves in zip(booster._predictors, trees, strict=True):
            _add(stage.nodes, leaves, some, total)
        found[start : start + _ROWS] = total.T
    return found


def _leaves(nodes: np.ndarray) -> list[_Leaf]:
    found, open_ = [], [_Leaf(0.0, {}, {})]
    at = [0]
    while open_:
        way, node = open_.pop(), at.pop()
        if nodes["is_leaf"][node]:
            found.append(_Leaf(float(nodes["value"][node]), way.steps, way.shares))
            continue
        feature = int(nodes["feature_idx"][node])
        for child, is_left in ((nodes["left"][node], True), (nodes["right"][node], False)):
            steps = way.steps | {feature: [*way.steps.get(feature, []), (node, is_left)]}
            share = way.shares.get(feature, 1.0) * float(nodes["count"][child] / nodes["count"][node])
            open_.append(_Leaf(0.0, steps, way.shares | {feature: share}))
            at.append(int(child))
    return found


def _add(nodes: np.ndarray, leaves: list[_Leaf], features: np.ndarray, total: np.ndarray) -> None:
    """Add one tree's values to `total`, both (features, rows).

    With a set of features known, a leaf counts by the product of 0 or 1 for each that is known (whether the row takes
    its steps) and of its share for each that is not. The Shapley value of such a product is an integral over the chance
    t that another feature is known, of a polynomial, which Gauss-Legendre quadrature gives exactly.
    """
    import numpy as np

    left = {}
    for node in np.flatnonzero(nodes["is_leaf"] == 0):
        value = features[nodes["feature_idx"][node]]
        is_null = np.isnan(value) & bool(nodes["missing_go_to_left"][node])
        left[int(node)] = (value <= nodes["num_threshold"][node]) | is_null
    for leaf in leaves:
        if not leaf.steps:  # a tree that found nothing to ask
            continue
        takes = [
            np.logical_and.reduce([left[node] == is_left for node, is_left in steps]) for steps in leaf.steps.values()
        ]
        points, weights = np.polynomial.legendre.leggauss((len(takes) + 1) // 2)
        for t, weight in zip((points + 1) / 2, weights / 2, strict=True):
            shares = [share * (1 - t) for share in leaf.shares.values()]
            factors = [np.where(take, t + share, share) for take, share in zip(takes, shares, strict=True)]
            whole = np.multiply.reduce(factors) * (weight * leaf.value)
            for (feature, share), take, factor in zip(leaf.shares.items(), takes, factors, strict=True):
                total[feature] += whole * (take - share) / factor
