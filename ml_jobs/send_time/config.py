"""What the model of send times is made of, and when it refuses."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ml_jobs.gate import GateConfig


class SendTimeConfig(BaseModel):
    """Windows, sizes and thresholds of send times."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    randomized_share: float = Field(default=0.1, ge=0, le=1)
    """Share of people whose hour is drawn at random, anew each calendar month: an hour at which nobody is written to
    teaches nothing, and who is always written to at their best hour can have no better one."""
    hour_reach: int = Field(default=1, ge=0, le=11)
    """So many hours on either side count as one with an hour, when it is asked whether a person likes it: who reads
    mail at eight does so at seven or nine as well, and a person's mails of a single hour are few. 0: each hour by
    itself."""
    test_days: int = Field(default=28, ge=1)
    """Mails of so many days before `as_of` are the newest window."""
    min_clicks: int = Field(default=50, ge=1)
    """Mails that were clicked needed to fit, and again in the newest window; fewer: no model, or no trial."""
    min_expected_clicks: float = Field(default=5, ge=0)
    """An hour or weekday is offered only after so many mails, to whomever, that at everybody's rate so many clicks were
    to be expected: of fewer, the count is chance, and a few lucky clicks at three in the morning would move everybody
    there. Five is the rule of thumb for counts that are compared (Cochran 1954, https://doi.org/10.2307/3001616); of
    mails of which 3 % are clicked that takes 167. Where none has as many, the one with the most mails is offered."""
    max_people_to_fit: int = Field(default=50_000, ge=1)
    """How alike people are is estimated from so many of them, drawn at random: more change it by less than matters."""
    gate: GateConfig = GateConfig(margin=0.001)
    """In log loss per mail: a model that stays aside is worse by more than that than what reigned, or than the
    population's rates. Of mails of which 3 % are clicked the loss is about 0.13 in all."""
    seed: int = 20240229
    """Seed of the draws: of people to fit, and of those whose hour is random."""
