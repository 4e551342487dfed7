"""Mailings: who is mailed when, and what comes back from people, proxies and scanners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sandbox import pools
from sandbox.arrays import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    SECOND,
    Bools,
    Floats,
    Ints,
    choose,
    hex_ids,
    instants,
    join,
    keep,
    numbered,
    pick,
    seconds,
    stream,
)
from sandbox.campaigns import N_LINKS, Campaigns, draw_campaigns
from sandbox.catalogue import Catalogue
from sandbox.config import SandboxConfig
from sandbox.people import APPLE, GMAIL, SCANNER, People
from sandbox.period import Period
from sandbox.permission import Permission

SENT, DELIVERED, OPEN, CLICK, BOUNCE, COMPLAINT, UNSUBSCRIBE = range(7)
EVENTS = ("sent", "delivered", "open", "click", "bounce", "complaint", "unsubscribe")
SENDING = 20 * MINUTE
"""How long one mailing takes to leave."""
FLAG_NO, FLAG_YES, FLAG_UNKNOWN = 0, 1, -1


@dataclass(frozen=True)
class MailLog:
    """All e-mail events, flat, and the human clicks that may become visits."""

    campaigns: Campaigns
    event: Ints
    person: Ints
    campaign: Ints
    message: Ints
    at: Ints
    link: Ints
    """Link number 0..N_LINKS-1, N_LINKS for the hidden one, or -1."""
    agent: Ints
    """0 Apple proxy, 1 Gmail proxy, 2 scanner, 3.. a person's own client; -1 where none."""
    flagged: Ints
    is_machine: Bools
    is_hard: Bools
    visits: tuple[Ints, Ints, Ints]
    """(person, instant, campaign) of the human clicks."""
    permission: Permission
    """Permission as it is after the mailings (withdrawals by unsubscribing added)."""


@dataclass(frozen=True)
class _Batch:
    """Collects the events of one mailing."""

    log: list[tuple[Ints, ...]]
    campaign: int
    recipients: Ints
    messages: Ints

    def add(
        self,
        event: int,
        rows: Ints,
        at: Ints,
        *,
        link: Ints | int = -1,
        agent: Ints | int = -1,
        flagged: Ints | int = FLAG_UNKNOWN,
        machine: bool = False,
        hard: bool = False,
    ) -> None:
        """One event for each of these rows of the recipients."""
        size = len(rows)
        varying = [np.broadcast_to(np.asarray(value), (size,)) for value in (link, agent, flagged)]
        constants = [np.full(size, value) for value in (self.campaign, event, int(machine), int(hard))]
        self.log.append((self.recipients[rows], self.messages[rows], at, *varying, *constants))


def send_mailings(
    config: SandboxConfig, period: Period, people: People, catalogue: Catalogue, permission: Permission
) -> MailLog:
    """Run the campaigns in time order; each mails only whom it may at that instant."""
    rng = stream(config.seed, "mail")
    campaigns = draw_campaigns(config, period, catalogue)
    dead = rng.random(people.n) < config.hard_bounce_rate
    suppressed_at = np.full(people.n, NEVER)
    log: list[tuple[Ints, ...]] = []
    messages = 0
    for i in range(len(campaigns.ids)):
        at, purpose = int(campaigns.send_at[i]), int(campaigns.purpose[i])
        permission.apply_resubscriptions(at)
        to = np.flatnonzero(permission.is_mailable(purpose, at, at + SENDING) & (suppressed_at > at + SENDING))
        n = len(to)
        if not n:
            continue
        message = messages + np.arange(n)
        messages += n
        sent = at + rng.integers(0, SENDING, n)
        delivered = sent + seconds(rng, 3.0, 1.0, n).clip(200_000, 6 * HOUR)
        dead[to] |= rng.random(n) < 0.0004  # addresses die over time
        draw = rng.random(n)
        soft = ~dead[to] & (draw < config.soft_bounce_rate)
        lost = ~dead[to] & ~soft & (draw < config.soft_bounce_rate + config.lost_delivery_rate)
        arrived = ~dead[to] & ~soft & ~lost

        batch = _Batch(log, i, to, message)
        everyone = np.arange(n)
        batch.add(SENT, everyone, sent)
        for mask, hard in ((dead[to], True), (soft, False)):
            rows = np.flatnonzero(mask)
            batch.add(BOUNCE, rows, delivered[rows], hard=hard)
            if hard:
                suppressed_at[to[rows]] = delivered[rows]
        rows = np.flatnonzero(arrived)
        batch.add(DELIVERED, rows, delivered[rows])
        reads = _reads(rng, config, period, people, campaigns, i, to) & arrived
        _machines(rng, people, to, arrived, delivered, batch)
        _humans(rng, config, people, to, reads, delivered, batch)

        tired = config.unsubscribe_rate * np.where(people.engagement[to] < 0.25, 3.0, 1.0)
        draw = rng.random(n)
        leaving = np.flatnonzero(arrived & (draw < tired))
        when = delivered[leaving] + seconds(rng, 5 * 3600, 1.2, len(leaving)).clip(20 * SECOND, 8 * DAY)
        inside = when < period.end
        batch.add(UNSUBSCRIBE, leaving[inside], when[inside])
        permission.withdraw_by_mail(rng, config, period, to[leaving[inside]], when[inside])
        angry = np.flatnonzero(arrived & (draw > 1.0 - config.complaint_rate))
        when = delivered[angry] + seconds(rng, 4 * 3600, 1.0, len(angry)).clip(20 * SECOND, 8 * DAY)
        inside = when < period.end
        batch.add(COMPLAINT, angry[inside], when[inside])
        suppressed_at[to[angry[inside]]] = np.minimum(suppressed_at[to[angry[inside]]], when[inside])
    return _collect(rng, config, period, campaigns, log, permission)


