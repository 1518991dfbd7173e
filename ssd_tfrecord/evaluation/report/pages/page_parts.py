"""What pages are made of: numbers, tables, tiles, figures, and the document around them."""

import base64
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from ssd_tfrecord.evaluation.report.outside_text import attribute, markup
from ssd_tfrecord.evaluation.report.pages.page_look import SCRIPT, STYLE
from ssd_tfrecord.evaluation.report.picture_bytes import data_uri

NONE = "–"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many digits after the point; a dash for None and NaN."""
    return NONE if value is None or np.isnan(value) else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    """A difference with its sign, a real minus; a dash for None and NaN."""
    if value is None or np.isnan(value):
        return NONE
    text = f"{value:+.3f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def count(value: int) -> str:
    """A whole number with commas between the thousands."""
    return f"{value:,}"


def percent(value: float) -> str:
    """A share as a whole number of hundredths."""
    return f"{100 * value:.0f} %"


def plural(value: int, noun: str) -> str:
    """A count with its noun, which takes an s unless it is one."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def table(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    foot: Sequence[str] = (),
    kind: str = "wide",
    sorts: bool = False,
) -> str:
    """A table in a box that scrolls sideways by itself.

    Args:
        titles: of the columns, as HTML; those that begin with a space are above text.
        rows: of cells as HTML: the first one is the row's title; those that begin with ``<td`` are
            whole cells.
        foot: a last row that is not sorted.
        kind: classes of CSS.
        sorts: whether a click on a title sorts the rows.
    """
    head = "".join(
        f"<th scope=col{' class=text' if title.startswith(' ') else ''}>"
        f"{f'<button>{title}</button>' if sorts else title}</th>"
        for title in titles
    )
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    end = f"<tfoot><tr>{_cells(foot)}</tr></tfoot>" if foot else ""
    return (
        f"<div class=scroll tabindex=0><table class='{kind}'{' data-sorts' if sorts else ''}>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{end}</table></div>"
    )


def bar_cell(value: float | None, text: str, share: float | None = None) -> str:
    """A cell sorted by ``value``; behind its text a bar: ``share`` of the cell, or ``value``."""
    width = np.nan_to_num(float(value if share is None else share)) if value is not None else 0.0
    return f"<td class=bar data-v={_plain(value)} style='--v:{width:.3f}'>{text}</td>"


def number_cell(value: float | None, text: str | None = None) -> str:
    """A cell that is sorted by ``value``."""
    return f"<td data-v={_plain(value)}>{number(value) if text is None else text}</td>"


def tiles(items: Iterable[tuple[str, str]]) -> str:
    """Some numbers, each with its title, as HTML."""
    return (
        f"<dl class=tiles>{''.join(f'<div><dt>{t}</dt><dd>{v}</dd></div>' for t, v in items)}</dl>"
    )


def picture(name: str, content: bytes, alt: str, *, size: tuple[int, int], caption: str) -> str:
    """A JPEG with its caption; a click on it makes it as wide as the page.

    Args:
        name: of the figure, unique on the page.
        content: the JPEG.
        alt: what it shows, not yet escaped.
        size: (width, height) in pixels.
        caption: as HTML.
    """
    # Browsers keep its place, and decode only what is near.
    attributes = f"width={size[0]} height={size[1]} loading=lazy alt='{attribute(alt, 200)}'"
    return (
        f"<figure id={name}><a href='#{name}'><img src='{data_uri(content)}' {attributes}></a>"
        f"<figcaption>{caption} <a class=less href='#{name}-'>smaller</a></figcaption></figure>"
    )


def key(items: Iterable[tuple[str, str]]) -> str:
    """A legend of (colour of CSS, text as HTML)."""
    rows = (f"<li style='--k:{color}'>{text}</li>" for color, text in items)
    return f"<ul class=key>{''.join(rows)}</ul>"


def box_key() -> str:
    """The legend of boxes in pictures."""
    return (
        "<ul class=key><li style='--k:var(--true)'>right</li>"
        "<li style='--k:var(--false)'>false</li>"
        "<li class=dashed style='--k:var(--missed)'>missed</li></ul>"
    )


def facts(items: Iterable[tuple[str, str]]) -> str:
    """(title, text) pairs from outside."""
    rows = (f"<dt>{markup(title)}</dt><dd>{markup(text, 600)}</dd>" for title, text in items)
    return f"<dl class=facts>{''.join(rows)}</dl>"


def section(name: str, title: str, content: str) -> str:
    """A section with a heading."""
    return f"<section id={name}><h2>{title}</h2>{content}</section>"


def document(title: str, header: str, sections: Iterable[str], footer: str) -> str:
    """A whole page.

    Nothing of it is fetched, and no script runs but the one that sorts tables, whatever a text from
    outside might smuggle in.

    Args:
        title: not yet escaped.
        header: as HTML.
        sections: as HTML.
        footer: as HTML.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return (
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name=viewport content="width=device-width, initial-scale=1">\n'
        '<meta name=color-scheme content="light dark">\n'
        f"<title>{attribute(title)}</title>\n<style>{STYLE}</style></head>\n"
        f"<body><header>{header}</header>\n<main>{''.join(sections)}</main>\n"
        f"<footer class=note>{footer}</footer>\n<script>{SCRIPT}</script></body></html>\n"
    )


def _cells(row: Sequence[str]) -> str:
    cells = (cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in row[1:])
    return f"<th scope=row>{row[0]}</th>{''.join(cells)}"


def _plain(value: float | None) -> str:
    # Below all others, so that what does not count is sorted last.
    return "-1" if value is None or np.isnan(value) else f"{value:.6g}"
