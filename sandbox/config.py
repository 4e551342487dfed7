"""Everything that the simulated shop depends on, with its rates. Fixed before any model is tuned on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Rate = Annotated[float, Field(ge=0.0, le=1.0)]


class SandboxConfig(BaseModel):
    """A plausible shop: its size, its period, and how often each thing (and each kind of dirt) occurs.

    Rates are shares 0..1 of what their docstring names. The same config gives the same bytes of data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # -- size and period ---------------------------------------------------------------------------
    seed: int = Field(default=20260701, ge=0)
    """Seed of every random stream; the streams are independent, so one table's size does not move another's."""
    n_contacts: int = Field(default=20_000, ge=50)
    """People who sign up (CRM, newsletter form or account) before the end of the period."""
    n_web_events: int = Field(default=1_000_000, ge=500)
    """Distinct web events, at least (duplicates come on top; the last session is not cut)."""
    months: int = Field(default=18, ge=2, le=60)
    """Length of the period in calendar months."""
    ends_at: datetime = datetime(2026, 7, 1)
    """End of the period, UTC, exclusive: every event is strictly earlier. This is the data's `as_of`."""

    # -- people --------------------------------------------------------------------------------------
    visitors_per_contact: float = Field(default=0.8, ge=0.0, le=20.0)
    """People who browse and never sign up, per contact."""
    existing_share: Rate = 0.3
    """Contacts who were there before the period begins; the others arrive evenly through it."""
    weekly_lapse_hazard: Rate = 0.014
    """Median weekly chance that an active contact falls silent; higher for the less engaged."""
    weekly_return_hazard: Rate = 0.010
    """Median weekly chance that a silent contact comes back; higher for the more engaged."""
    silent_activity: Rate = 0.004
    """Visits of a silent contact, relative to when active."""
    buyer_share: Rate = 0.5
    """Contacts with an inclination to buy; the others buy rarely."""
    taste_concentration: float = Field(default=0.35, gt=0.0)
    """Dirichlet concentration of a person's taste per category: smaller means more one-sided."""
    account_share: Rate = 0.62
    """Contacts who open a shop account (a `user_id`); the others check out as guests."""
    store_card_share: Rate = 0.2
    """Contacts without an account in a city with a store who hold its card (a `customer_id` without address)."""
    household_share: Rate = 0.006
    """Contacts who use the e-mail address of another contact."""
    second_address_share: Rate = 0.06
    """Contacts with a second e-mail address, used in newsletter forms and guest checkouts."""
    role_address_share: Rate = 0.004
    """Contacts who use an address of a function (`info@`, `sales@`), which others of their company use too."""
    colleagues_per_role_address: int = Field(default=3, ge=1)
    """Contacts who share one such address."""
    shared_device_share: Rate = 0.01
    """People whose first device (`anonymous_id`, and `device_id` where it has one) is somebody else's."""

    # -- what links a person's identifiers, and what must not link two people's -----------------------
    device_id_share: Rate = 0.6
    """Devices that the collector names (`context.device.id`), beside their browser (`anonymous_id`)."""
    kiosk_visit_share: Rate = 0.02
    """Visits of contacts in a city with a store made at the store's kiosk: one browser and device, many people."""
    family_phone_share: Rate = 0.012
    """Contacts who give the telephone of another contact."""
    recycled_phone_share: Rate = 0.003
    """Contacts whose telephone was that of another contact, who signed up at least a year before them."""
    national_phone_rate: Rate = 0.15
    """Telephones written without country code, which say nothing certain."""
    placeholder_phone_rate: Rate = 0.006
    """CRM contacts with a filler in the place of a telephone ('0000000000')."""
    placeholder_email_rate: Rate = 0.004
    """CRM contacts with a filler in the place of an address ('none@none.com')."""
    customer_phone_rate: Rate = 0.6
    """Shop customers who give their telephone."""
    account_other_address_share: Rate = 0.3
    """Account holders with a second address who opened the account with it."""
    email_change_share: Rate = 0.06
    """CRM contacts changed later whose address changed: the first version has the former one."""
    loyalty_card_share: Rate = 0.4
    """Account holders in a city with a store who hold a loyalty card (whoever holds the store's card does)."""
    till_card_rate: Rate = 0.85
    """Point-of-sale orders of known customers with a loyalty card who show it."""
    till_card_alone_rate: Rate = 0.5
    """Other point-of-sale orders of card holders where the card is scanned, and the customer is not looked up."""
    till_email_rate: Rate = 0.05
    """Point-of-sale orders of known customers who have the receipt mailed."""
    web_card_rate: Rate = 0.5
    """Web orders of logged-in card holders that name the card."""
    guest_card_rate: Rate = 0.25
    """Web orders of card holders without an account that name the card."""

    # -- contacts and their dirt -----------------------------------------------------------------------
    crm_share: Rate = 0.85
    """Contacts who have a CRM row; those without came by a newsletter form."""
    newsletter_form_share: Rate = 0.5
    """Contacts with a CRM row who also submitted a newsletter form."""
    crm_knows_account_rate: Rate = 0.7
    """Account holders whose CRM contact names their `user_id` (from the account's opening on)."""
    crm_update_rate: Rate = 0.5
    """CRM contacts that are changed later: a second version of the row."""
    crm_duplicate_rate: Rate = 0.04
    """CRM contacts entered twice, under another spelling of the address."""
    case_variant_rate: Rate = 0.08
    """Addresses written with capitals or surrounding blanks."""
    plus_address_rate: Rate = 0.02
    """Addresses written with a `+tag`."""
    invalid_email_rate: Rate = 0.012
    """CRM contacts and newsletter forms whose address cannot be one."""
    missing_email_rate: Rate = 0.015
    """CRM contacts without an address."""
    missing_name_rate: Rate = 0.09
    """Contacts without a first name."""
    unicode_name_rate: Rate = 0.10
    """Contacts with a name outside ASCII: accents, emoji, right-to-left, 4-byte characters."""
    test_contact_rate: Rate = 0.002
    """CRM contacts that are somebody's test."""
    missing_attribute_rate: Rate = 0.22
    """Contacts without gender, birth year, city or phone (each drawn alone)."""
    repeated_form_rate: Rate = 0.03
    """Newsletter forms submitted once more later."""

    # -- catalogue ---------------------------------------------------------------------------------------
    n_products: int = Field(default=480, ge=24)
    """Products, in eight categories."""
    launched_late_share: Rate = 0.12
    """Products launched during the period."""
    out_of_stock_share: Rate = 0.06
    """Products without stock at any given time."""
    price_changes_per_year: float = Field(default=2.0, ge=0.0)
    """Mean number of price changes per product and year."""

    # -- web -----------------------------------------------------------------------------------------------
    bounce_rate: Rate = 0.3
    """Sessions of a single page."""
    add_to_cart_rate: Rate = 0.27
    """Product views by an inclined buyer that end in the cart (others: a quarter of it)."""
    checkout_rate: Rate = 0.62
    """Sessions with a cart that reach the checkout (others: half of it)."""
    completion_rate: Rate = 0.78
    """Checkouts that become an order."""
    staple_share: Rate = 0.3
    """Product views that go to one of the person's own two staple products, bought again and again."""
    logged_in_rate: Rate = 0.4
    """Account holders' sessions that are logged in from the first event."""
    login_rate: Rate = 0.25
    """Account holders' other sessions in which they log in on the way (an order always does)."""
    demo_request_share: Rate = 0.01
    """Contacts who ask for a demo."""
    late_event_rate: Rate = 0.01
    """Web events received hours or days late."""
    duplicate_event_rate: Rate = 0.005
    """Web events delivered twice with the same `message_id`."""
    skewed_clock_rate: Rate = 0.005
    """Sessions on a device whose clock is behind (`sent_at` is wrong, `timestamp` is corrected)."""

    # -- orders ----------------------------------------------------------------------------------------------
    pos_orders_per_web_order: float = Field(default=0.35, ge=0.0)
    """Point-of-sale orders, without web traces, per web order."""
    pos_anonymous_rate: Rate = 0.3
    """Point-of-sale orders without a customer (some of them with a loyalty card)."""
    cancelled_rate: Rate = 0.025
    """Sales cancelled within three days."""
    return_rate: Rate = 0.06
    """Sales of which something is returned."""
    return_without_original_rate: Rate = 0.3
    """Returns that do not name their order."""
    test_order_rate: Rate = 0.003
    """Test orders, on top."""
    duplicate_line_rate: Rate = 0.004
    """Order lines written twice."""
    zero_price_rate: Rate = 0.004
    """Order lines at price 0."""
    shipping_line_rate: Rate = 0.25
    """Web orders with a postage line, which is no product."""

    # -- real orders only ----------------------------------------------------------------------------------------
    order_trace_rate: Rate = 0.85
    """Real web orders whose visit is in the web events (the others: blocked scripts)."""
    visits_before_order: float = Field(default=1.2, ge=0.0)
    """Mean number of visits in the days before a real order, which show some of what is bought then."""

    # -- e-mail --------------------------------------------------------------------------------------------------
    newsletter_every_days: int = Field(default=14, ge=1)
    """Days between newsletters."""
    product_news_every_days: int = Field(default=30, ge=1)
    """Days between product news."""
    apple_privacy_share: Rate = 0.3
    """Addresses read in a client that fetches every image through a privacy proxy."""
    gmail_proxy_share: Rate = 0.35
    """Addresses whose human opens come through an image proxy."""
    scanner_share: Rate = 0.04
    """Addresses behind a scanner that opens at once and clicks every link."""
    open_rate: Rate = 0.34
    """Delivered mails opened by a person of middle engagement in an active phase."""
    click_rate: Rate = 0.13
    """Human readings that lead to a click."""
    click_visit_rate: Rate = 0.85
    """Human clicks that become a web session (others: blocked scripts)."""
    unsubscribe_rate: Rate = 0.0025
    """Delivered mails that lead to an unsubscribe; three times as often when not engaged."""
    complaint_rate: Rate = 0.0003
    """Delivered mails reported as spam."""
    hard_bounce_rate: Rate = 0.015
    """Addresses that do not exist (any more), found at the first mail."""
    soft_bounce_rate: Rate = 0.006
    """Mails that bounce softly."""
    lost_delivery_rate: Rate = 0.002
    """Mails sent without any answer."""

    # -- consent ---------------------------------------------------------------------------------------------------
    newsletter_consent_rate: Rate = 0.86
    """Forms with the newsletter box ticked."""
    profiling_consent_rate: Rate = 0.55
    """Forms with the profiling box ticked."""
    double_opt_in_rate: Rate = 0.8
    """Ticked forms that are confirmed by a click in a mail (the others are not mailed)."""
    imported_share: Rate = 0.25
    """CRM contacts without a form who came with an imported list (no evidence, not mailed)."""
    preference_withdrawal_rate: Rate = 0.05
    """Subscribers who withdraw in the preference centre."""
    resubscribe_rate: Rate = 0.06
    """People who had unsubscribed and opt in again, in the preference centre."""

    @field_validator("ends_at")
    @classmethod
    def _naive_utc(cls, value: datetime) -> datetime:
        """Instants in the warehouse are naive UTC."""
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value

    @model_validator(mode="after")
    def _clients_fit(self) -> SandboxConfig:
        if self.apple_privacy_share + self.gmail_proxy_share + self.scanner_share > 1.0:
            raise ValueError("apple_privacy_share + gmail_proxy_share + scanner_share must not exceed 1")
        return self

    @property
    def starts_at(self) -> datetime:
        """First instant of the period: `months` calendar months before `ends_at`."""
        month = self.ends_at.year * 12 + self.ends_at.month - 1 - self.months
        day = min(self.ends_at.day, 28)
        return self.ends_at.replace(year=month // 12, month=month % 12 + 1, day=day)
