"""What the recommender is made of; defaults were chosen on windows of public data that end before its test windows."""

from __future__ import annotations

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_jobs.gate import GateConfig


class RankerConfig(BaseModel):
    """The trees that put candidates in order, and what they learn from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_windows: int = Field(default=6, ge=1)
    """Windows of `horizon_days` to learn from, the newest complete ones."""
    max_people: int = Field(default=1500, ge=1)
    """Buyers of a window to learn from; of more a sample is drawn."""
    share_of_others: float = Field(default=0.2, gt=0, le=1)
    """Share kept of the candidates that were not bought: the order that is learned does not change by it."""
    min_bought: int = Field(default=500, ge=1)
    """Bought candidates needed in all windows; with fewer there are no trees."""
    max_iter: int = Field(default=150, ge=1)
    """Trees."""
    learning_rate: float = Field(default=0.05, gt=0)
    """Shrinkage of each tree."""
    max_leaf_nodes: int = Field(default=31, ge=2)
    """Leaves of each tree."""
    min_samples_leaf: int = Field(default=100, ge=1)
    """Pairs in each leaf, at least."""
    l2_regularization: float = Field(default=5.0, ge=0)
    """Pulls leaves toward zero."""
    max_features: float = Field(default=0.3, gt=0, le=1)
    """Share of the columns that each split may choose from."""
    n_threads: int = Field(default=1, ge=1)
    """Threads within the trees: on a busy machine more of them wait for each other."""
    seed: int = 20240229
    """Seed of the samples and of the trees."""


class RecommendationConfig(BaseModel):
    """Weights, decays and sizes of the recommender and of its back-test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_candidates: int = Field(default=20, ge=1, le=200)
    """Candidates written per profile; the mart takes the first three that are eligible when it is built."""
    n_neighbours: int = Field(default=100, ge=1)
    """Items kept as evidence for each item, the most similar ones."""
    shrinkage: float = Field(default=5.0, ge=0)
    """Added to the cosine's denominator: a pair seen once or twice is no evidence yet."""
    breadth_exponent: float = Field(default=0.75, ge=0)
    """What somebody with n items says of which ones go together counts n to the power of minus this."""
    ease_items: int = Field(default=5000, ge=2)
    """EASE knows so many items, the most bought ones: its time grows with their cube, its memory with their square."""
    ease_l2: float = Field(default=200.0, gt=0)
    """Ridge penalty of EASE."""
    lately_half_life_days: float = Field(default=60.0, gt=0)
    """Evidence from what was bought lately: a purchase counts half after so many days."""
    last_orders: int = Field(default=2, ge=1)
    """Evidence from a person's last orders: so many of them."""
    n_from_each: int = Field(default=60, ge=1)
    """Candidates that each kind of evidence adds to a person's own items, for the ranker to put in order."""
    ranker: RankerConfig = RankerConfig()
    """The second stage."""
    popularity_days: int = Field(default=28, ge=1)
    """Window of recent popularity (distinct buyers); for people without history its length matters most."""
    popularity_lift: float = Field(default=0.8, ge=0)
    """An own purchase counts `1 + popularity_lift × popularity` (0..1): mostly a tie-break of equal frequencies."""
    popularity_exponent: float = Field(default=0.7, ge=0)
    """Item-to-item evidence counts by recent popularity to this power: with 1 what is rare came too late among new
    items."""
    view_half_life_days: float = Field(default=30.0, gt=0)
    """A product view counts half after so many days; own purchases do not decay (measured: decay loses)."""
    cart_weight: float = Field(default=3.0, gt=0)
    """A product put into the cart counts as so many views."""
    view_weight: float = Field(default=0.5, ge=0)
    """Weight of the evidence from views beside that from purchases, each scaled to its best item per person."""
    methods: tuple[str, ...] = Field(
        default=("blend_0.05", "blend_0.3", "blend_1", "blend_3", "new_only", "ease", "ranked"), min_length=1
    )
    """What is chosen from, on the window before the test window. `blend_<w>`: own purchases, and w times the
    item-to-item evidence (0.05: own frequency, filled up with similar items). `new_only`: nothing that the person has
    already bought; shops of things that one buys once choose that. `ease`: EASE's weights alone. `ranked`: trees put
    the candidates in order."""
    cart_days: int = Field(default=7, ge=1)
    """What was put into the cart within so many days, and not bought since, is in it: the var of the same name."""
    post_purchase_days: int = Field(default=14, ge=1)
    """After a purchase is so many days long."""
    default_method: str = "blend_0.3"
    """What is taken if the window before the test window has too few buyers to choose by."""
    max_profile_items: int = Field(default=1000, ge=2)
    """Profiles with more distinct items teach no similarity (scrapers, resellers): their pairs grow with the square."""
    horizon_days: int = Field(default=30, ge=1)
    """Length of the back-test's windows: buyers of so many days after T are predicted from what was known before T."""
    min_test_profiles: int = Field(default=50, ge=1)
    """Fewer buyers with history in a window: no metrics from it, and none are claimed."""
    max_test_profiles: int = Field(default=5000, ge=1)
    """More buyers than this are sampled (seeded) in the back-test."""
    gate: GateConfig = GateConfig(margin=0.01)
    """In the mean of HR@3 and NDCG@10: a model that stays aside is worse by more than that than what reigned, or than
    own frequency."""
    seed: int = 20240229
    """Seed of the back-test's sampling; the model itself has no randomness."""
    chunk_profiles: int = Field(default=4096, ge=1)
    """Profiles scored at once."""
    n_threads: int = Field(default=2, ge=1)
    """Chunks scored at the same time. The trees gain by it; products of sparse matrices wait for each other."""

    @model_validator(mode="after")
    def _known_methods(self) -> Self:
        if self.default_method == "ranked":
            raise ValueError("trees need windows to learn from: they are no default_method")
        for method in (*self.methods, self.default_method):
            if method not in ("new_only", "ease", "ranked") and not re.fullmatch(r"blend_\d+(\.\d+)?", method):
                raise ValueError(f"there is no method '{method}': blend_<weight>, new_only, ease and ranked are")
        return self
