"""A part of a run's page: a title and a body, put together from plots and tables whose every text is escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from seamark.delivery.reports import svg
from seamark.delivery.reports.report import RunReport


@dataclass(frozen=True)
class Section:
    """One part of the page; `id` is its anchor."""

    id: str
    title: str
    body: Markup


# What a file of sections/ holds: None where the run has nothing to say of it.
Build = Callable[[RunReport], Section | None]


def paragraph(text: str, css: str = "") -> Markup:
    """A sentence or two."""
    return Markup('<p class="{}">{}</p>').format(css, text) if css else Markup("<p>{}</p>").format(text)


def figure(title: str, aside: str, plot: svg.Plot) -> Markup:
    """A plot under its title."""
    caption = Markup("<figcaption>{} <small>{}</small></figcaption>").format(title, aside)
    return Markup("<figure>{}{}</figure>").format(caption, svg.draw(plot))


def table(name: str, heads: Sequence[str], rows: Iterable[Sequence[object]], *, right: frozenset[int]) -> Markup:
    """A table; the columns in `right` hold figures. A cell may be Markup, else it is escaped."""

    def cells(cell: Markup, row: Sequence[object]) -> Markup:
        made = (cell.format(Markup(' class="n"') if i in right else "", text) for i, text in enumerate(row))
        return Markup("<tr>{}</tr>").format(Markup("").join(made))

    head = cells(Markup('<th scope="col"{}>{}</th>'), heads)
    body = Markup("\n").join(cells(Markup("<td{}>{}</td>"), row) for row in rows)
    return Markup(
        '<div class="scroll" tabindex="0"><table aria-label="{}"><thead>{}</thead><tbody>{}</tbody></table></div>'
    ).format(name, head, body)


def folded(title: str, body: Markup) -> Markup:
    """A part that opens when asked to."""
    return Markup("<details><summary>{}</summary>{}</details>").format(title, body)


def word(text: str, css: str) -> Markup:
    """A judged word: `css` is passed, failed or unknown."""
    return Markup('<strong class="word {}">{}</strong>').format(css, text)
