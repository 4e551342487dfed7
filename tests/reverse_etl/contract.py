"""Holds requests and answers to the vendor's specification (Swagger 2.0 or OpenAPI 3), as an httpx transport.

Stricter than the specification where it is silent: an unknown path, method, query parameter or field is an error, in
requests and in answers alike. Limits that it states in prose alone come from `<vendor>_overlay.yml`.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml
from jsonschema import Draft4Validator, Draft202012Validator, FormatChecker
from jsonschema.protocols import Validator

from warehouse.settings import PROJECT_DIR

HERE = Path(__file__).parent


class ContractError(AssertionError):
    """What was sent or answered is not what the vendor's specification says."""


def _strict(schema: Any, *, request: bool) -> Any:
    """Objects with declared properties take no others; read-only properties are none of a request's business."""
    result = {key: value for key, value in schema.items() if key not in {"example", "examples"}}
    for key in ("allOf", "anyOf", "oneOf"):
        if key in result:
            result[key] = [_strict(item, request=request) for item in result[key]]
    if isinstance(result.get("items"), dict):
        result["items"] = _strict(result["items"], request=request)
    if isinstance(result.get("additionalProperties"), dict):
        result["additionalProperties"] = _strict(result["additionalProperties"], request=request)
    if "properties" in result:
        result["properties"] = {
            name: _strict(value, request=request)
            for name, value in result["properties"].items()
            if not (request and value.get("readOnly"))
        }
        result.setdefault("additionalProperties", False)
    return result


