"""Small files in the columns of UCI Online Retail, in each format that is read."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.online_retail_read import COLUMNS

Row = tuple[str, str, str | None, int, datetime, float, int | None, str]


def some_rows(n_invoices: int = 60) -> list[Row]:
    """Sales of twelve customers and of nobody, a return, an adjustment, free and repeated lines, odd characters."""
    rows: list[Row] = []
    goods = [("85123A", "WHITE HANGING HEART T-LIGHT HOLDER", 2.55), ("22423", "REGENCY CAKESTAND 3 TIER", 12.75)]
    goods += [
        ("71053", "WHITE METAL LANTERN", 3.39),
        ("POST", "POSTAGE", 18.0),
        ("84879", "ASSORTED BIRD £ ORNAMENT", 1.69),
    ]
    for i in range(n_invoices):
        at = datetime(2010, 12, 1, 8, 26) + timedelta(days=i * 3 % 170, minutes=i)
        customer = None if i % 5 == 4 else 12_346 + i % 12
        country = "EIRE" if i % 12 == 3 else "United Kingdom"
        for code, name, price in goods[i % 3 : i % 3 + 3]:
            rows.append((str(536_365 + i), code, name, 1 + i % 4, at, price, customer, country))
    last = rows[-1]
    day = datetime(2011, 6, 20, 12, 50)
    rows += [last, last]  # exact duplicates
    rows.append(("C540001", "22423", "REGENCY CAKESTAND 3 TIER", -2, day, 12.75, 12_347, "United Kingdom"))
    rows.append(("A540002", "B", "Adjust bad debt", 1, day, -11062.06, None, "United Kingdom"))
    rows.append(("540003", "22139", None, 56, day, 0.0, None, "United Kingdom"))
    rows.append(("540004", "M", " Manual ", 1, day, 0.001, 12_348, "United Kingdom"))
    return rows


def write_parquet(path: Path, rows: Sequence[Row]) -> Path:
    columns = list(zip(*rows, strict=True))
    types = [
        pa.string(),
        pa.string(),
        pa.string(),
        pa.int32(),
        pa.timestamp("us"),
        pa.float64(),
        pa.int32(),
        pa.string(),
    ]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    pq.write_table(pa.table(arrays, names=list(COLUMNS)), path)
    return path


def write_csv(
    path: Path, rows: Sequence[Row], *, encoding: str = "utf-8", date_format: str = "%Y-%m-%d %H:%M:%S"
) -> Path:
    lines = [",".join(COLUMNS)]
    for invoice, code, name, quantity, at, price, customer, country in rows:
        date = at.strftime(date_format)
        if date_format.startswith("%-m"):
            date = f"{at.month}/{at.day}/{at.year} {at.hour}:{at.minute:02d}"
        quoted = "" if name is None else f'"{name}"'
        cells = [invoice, code, quoted, quantity, date, price, "" if customer is None else customer, country]
        lines.append(",".join(str(cell) for cell in cells))
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


def write_xlsx(path: Path, rows: Sequence[Row]) -> Path:
    """A workbook as Excel writes it, in small: numbers are numbers, dates are days since 1900 with a date style."""

    def cell(value: object) -> str:
        if value is None:
            return "<c/>"
        if isinstance(value, datetime):
            days = (value - datetime(1899, 12, 30)) / timedelta(days=1)
            return f'<c s="1"><v>{days!r}</v></c>'
        if isinstance(value, int | float):
            return f"<c><v>{value!r}</v></c>"
        text = str(value)
        if text.isdigit():  # Excel takes codes of digits for numbers
            return f"<c><v>{text}</v></c>"
        return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'

    lines = [COLUMNS, *rows]
    sheet = "".join(f"<row>{''.join(cell(value) for value in line)}</row>" for line in lines)
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    document = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"

    def relations(*targets: tuple[str, str]) -> str:
        inner = "".join(
            f'<Relationship Id="r{i}" Type="{document}/{kind}" Target="{target}"/>'
            for i, (kind, target) in enumerate(targets)
        )
        return f'<Relationships xmlns="{package}/relationships">{inner}</Relationships>'

    parts = {
        "[Content_Types].xml": (
            f'<Types xmlns="{package}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/></Types>'
        ),
        "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": (
            f'<workbook xmlns="{main}" xmlns:r="{document}">'
            '<sheets><sheet name="Orders" sheetId="1" r:id="r0"/></sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": relations(("worksheet", "worksheets/sheet1.xml"), ("styles", "styles.xml")),
        "xl/styles.xml": (
            f'<styleSheet xmlns="{main}">'
            '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>'
        ),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{sheet}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + text)
    return path
