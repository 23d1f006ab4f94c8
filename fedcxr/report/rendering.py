"""Pages from templates: one way to make HTML for every report.

Templates end in `.md` because Flower's app bundle carries no `.html` and refuses to be built when
asked to; their text is HTML, and everything put into it is escaped.
"""

from dataclasses import dataclass
from functools import cache

import jinja2

from fedcxr.report import wording
from fedcxr.results.tables.score_tables import file_stem


@dataclass(frozen=True, slots=True)
class Fact:
    """A name, a value, and what to know about it, as pages list them."""

    name: str
    value: str
    note: str = ""


def render_page(template: str, **values: object) -> str:
    """Return a template as HTML; a name that it uses and that is not given is an error.

    Raises:
        jinja2.UndefinedError: a value is missing.
    """
    return _environment().get_template(template).render(**values).strip() + "\n"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fedcxr.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        fixed=wording.fixed,
        interval=wording.interval,
        count=wording.count,
        percent=wording.percent,
        duration=wording.duration,
        size=wording.size,
        stem=file_stem,
    )
    return environment