def _at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """`members[].email` inside a schema."""
    for part in path.split("."):
        schema = schema["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            schema = schema["items"]
    return schema


def _plain(spec: dict[str, Any], node: Any, inside: tuple[str, ...] = ()) -> Any:
    """An OpenAPI 3 schema without references, `nullable` and `allOf`: what JSON Schema says the same with."""
    if isinstance(node, list):
        return [_plain(spec, item, inside) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        if node["$ref"] in inside:
            return {}  # goes on as deep as one likes
        found: Any = spec
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _plain(spec, {**found, **beside}, (*inside, node["$ref"]))
    result = {
        key: {name: _plain(spec, item, inside) for name, item in value.items()}
        if key in {"properties", "patternProperties"}
        else value
        if key in {"enum", "const", "default", "required"}
        else _plain(spec, value, inside)
        for key, value in node.items()
        if key not in {"example", "examples", "nullable"}
    }
    parts = result.pop("allOf", None)
    for part in parts or []:
        result = _both(result, part)
    return {"anyOf": [result, {"type": "null"}]} if node.get("nullable") else result


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """One object schema that has what two have; what both have is merged in turn."""
    result = {**other, **one}
    if "required" in one or "required" in other:
        result["required"] = sorted({*one.get("required", []), *other.get("required", [])})
    if "properties" in one and "properties" in other:
        result["properties"] = {**other["properties"], **one["properties"]}
        for name in one["properties"].keys() & other["properties"].keys():
            mine, its = one["properties"][name], other["properties"][name]
            if "properties" in mine and "properties" in its:
                result["properties"][name] = _both(mine, its)
    return result


def _swagger_shape(spec: dict[str, Any], operation: dict[str, Any], shared: list[Any]) -> dict[str, Any]:
    """An OpenAPI 3 operation as `Operation` takes it."""
    parameters = []
    for given in [*shared, *operation.get("parameters", [])]:
        parameter = _plain(spec, given)
        parameters.append({**parameter.get("schema", {}), "name": parameter["name"], "in": parameter["in"],
                           "required": parameter.get("required", False)})  # fmt: skip
    for kind, content in (_plain(spec, operation.get("requestBody") or {}).get("content") or {}).items():
        parameters.append({"name": "body", "in": "body", "schema": content.get("schema", {}), "media_type": kind})
        break
    responses: dict[str, Any] = {}
    for status, answer in operation["responses"].items():
        contents = list((_plain(spec, answer).get("content") or {}).values())
        responses[str(status)] = {"schema": contents[0].get("schema")} if contents else {}
    return {"parameters": parameters, "responses": responses}


class Operation:
    """One operation: its path as in the specification, parameters, validators (made when first needed)."""

    def __init__(
        self,
        base: str,
        path: str,
        method: str,
        spec: dict[str, Any],
        overlay: dict[str, Any],
        *,
        is_swagger: bool = True,
    ) -> None:
        self.method, self.path, self._spec, self._overlay = method, path, spec, overlay
        self._validator = (
            Draft4Validator
            if is_swagger
            else functools.partial(Draft202012Validator, format_checker=FormatChecker(["uuid", "email", "date"]))
        )
        self.headers = {
            p["name"].lower() for p in spec.get("parameters", []) if p["in"] == "header" and p.get("required")
        }
        self.pattern = re.compile(re.sub(r"\\\{[^}]+\\\}", "([^/]+)", re.escape(base + path)))
        self.query = {p["name"]: p for p in spec.get("parameters", []) if p["in"] == "query"}

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @functools.cached_property
    def media_type(self) -> str | None:
        """What the body has to be sent as, where the specification says so."""
        return next((p.get("media_type") for p in self._spec.get("parameters", []) if p["in"] == "body"), None)

    @functools.cached_property
    def body(self) -> Validator | None:
        schema = next((p["schema"] for p in self._spec.get("parameters", []) if p["in"] == "body"), None)
        if schema is None:
            return None
        strict = _strict(copy.deepcopy(schema), request=True)
        extra = self._overlay["operations"].get(self.name, {})
        for where, limits in extra.get("body", {}).items():
            _at(strict, where).update({k: v for k, v in limits.items() if k not in {"quote", "source"}})
        return self._validator(strict)

    @functools.cached_property
    def answers(self) -> dict[str, Validator | None]:
        result: dict[str, Validator | None] = {}
        for status, answer in self._spec["responses"].items():
            result[str(status)] = None
            if answer.get("schema"):
                strict = _strict(copy.deepcopy(answer["schema"]), request=False)
                for marker, allowed in self._overlay.get("answers_also_have", {}).items():
                    _also(strict, marker, allowed["schema"])
                result[str(status)] = self._validator(strict)
        return result


def _complain(validator: Validator, value: Any, what: str) -> None:
    for error in validator.iter_errors(value):
        where = "/".join(str(p) for p in error.absolute_path)
        raise ContractError(f"{what}: {where or 'body'}: {error.message[:200]}")


class Contract:
    """All operations of one vendor's specifications."""

    def __init__(self, specs: Sequence[dict[str, Any]], overlay: dict[str, Any]) -> None:
        self.operations: list[Operation] = []
        self.seen: set[str] = set()
        for spec in specs:
            is_swagger = "swagger" in spec
            base = spec["basePath"] if is_swagger else ""
            for path, methods in spec["paths"].items():
                shared = methods.get("parameters", [])
                for method, operation in methods.items():
                    if method not in {"get", "put", "post", "patch", "delete"}:
                        continue
                    shaped = operation if is_swagger else _swagger_shape(spec, operation, shared)
                    self.operations.append(
                        Operation(base, path, method.upper(), shaped, overlay, is_swagger=is_swagger)
                    )

    def find(self, method: str, path: str) -> Operation:
        """The operation, the one with the fewest parameters in its path where several match."""
        fitting = [o for o in self.operations if o.method == method and o.pattern.fullmatch(path)]
        if not fitting:
            raise ContractError(f"the vendor has no {method} {path}")
        return min(fitting, key=lambda operation: operation.path.count("{"))

    def check_request(
        self, method: str, path: str, query: list[tuple[str, str]], body: Any, headers: Mapping[str, str] | None = None
    ) -> Operation:
        operation = self.find(method, path)
        if headers is not None:
            missing = {name for name in operation.headers if name not in {given.lower() for given in headers}}
            if missing:
                raise ContractError(f"{operation.name} needs the headers {', '.join(sorted(missing))}")
            sent_as = headers.get("content-type", "").partition(";")[0]
            if body is not None and operation.media_type not in (None, sent_as):
                raise ContractError(f"{operation.name} takes {operation.media_type}, not {sent_as}")
        for name, value in query:
            if name not in operation.query:
                raise ContractError(f"{operation.name} has no query parameter {name}")
            self._check_parameter(operation, name, value)
        if operation.body is None:
            if body not in (None, {}):
                raise ContractError(f"{operation.name} takes no body")
        else:
            _complain(operation.body, body, f"request {operation.name}")
        self.seen.add(operation.name)
        return operation

    @staticmethod
    def _check_parameter(operation: Operation, name: str, value: str) -> None:
        schema = operation.query[name]
        kind = schema.get("type")
        converted: Any = value
        if kind in {"integer", "number"}:
            converted = int(value) if re.fullmatch(r"-?\d+", value) else value
        elif kind == "boolean":
            converted = {"true": True, "false": False}.get(value, value)
        elif kind == "array":
            converted = value.split(",")
        limits = {k: v for k, v in schema.items() if k in {"type", "enum", "maximum", "minimum", "items"}}
        _complain(Draft4Validator(limits), converted, f"parameter {name} of {operation.name}")

    def check_answer(self, operation: Operation, status: int, body: Any) -> None:
        known = next((s for s in (str(status), f"{status // 100}XX") if s in operation.answers), None)
        if known is not None:
            validator = operation.answers[known]
            if validator is None:
                if body is not None:
                    raise ContractError(f"{operation.name} answers {status} without a body")
                return
            _complain(validator, body, f"answer {status} of {operation.name}")
        elif status < 300:
            raise ContractError(f"{operation.name} never answers {status}")
        elif body is not None:
            validator = operation.answers.get("default")
            if validator is not None:
                _complain(validator, body, f"answer {status} of {operation.name}")


def _also(schema: dict[str, Any], marker: str, properties: dict[str, Any]) -> None:
    """Wherever an object has the property `marker`, allow `properties` too: seen in recordings, not in the spec."""
    own = schema.get("properties", {})
    if marker in own:
        for name, value in properties.items():
            own.setdefault(name, value)
    for value in [*own.values(), *([schema["items"]] if isinstance(schema.get("items"), dict) else [])]:
        _also(value, marker, properties)


@functools.cache
def load_contract(vendor: str, *paths: Path) -> Contract:
    """The specifications in these files, with `<vendor>_overlay.yml`."""
    specs = [
        json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=yaml.CSafeLoader)
        for path in paths
        for text in [path.read_text(encoding="utf-8")]
    ]
    return Contract(specs, yaml.safe_load((HERE / f"{vendor}_overlay.yml").read_text(encoding="utf-8")))


SPECS: Mapping[str, tuple[str, ...]] = {
    "mailchimp": ("mailchimp/list-id.yml", "mailchimp/events.yml", "mailchimp/reports.yml"),
    "klaviyo": ("klaviyo/profiles.json", "klaviyo/lists.json", "klaviyo/events.json", "klaviyo/metrics.json"),
    "sendgrid": (
        "sendgrid/tsg_mc_contacts_v3.json",
        "sendgrid/tsg_mc_lists_v3.json",
        "sendgrid/tsg_mc_custom_fields_v3.json",
        "sendgrid/tsg_suppressions_v3.json",
    ),
}
"""The vendors' own specifications, where the shared data are."""


@functools.cache
def contract_at_hand(vendor: str) -> Contract | None:
    """The vendor's contract, if its specification is at hand.

    HubSpot's may not be shipped: its contract is our own, written from its pages, its client and recordings.
    """
    if vendor == "hubspot":
        spec = yaml.safe_load((HERE / "hubspot_contract.yml").read_text(encoding="utf-8"))
        return Contract([spec], {"operations": {}})
    root = Path(os.environ.get("MAILWRIGHT_SHARED", PROJECT_DIR.parent / "shared")) / "specs"
    paths = [root / name for name in SPECS[vendor]]
    return load_contract(vendor, *paths) if all(path.exists() for path in paths) else None


class ContractTransport(httpx.BaseTransport):
    """Sends over real HTTP; validates what goes out before, and what comes back after."""

    def __init__(
        self,
        contract: Contract,
        inner: Callable[[], httpx.BaseTransport] = httpx.HTTPTransport,
        outside: Sequence[re.Pattern[str]] = (),
    ) -> None:
        self.contract = contract
        self.outside = outside
        """Addresses that are none of the API's: files that it links to."""
        self.downloads: list[httpx.Request] = []
        self._make = inner
        self.inner = inner()
        self.log: list[tuple[str, str, Any, int]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if any(pattern.fullmatch(str(request.url)) for pattern in self.outside):
            self.downloads.append(request)
            return self.inner.handle_request(request)
        body = json.loads(request.content) if request.content else None
        operation = self.contract.check_request(
            request.method, request.url.path, list(request.url.params.multi_items()), body, request.headers
        )
        response = self.inner.handle_request(request)
        response.read()
        answer = response.json() if response.content and "json" in response.headers["content-type"] else None
        self.log.append((request.method, request.url.path, body, response.status_code))
        self.contract.check_answer(operation, response.status_code, answer)
        return response

    def close(self) -> None:
        self.inner.close()
        self.inner = self._make()  # the next destination of the same test opens it again