def _reads(
    rng: np.random.Generator,
    config: SandboxConfig,
    period: Period,
    people: People,
    campaigns: Campaigns,
    i: int,
    to: Ints,
) -> Bools:
    """Who reads mail i: the engaged, when active, a little more when its topic is to their taste."""
    week = int(period.week_of(campaigns.send_at[i : i + 1])[0])
    personal = (0.25 + 1.7 * people.engagement[to]) * (0.08 + 0.92 * people.activity[to, week])
    topical = 0.75 + 0.9 * people.taste[to, campaigns.topic[i]]
    chance: Floats = (config.open_rate * personal * topical).clip(0, 0.95)
    return rng.random(len(to)) < chance


def _machines(rng: np.random.Generator, people: People, to: Ints, arrived: Bools, delivered: Ints, batch) -> None:
    """Opens and clicks that no person made: privacy proxies, scanners, and a few plain prefetches."""
    client = people.client[to]
    n = len(to)
    rows = np.flatnonzero(arrived & (client == APPLE) & (rng.random(n) < 0.92))
    when = delivered[rows] + seconds(rng, 900, 1.3, len(rows)).clip(3 * SECOND, 2 * DAY)
    flagged = np.where(rng.random(len(rows)) < 0.6, FLAG_YES, FLAG_UNKNOWN)
    batch.add(OPEN, rows, when, agent=0, flagged=flagged, machine=True)

    rows = np.flatnonzero(arrived & (client == SCANNER) & (rng.random(n) < 0.9))
    opened = delivered[rows] + rng.integers(150_000, 1_800_000, len(rows))
    flagged = np.where(rng.random(len(rows)) < 0.25, FLAG_YES, FLAG_UNKNOWN)
    batch.add(OPEN, rows, opened, agent=2, flagged=flagged, machine=True)
    # a burst: every link once, in order, within seconds; half the scanners pretend to be a browser
    agent = np.where(people.device_first[to[rows]] % 2 == 0, 2, 3)
    when = opened
    for link in range(N_LINKS):
        when = when + rng.integers(50_000, 900_000, len(rows))
        batch.add(CLICK, rows, when, link=link, agent=agent, flagged=flagged, machine=True)
    # and whoever pretends follows the link that no reader sees
    pretends = agent == 3
    batch.add(
        CLICK, rows[pretends], when[pretends] + 300_000, link=N_LINKS, agent=3, flagged=flagged[pretends], machine=True
    )

    # image prefetch by other clients: within two seconds, with a browser's agent
    rows = np.flatnonzero(arrived & (client > SCANNER) & (rng.random(n) < 0.02))
    when = delivered[rows] + rng.integers(100_000, 1_900_000, len(rows))
    batch.add(OPEN, rows, when, agent=3, machine=True)


