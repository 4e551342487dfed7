"""What the recommender is made of; defaults were chosen on windows of public data that end before its test windows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ml_jobs.gate import GateConfig


class RecommendationConfig(BaseModel):
    """Weights, decays and sizes of the recommender and of its back-test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_candidates: int = Field(default=20, ge=1, le=200)
    """Candidates written per profile; the mart takes the first three that are eligible when it is built."""
    n_neighbours: int = Field(default=100, ge=1)
    """Items kept as evidence for each item, the most similar ones."""
    shrinkage: float = Field(default=5.0, ge=0)
    """Added to the cosine's denominator: a pair seen once or twice is no evidence yet."""
    popularity_days: int = Field(default=28, ge=1)
    """Window of recent popularity (distinct buyers); for people without history its length matters most."""
    popularity_lift: float = Field(default=0.8, ge=0)
    """An own purchase counts `1 + popularity_lift × popularity` (0..1): mostly a tie-break of equal frequencies."""
    view_half_life_days: float = Field(default=30.0, gt=0)
    """A product view counts half after so many days; own purchases do not decay (measured: decay loses)."""
    cart_weight: float = Field(default=3.0, gt=0)
    """A product put into the cart counts as so many views."""
    view_weight: float = Field(default=0.5, ge=0)
    """Weight of the evidence from views beside that from purchases, each scaled to its best item per person."""
    blend_weights: tuple[float, ...] = Field(default=(0.05, 0.3, 1.0, 3.0), min_length=1)
    """Weights of item-to-item evidence against own purchases to choose from, on the window before the test window.
    The smallest one is own frequency, filled up with similar items. Beside them stands, always, to offer nothing that
    the person has already bought: shops of things that one buys once choose that."""
    default_blend_weight: float = Field(default=0.3, gt=0)
    """Weight used if the window before the test window has too few buyers to choose by."""
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
    chunk_profiles: int = Field(default=1024, ge=1)
    """Profiles scored at once: chunk × items × 4 bytes of memory, a few times over."""
