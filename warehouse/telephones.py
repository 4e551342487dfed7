"""Telephone numbers in messages: found as people write them, and told from the other numbers that messages hold."""

from __future__ import annotations

import re

TELEPHONE = "[telephone]"
_BETWEEN = r"[ \u00a0\u202f./()\u2010-\u2015-]{1,3}"
_GROUP = rf"(?:{_BETWEEN}(?!\d{{4}}-\d\d-\d\d|\d\d?:\d)\d+)"
"""Digits after what people put between them, but no date and no time of day."""
_FRONT = r"(?<![\w.,:/+@#-])"
_END = r"(?!(?!x\d)\w|[.,:/-]\d)"
"""Not inside a word, a path, a decimal or an id."""
_NUMBER = re.compile(
    rf"""
    (?P<other>
        {_FRONT}\d\d?([./-])\d\d?\2\d{{4}}(?!\d)                        # 01.02.2026
        | {_FRONT}[1-9]\d{{0,2}}(?:([ \u00a0\u202f])\d{{3}})(?:\3\d{{3}})+(?!\d|\3\d|-)  # 1 034 567
    )
    | (?P<international>
        (?<![\w.+])\+[1-9](?:\d{{9,14}}(?!\d)|\d{{0,14}}{_GROUP}*)       # +4915112345678, +49 (0)151 123-45678
        | {_FRONT}00[1-9]\d{{9,12}}(?!\w)                               # 004915112345678
        | {_FRONT}00\ ?[1-9]\d{{0,8}}{_GROUP}+{_END}                    # 0049 151 12345678
    )
    | (?P<national>
        {_FRONT}0[1-9]\d{{8,10}}(?!\w|[.,:/-]\d)                        # 015112345678
        | {_FRONT}\(?0[1-9]\d{{0,4}}{_GROUP}+{_END}                     # 0151/12345678, (030) 901820
        | {_FRONT}(?:1[ .-])?(?:\([2-9]\d\d\)\ ?|[2-9]\d\d[ .-])\d{{3}}[ .-]\d{{4}}{_END}  # (212) 555-0123
    )""",
    re.VERBOSE,
)
_NAMED = re.compile(
    r"(\b(?:\w+_)?(?:phone|tel|mobile|fon|handy|(?:tele|mobil)(?:phone|fon))(?:[_ ]?(?:number|nummer|nr|no))?\b"
    r"[\s'\"=:.]{1,4})(?!\d{4}-\d\d-\d\d)"
    rf"(\+?\(?\d(?:(?:{_BETWEEN})?\d){{6,14}})(?!\d|[.,:]\d)",
    re.IGNORECASE,
)
"""`phone='2125550123'`: what is called a telephone is one, however it is written."""
_FEWEST = {"international": 7, "national": 9}
_MOST = {"international": 18, "national": 13}
"""Digits. E.164 has 15 at most; 00 in front and a (0) inside make 18."""


def without_telephones(text: str) -> str:
    """`text` with `[telephone]` for whatever looks like one; counts, dates, instants, ids and versions stay.

    A national number is known by its 0 in front, by North American grouping, or by a word such as phone before it:
    other plain digits are taken for an id or a count.
    """
    return _NUMBER.sub(_masked, _NAMED.sub(rf"\g<1>{TELEPHONE}", text))


def _masked(match: re.Match[str]) -> str:
    """The telephone; what follows it after too many digits is looked at anew."""
    kind, found = match.lastgroup or "", match[0]
    if kind not in _FEWEST:
        return found
    end = n_digits = 0
    for group in re.finditer(r"\d+", found):
        if n_digits + len(group[0]) > _MOST[kind]:
            break
        n_digits += len(group[0])
        end = group.end()
    return TELEPHONE + without_telephones(found[end:]) if n_digits >= _FEWEST[kind] else found
