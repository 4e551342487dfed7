"""RFM and both lifecycles of real customers, computed with pandas from the published file (docs/lifecycle.md).

Orders, returns and money come from the file alone. What is simulated around them (visits, mail, sign-ups, and which
customers one person is) is given, as the facts of the store tell it. Shares no code with the models.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd

ONE_DAY = pd.Timedelta(days=1)


def order_lines(file: Path, as_of: datetime, codes: pd.DataFrame) -> pd.DataFrame:
    """Lines that count, placed before `as_of`: those of the file, with `at`, `price` in 1/10000 and `place`."""
    lines = pd.read_parquet(file)
    lines["at"] = lines.groupby("InvoiceNo")["InvoiceDate"].transform("min")
    lines = lines[(lines["at"] < as_of) & (lines["InvoiceDate"] < as_of)].drop_duplicates(
        ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice"]
    )
    code = lines["StockCode"].str.upper()
    exact = set(codes.loc[codes["match_type"] == "exact", "pattern"])
    prefixes = tuple(codes.loc[codes["match_type"] == "prefix", "pattern"])
    is_return = lines["InvoiceNo"].str.startswith("C")
    lines = lines[
        lines["CustomerID"].notna()
        & ~(code.isin(exact) | code.str.startswith(prefixes))
        & (lines["UnitPrice"] > 0)
        & ((lines["Quantity"] < 0) == is_return)
        & (lines["Quantity"] != 0)
    ].copy()
    lines["price"] = (lines["UnitPrice"].astype(float) * 10_000).round().astype("int64")
    lines["place"] = range(len(lines))
    return lines


def kept(lines: pd.DataFrame) -> pd.DataFrame:
    """Sold lines with `left` units after returns: those of a customer and product take back what was bought first."""
    lines = lines.assign(is_return=lines["Quantity"] < 0).sort_values(["at", "is_return", "InvoiceNo", "place"])
    left: dict[int, int] = {}
    open_lines: dict[tuple[object, object], list[int]] = {}
    columns = (lines["place"], lines["CustomerID"], lines["StockCode"], lines["Quantity"])
    for place, customer, code, quantity in zip(*(column.tolist() for column in columns), strict=True):
        queue = open_lines.setdefault((customer, code), [])
        if quantity > 0:
            left[place] = quantity
            queue.append(place)
            continue
        back = -quantity
        while back and queue:
            taken = min(back, left[queue[0]])
            left[queue[0]] -= taken
            back -= taken
            if not left[queue[0]]:
                queue.pop(0)
    sold = lines[~lines["is_return"]].copy()
    sold["left"] = sold["place"].map(left)
    # in cents per line, half a cent up
    sold["cents"] = (sold["left"] * sold["price"] + 50) // 100
    return sold


def scores(values: pd.Series, *, smaller_is_better: bool = False) -> pd.Series:
    """1..5 by the share of the others that are worse, a fifth each; equal values alike, whoever is alone 1."""
    worse = values.rank(method="min", ascending=not smaller_is_better).astype("int64") - 1
    others = max(len(values) - 1, 1)
    return (1 + 5 * worse // others).clip(upper=5)


def lifecycle(
    lines: pd.DataFrame,
    as_of: datetime,
    profile_of: pd.Series,
    people: pd.DataFrame,
    done: pd.DataFrame,
    browsed: pd.DataFrame,
    cells: pd.DataFrame,
) -> pd.DataFrame:
    """Per profile: both stages; of buyers of the last 365 days recency, frequency, monetary (cents), scores and cell.

    Args:
        lines: what `order_lines` gives.
        profile_of: profile by CustomerID (text).
        people: `profile_id` and `has_signed_up` of everybody.
        done: `profile_id` and `on` of what people did on the web and in mail.
        browsed: the same of products viewed and put into a cart.
        cells: the declared name of each combination of scores.
    """
    today = pd.Timestamp(as_of - pd.Timedelta(microseconds=1)).normalize()
    lines = lines.assign(
        profile_id=lines["CustomerID"].astype(float).astype(int).astype(str).map(profile_of),
        on=lines["at"].dt.normalize(),
    )
    assert lines["profile_id"].notna().all()
    done = pd.concat([done, lines[["profile_id", "on"]]])
    idle_days = (today - done.groupby("profile_id")["on"].max()).dt.days

    orders = (
        kept(lines)
        .groupby(["profile_id", "InvoiceNo"], as_index=False)
        .agg(on=("on", "min"), left=("left", "sum"), cents=("cents", "sum"))
    )
    orders = orders[orders["left"] > 0]

    def of_days(days: int) -> pd.core.groupby.DataFrameGroupBy:
        return orders[orders["on"] > today - days * ONE_DAY].groupby("profile_id")

    out = people.set_index("profile_id")
    whole = orders.groupby("profile_id")
    out["n"] = whole.size().reindex(out.index, fill_value=0)
    out["recent"] = of_days(90).size().reindex(out.index, fill_value=0)
    out["since_first"] = (today - whole["on"].min()).dt.days.reindex(out.index)
    out["worth"] = whole["cents"].sum().reindex(out.index, fill_value=0)
    out["idle"] = idle_days.reindex(out.index)
    looking = set(browsed.loc[browsed["on"] > today - 30 * ONE_DAY, "profile_id"])

    def stage(who: pd.Series) -> str:
        if not who["n"]:
            return "prospect" if who["has_signed_up"] else "visitor"
        if who["idle"] >= 180:
            return "lapsed_customer"
        if who["recent"] >= 2:
            return "repeat_buyer"
        return "new_customer" if who["since_first"] < 30 else "active_customer"

    out["customer_stage"] = out.apply(stage, axis=1)
    out["journey_stage"] = [
        "loyalty" if stage == "repeat_buyer" and worth >= 500_00
        else "customer" if n
        else "consideration" if profile in looking
        else "awareness"
        for profile, stage, worth, n in zip(out.index, out["customer_stage"], out["worth"], out["n"], strict=True)
    ]  # fmt: skip

    year = of_days(365)
    rfm = pd.DataFrame(
        {
            "recency_days": (today - year["on"].max()).dt.days,
            "frequency": year.size(),
            "monetary": year["cents"].sum(),
        }
    )
    rfm["recency_score"] = scores(rfm["recency_days"], smaller_is_better=True)
    rfm["frequency_score"] = scores(rfm["frequency"])
    rfm["monetary_score"] = scores(rfm["monetary"])
    rfm = rfm.reset_index().merge(cells, on=["recency_score", "frequency_score", "monetary_score"], validate="m:1")
    return out[["customer_stage", "journey_stage"]].join(rfm.set_index("profile_id"))