def _humans(
    rng: np.random.Generator,
    config: SandboxConfig,
    people: People,
    to: Ints,
    reads: Bools,
    delivered: Ints,
    batch: _Batch,
) -> None:
    """Readings. Behind a privacy proxy they show no open of their own; behind an image proxy they do."""
    client = people.client[to]
    rows = np.flatnonzero(reads)
    read_at = delivered[rows] + seconds(rng, 3.5 * 3600, 1.6, len(rows)).clip(8 * SECOND, 9 * DAY)
    own = 3 + people.device_first[to[rows]] % 3
    agent = np.where(client[rows] == GMAIL, 1, own)
    seen = client[rows] != APPLE
    known = np.where(rng.random(len(rows)) < 0.5, FLAG_NO, FLAG_UNKNOWN)
    batch.add(OPEN, rows[seen], read_at[seen], agent=agent[seen], flagged=known[seen])
    again = seen & (rng.random(len(rows)) < 0.2)
    later = read_at + seconds(rng, 20 * 3600, 1.0, len(rows)).clip(MINUTE, 6 * DAY)
    batch.add(OPEN, rows[again], later[again], agent=agent[again], flagged=known[again])

    chance = config.click_rate * (0.5 + 1.2 * people.engagement[to[rows]])
    clicks = rng.random(len(rows)) < chance
    click_at = read_at + seconds(rng, 25, 0.9, len(rows)).clip(2 * SECOND, HOUR)
    link = choose(rng, [0.3, 0.22, 0.16, 0.12, 0.2], len(rows))
    batch.add(CLICK, rows[clicks], click_at[clicks], link=link[clicks], agent=own[clicks], flagged=known[clicks])
    second = clicks & (rng.random(len(rows)) < 0.2)
    click_at = click_at + seconds(rng, 150, 0.8, len(rows)).clip(15 * SECOND, HOUR)
    link = (link + 1 + rng.integers(0, N_LINKS - 1, len(rows))) % N_LINKS
    batch.add(CLICK, rows[second], click_at[second], link=link[second], agent=own[second], flagged=known[second])


def _collect(
    rng: np.random.Generator,
    config: SandboxConfig,
    period: Period,
    campaigns: Campaigns,
    log: list[tuple[Ints, ...]],
    permission: Permission,
) -> MailLog:
    """One flat log in time order, without what would lie beyond the end."""
    parts = [np.concatenate(part) for part in zip(*log, strict=True)] if log else [np.zeros(0, np.int64)] * 10
    person, message, at, link, agent, flagged, campaign, event, machine, hard = parts
    order = np.lexsort((event, message, at))
    order = order[at[order] < period.end]
    # the first human click on each mail brings a visit
    human = order[(event[order] == CLICK) & (machine[order] == 0)]
    _, first = np.unique(message[human], return_index=True)
    visits = human[np.sort(first)]
    visits = visits[rng.random(len(visits)) < config.click_visit_rate]
    return MailLog(
        campaigns=campaigns,
        event=event[order],
        person=person[order],
        campaign=campaign[order],
        message=message[order],
        at=at[order],
        link=link[order],
        agent=agent[order],
        flagged=flagged[order],
        is_machine=machine[order] == 1,
        is_hard=hard[order] == 1,
        visits=(person[visits], at[visits], campaign[visits]),
        permission=permission,
    )


def mail_columns(
    config: SandboxConfig, people: People, catalogue: Catalogue, log: MailLog
) -> tuple[dict[str, pa.Array], dict[str, pa.Array]]:
    """(rows of `email_events`, rows of `truth.email_events`)."""
    rng = stream(config.seed, "mail_columns")
    n = len(log.event)
    agents = [pools.APPLE_PROXY_AGENT, pools.GMAIL_PROXY_AGENT, pools.SCANNER_AGENT, *pools.USER_AGENTS[:3]]
    networks = ["17.58.0.", "66.249.84.", "198.51.100.", "203.0.113.", "203.0.113.", "192.0.2."]
    ip = join(pick(networks, log.agent), numbered("", (log.person * 7 + log.message * 13) % 254 + 1))
    received = log.at + seconds(rng, 2.0, 0.8, n).clip(100_000, HOUR)
    received += np.where(rng.random(n) < 0.004, seconds(rng, 8 * 3600, 0.8, n), 0)
    ids = hex_ids(rng, n, "em_")
    bounce = np.where(log.event == BOUNCE, log.is_hard.astype(np.int64), -1)
    links = np.where(log.link >= 0, log.campaign * (N_LINKS + 1) + log.link, -1)
    # half of the scanners that say who they are ask whether a link is there, not what it shows
    asks = (log.event == CLICK) & (log.agent == 2) & (log.message % 2 == 0)
    method = np.where(log.agent >= 0, asks.astype(np.int64), -1)
    columns = {
        "event_id": ids,
        "event": pick(EVENTS, log.event),
        "email": log.permission.address.take(pa.array(log.person)),
        "message_id": numbered("msg_", log.message, 8),
        "campaign_id": pick(log.campaigns.ids, log.campaign),
        "link_url": pick(log.campaigns.links(catalogue), links),
        "user_agent": pick(agents, log.agent),
        "ip": keep(ip, log.agent >= 0),
        "http_method": pick(["GET", "HEAD"], method),
        "is_provider_flagged_machine": pick([False, True], log.flagged),
        "bounce_type": pick(["soft", "hard"], bounce),
        "occurred_at": instants(log.at),
        "received_at": instants(received),
    }
    return columns, {"event_id": ids, "is_machine": pa.array(log.is_machine)}
