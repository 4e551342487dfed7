"""Errors of the ML jobs, by how one recovers from them."""

from __future__ import annotations

from warehouse.errors import DataError


class FeatureTableError(DataError):
    """A relation that a job reads is missing or lacks columns: build the warehouse, or correct the config."""


class HistoriesError(DataError):
    """Purchase histories that cannot be: what counted the purchases is wrong, and no model is fitted to them."""


class ArtefactError(DataError):
    """A stored model is missing or its bytes do not hash to what the registry recorded: never loaded; train again."""


class UnreadableArtefactError(DataError):
    """A stored model may be there, and cannot be read now: it is not given up, and nothing is trained instead."""


class TrainingRefusedError(Exception):
    """No honest model comes of this data. The job catches it: no new model, and the reason is recorded and reported."""
