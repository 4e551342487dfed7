"""Holds requests and answers to the vendor's Swagger 2.0 specification, in process, as an httpx transport.

Stricter than the specification where it is silent: an unknown path, method, query parameter or field is an error, in
requests and in answers alike. Limits that it states in prose alone come from `mailchimp_overlay.yml`.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from pathlib import Path
from typing import Any

import httpx
import yaml
from jsonschema import Draft4Validator

OVERLAY = Path(__file__).with_name("mailchimp_overlay.yml")


class ContractError(AssertionError):
    """What was sent or answered is not what the vendor's specification says."""


def _strict(schema: Any, *, request: bool) -> Any:
    """Objects with declared properties take no others; read-only properties are none of a request's business."""
    result = {key: value for key, value in schema.items() if key != "example"}
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


class Operation:
    """One operation: its path as in the specification, parameters, validators (made when first needed)."""

    def __init__(self, base: str, path: str, method: str, spec: dict[str, Any], overlay: dict[str, Any]) -> None:
        self.method, self.path, self._spec, self._overlay = method, path, spec, overlay
        self.pattern = re.compile(re.sub(r"\\\{[^}]+\\\}", "([^/]+)", re.escape(base + path)))
        self.query = {p["name"]: p for p in spec.get("parameters", []) if p["in"] == "query"}

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @functools.cached_property
    def body(self) -> Draft4Validator | None:
        schema = next((p["schema"] for p in self._spec.get("parameters", []) if p["in"] == "body"), None)
        if schema is None:
            return None
        strict = _strict(copy.deepcopy(schema), request=True)
        extra = self._overlay["operations"].get(self.name, {})
        for where, limits in extra.get("body", {}).items():
            _at(strict, where).update({k: v for k, v in limits.items() if k not in {"quote", "source"}})
        return Draft4Validator(strict)

    @functools.cached_property
    def answers(self) -> dict[str, Draft4Validator | None]:
        result: dict[str, Draft4Validator | None] = {}
        for status, answer in self._spec["responses"].items():
            result[str(status)] = None
            if answer.get("schema"):
                strict = _strict(copy.deepcopy(answer["schema"]), request=False)
                for marker, allowed in self._overlay["answers_also_have"].items():
                    _also(strict, marker, allowed["schema"])
                result[str(status)] = Draft4Validator(strict)
        return result


def _complain(validator: Draft4Validator, value: Any, what: str) -> None:
    for error in validator.iter_errors(value):
        where = "/".join(str(p) for p in error.absolute_path)
        raise ContractError(f"{what}: {where or 'body'}: {error.message[:200]}")


class Contract:
    """All operations of one specification."""

    def __init__(self, spec: dict[str, Any], overlay: dict[str, Any]) -> None:
        self.base = spec["basePath"]
        self.operations: list[Operation] = []
        self.seen: set[str] = set()
        for path, methods in spec["paths"].items():
            for method, operation in methods.items():
                self.operations.append(Operation(self.base, path, method.upper(), operation, overlay))

    def find(self, method: str, path: str) -> Operation:
        for operation in self.operations:
            if operation.method == method and operation.pattern.fullmatch(path):
                return operation
        raise ContractError(f"the vendor has no {method} {path}")

    def check_request(self, method: str, path: str, query: list[tuple[str, str]], body: Any) -> Operation:
        operation = self.find(method, path)
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
        if kind == "integer":
            converted = int(value) if re.fullmatch(r"-?\d+", value) else value
        elif kind == "boolean":
            converted = {"true": True, "false": False}.get(value, value)
        elif kind == "array":
            converted = value.split(",")
        limits = {k: v for k, v in schema.items() if k in {"type", "enum", "maximum", "minimum", "items"}}
        _complain(Draft4Validator(limits), converted, f"parameter {name} of {operation.name}")

    def check_answer(self, operation: Operation, status: int, body: Any) -> None:
        if str(status) in operation.answers:
            validator = operation.answers[str(status)]
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
def load_contract(path: Path) -> Contract:
    spec = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return Contract(spec, yaml.safe_load(OVERLAY.read_text(encoding="utf-8")))


class ContractTransport(httpx.BaseTransport):
    """Sends over real HTTP; validates what goes out before, and what comes back after."""

    def __init__(self, contract: Contract, inner: httpx.BaseTransport | None = None) -> None:
        self.contract = contract
        self.inner = inner or httpx.HTTPTransport()
        self.log: list[tuple[str, str, Any, int]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        operation = self.contract.check_request(
            request.method, request.url.path, list(request.url.params.multi_items()), body
        )
        response = self.inner.handle_request(request)
        response.read()
        answer = response.json() if response.content and "json" in response.headers["content-type"] else None
        self.log.append((request.method, request.url.path, body, response.status_code))
        self.contract.check_answer(operation, response.status_code, answer)
        return response

    def close(self) -> None:
        self.inner.close()
        self.inner = httpx.HTTPTransport()  # the next destination of the same test opens it again
