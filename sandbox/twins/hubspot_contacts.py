"""Contacts of the HubSpot twin: the list, the search, batches; and subscriptions by address."""

from __future__ import annotations

from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.twins import hubspot_rules as rules
from sandbox.twins.door import carries
from sandbox.twins.hubspot_store import DEFAULT_SUBSCRIPTION, OTHER_SUBSCRIPTION, Contact, Store

SUBSCRIPTIONS = {DEFAULT_SUBSCRIPTION: "Marketing information", OTHER_SUBSCRIPTION: "Customer service"}


class ContactEndpoints:
    """Each method answers one operation."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.wrong_records: Literal["400", "207"] = "400"
        """How a batch with a wrong record is answered: refused as a whole [com], or record by record [sdk]. When the
        vendor does which is [unv]."""
        self._last: tuple[Any, Any, list[dict[str, str | None]]] = (None, None, [])
        """Everybody, what was searched for among them, and whom it found."""

    def _batch(self, results: list[Any], errors: list[Any], status: int = 200) -> JSONResponse:
        """[rec] [sdk]; 207 where there are errors."""
        now = self.store.now()
        body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        if errors:
            body |= {"errors": errors, "numErrors": len(errors)}
        return JSONResponse(body, 207 if errors else status)

    async def contacts(self, request: Request) -> Response:
        limit, after = int(request.query_params.get("limit", 10)), int(request.query_params.get("after", 0))
        if not 1 <= limit <= rules.MAX_PAGE:
            return rules.error(400, "VALIDATION_ERROR", f"limit is at most {rules.MAX_PAGE}")  # [unv] wording
        wanted = request.query_params.get("properties", "email,firstname,lastname").split(",")
        rows = self.store.contacts(after, limit + 1)
        carries(request, len(rows[:limit]))
        body: dict[str, Any] = {"results": [rules.document(self.store.shown(c), wanted) for c in rows[:limit]]}
        if len(rows) > limit:
            last = str(rows[limit - 1].id)
            body["paging"] = {"next": {"after": last, "link": str(request.url.include_query_params(after=last))}}
        return JSONResponse(body)

    async def search(self, request: Request) -> Response:
        body = await request.json()
        limit, after = int(body.get("limit", 10)), int(body.get("after") or 0)
        if not 1 <= limit <= rules.MAX_SEARCH_PAGE or after + limit > rules.MAX_SEARCH_RESULTS:
            return rules.error(400, "VALIDATION_ERROR", "paging beyond what a search shows")  # [vdoc] wording [unv]
        found = self._found(body)
        page = found[after : after + limit]
        carries(request, len(page))
        wanted = body.get("properties") or ["email", "firstname", "lastname"]
        answer: dict[str, Any] = {"total": len(found), "results": [rules.document(s, wanted) for s in page]}
        if after + limit < len(found):
            answer["paging"] = {"next": {"after": str(after + limit)}}
        return JSONResponse(answer)

    def _found(self, body: dict[str, Any]) -> list[dict[str, str | None]]:
        """Everybody whom a search finds, in its order: looked for once for all of its pages."""
        everybody, asked = self.store.searchable(), (body.get("filterGroups"), body.get("sorts"))
        if self._last[0] is everybody and self._last[1] == asked:
            return self._last[2]
        groups = body.get("filterGroups") or [{"filters": []}]
        found = [
            shown
            for shown in everybody
            if any(all(rules.matches(shown, one) for one in group["filters"]) for group in groups)
        ]
        for sort in reversed(body.get("sorts") or []):
            found.sort(
                key=lambda shown: rules.milliseconds(shown.get(sort["propertyName"])) or 0.0,
                reverse=sort.get("direction") == "DESCENDING",
            )
        self._last = (everybody, asked, found)
        return found

    async def read(self, request: Request) -> Response:
        body = await request.json()
        inputs = body.get("inputs")
        if not isinstance(inputs, list) or not 1 <= len(inputs) <= rules.MAX_BATCH or body.get("idProperty") != "email":
            return rules.error(400, "VALIDATION_ERROR", f"1 to {rules.MAX_BATCH} addresses are needed")  # [unv]
        emails = [str(one["id"]) for one in inputs]
        carries(request, len(emails))
        found = [c for email in emails if (c := self.store.contact(email)) is not None]
        absent = [email for email in emails if self.store.contact(email) is None]
        results = [rules.document(self.store.shown(c), body.get("properties") or []) for c in found]
        message = "Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid."
        errors = [_entry("OBJECT_NOT_FOUND", message, {"ids": absent})] if absent else []  # [unv]
        return self._batch(results, errors)

    async def upsert(self, request: Request) -> Response:
        inputs = (await request.json()).get("inputs")
        if not isinstance(inputs, list) or not 1 <= len(inputs) <= rules.MAX_BATCH:
            return rules.error(400, "VALIDATION_ERROR", f"1 to {rules.MAX_BATCH} inputs are needed")  # [vdoc]
        carries(request, len(inputs))
        for record in inputs:
            values = record.get("properties")
            is_shaped = isinstance(values, dict) and all(isinstance(v, str) for v in values.values())
            if not is_shaped or record.get("idProperty") != "email":
                return rules.error(400, "VALIDATION_ERROR", "Invalid input JSON")  # [sdk] strings; wording [unv]
        ids = [str(record.get("id")).lower() for record in inputs]
        if len(set(ids)) < len(ids):
            return rules.error(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input")  # [unv]
        flaws = [rules.flaws_of_upsert(self.store, record) for record in inputs]
        wrong = [flaw for some in flaws for flaw in some]
        is_unknown = any(flaw["error"] == "PROPERTY_DOESNT_EXIST" for flaw in wrong)
        if wrong and (is_unknown or self.wrong_records == "400"):  # [com] an unknown property fails all
            return rules.error(400, "VALIDATION_ERROR", rules.invalid_values(wrong))
        results: list[Any] = []
        errors: list[Any] = []
        with self.store:
            for record, some in zip(inputs, flaws, strict=True):
                trace = record.get("objectWriteTraceId")
                if some:
                    context = {"objectWriteTraceId": [trace]} if trace else {}  # [unv]
                    errors.append(_entry("VALIDATION_ERROR", rules.invalid_values(some), context))
                else:
                    results.append(self._written(record) | ({"objectWriteTraceId": trace} if trace else {}))
        return self._batch(results[::-1], errors)  # [rec] not in the order of the inputs

    def _written(self, record: dict[str, Any]) -> dict[str, Any]:
        contact = self.store.contact(record["id"])
        is_new = contact is None
        contact = self.store.put_contact(rules.apply(contact or Contact(record["id"]), record["properties"]))
        self.store.count("contacts_created" if is_new else "contacts_updated")
        shown = self.store.shown(contact)
        # [rec] what was sent, as it was sent, and the vendor's own
        own = {name: shown[name] for name in ("createdate", "email", "hs_object_id", "lastmodifieddate")}
        return {**rules.document(shown, []), "properties": {**record["properties"], **own}, "new": is_new}

    # subscriptions

    async def definitions(self, _: Request) -> Response:
        now = self.store.now()
        rows = [
            {"id": str(key), "name": name, "description": "", "isActive": True, "isDefault": False,
             "isInternal": False, "createdAt": now, "updatedAt": now, "purpose": "Marketing",
             "communicationMethod": "Email"}
            for key, name in SUBSCRIPTIONS.items()
        ]  # [vdoc]  # fmt: skip
        return self._batch(rows, [])

    def _status(self, email: str, subscription_id: int, reason: str | None = None) -> dict[str, Any]:
        status, at, source = self.store.status(email, subscription_id)
        shown = {"channel": "EMAIL", "source": source, "status": status, "subscriberIdString": email,
                 "subscriptionId": subscription_id, "subscriptionName": SUBSCRIPTIONS[subscription_id],
                 "timestamp": at or "1970-01-01T00:00:00Z"}  # fmt: skip
        return {**shown, **({"setStatusSuccessReason": reason} if reason else {})}

    async def _addresses(self, request: Request) -> tuple[list[str], list[Any]] | None:
        """(good ones, errors about the others)."""
        inputs = (await request.json()).get("inputs")
        if request.query_params.get("channel") != "EMAIL":  # [vdoc] required
            return None
        if not isinstance(inputs, list) or not 1 <= len(inputs) <= rules.MAX_BATCH:  # [unv] how many
            return None
        carries(request, len(inputs))
        good = [email for email in inputs if rules.is_email(email)]
        return good, [_bad_address(email) for email in inputs if not rules.is_email(email)]

    async def statuses(self, request: Request) -> Response:
        found = await self._addresses(request)
        if found is None:
            return rules.error(400, "VALIDATION_ERROR", "channel and inputs are needed")
        rows = [
            {"subscriberIdString": email, "statuses": [self._status(email, one) for one in SUBSCRIPTIONS]}
            for email in found[0]
        ]
        return self._batch(rows, found[1])

    async def wide_statuses(self, request: Request) -> Response:
        found = await self._addresses(request)
        if found is None:
            return rules.error(400, "VALIDATION_ERROR", "channel and inputs are needed")
        rows = []
        for email in found[0]:
            at = self.store.opted_out_at(email)
            wide = {"channel": "EMAIL", "status": "UNSUBSCRIBED", "subscriberIdString": email, "timestamp": at,
                    "wideStatusType": "PORTAL_WIDE"}  # fmt: skip
            rows.append({"subscriberIdString": email, "wideStatuses": [wide] if at else []})
        return self._batch(rows, found[1])

    async def write_statuses(self, request: Request) -> Response:
        inputs = (await request.json()).get("inputs")
        if not isinstance(inputs, list) or not 1 <= len(inputs) <= rules.MAX_BATCH:
            return rules.error(400, "VALIDATION_ERROR", f"1 to {rules.MAX_BATCH} inputs are needed")  # [unv]
        carries(request, len(inputs))
        results: list[Any] = []
        errors: list[Any] = []
        with self.store:
            for one in inputs:
                email, subscription_id = str(one.get("subscriberIdString")), one.get("subscriptionId")
                if not rules.is_email(email):
                    errors.append(_bad_address(email))
                elif subscription_id not in SUBSCRIPTIONS or one.get("channel") != "EMAIL":
                    errors.append(_entry("VALIDATION_ERROR", "no such subscription", {"subscriberIdString": [email]}))
                else:
                    self._set(one, email, subscription_id, results, errors)
        return self._batch(results, errors)

    def _set(
        self, one: dict[str, Any], email: str, subscription_id: int, results: list[Any], errors: list[Any]
    ) -> None:
        """Who opted out of everything is not subscribed [unv]; who left this type alone *is*, and the answer says so
        (vendor's page: v4 subscribes again, v3 does not): a sync that tries is caught by the counter."""
        before, _, _ = self.store.status(email, subscription_id)
        wanted = one["statusState"]
        is_out = wanted == "SUBSCRIBED" and self.store.opted_out_at(email) is not None
        if is_out and self.store.shows_wide_opt_out:
            message = f"{email} has opted out of all communication and cannot be resubscribed."
            errors.append(_entry("VALIDATION_ERROR", message, {"subscriberIdString": [email]}))
            return
        reason = "NO_STATUS_CHANGE" if before == wanted else "REQUESTED_CHANGE_OCCURRED"
        if wanted == "SUBSCRIBED" and before == "UNSUBSCRIBED":
            reason = "RESUBSCRIBE_OCCURRED"
        self.store.count("resubscribed", int(is_out or reason == "RESUBSCRIBE_OCCURRED"))
        if before != wanted:
            self.store.set_status(email, wanted, subscription_id, "API")
        results.append(self._status(email, subscription_id, reason))

    async def unsubscribe_all(self, request: Request) -> Response:
        found = await self._addresses(request)
        if found is None:
            return rules.error(400, "VALIDATION_ERROR", "channel and inputs are needed")
        with self.store:
            for email in found[0]:
                self.store.opt_out(email)
        reason = "UNSUBSCRIBE_FROM_ALL_OCCURRED"
        rows = [
            {"subscriberIdString": email, "statuses": [self._status(email, one, reason) for one in SUBSCRIPTIONS]}
            for email in found[0]
        ]
        is_verbose = request.query_params.get("verbose") == "true"  # [vdoc] else an empty answer
        return self._batch(rows if is_verbose else [], found[1])


def _entry(category: str, message: str, context: dict[str, list[str]]) -> dict[str, Any]:
    """An error inside a batch's answer [sdk]."""
    return {"status": "error", "category": category, "message": message, "context": context, "links": {}, "errors": []}


def _bad_address(email: object) -> dict[str, Any]:
    return _entry("VALIDATION_ERROR", "Invalid subscriber identifier.", {"subscriberIdString": [str(email)]})  # [unv]
