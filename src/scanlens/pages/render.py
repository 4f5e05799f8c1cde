"""Pages as text: one HTML file each that needs nothing else, not even a network."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path

import jinja2


def page_environment() -> jinja2.Environment:
    """Where templates are found: below the package. A missing value is an error, text is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("scanlens", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, filters: Mapping[str, Callable[..., str]] | None = None, **values: object) -> str:
    """Fill a template in; every word from outside is escaped, and a missing value is an error.

    Args:
        template: Path of a ``.j2`` file below the package, e.g. ``manifest/quality.html.j2``. Templates of
            pages extend ``pages/base.html.j2`` and may import ``pages/macros.html.j2``.
        filters: Jinja filters of this page alone, by name.
        values: What the template names.

    Raises:
        jinja2.UndefinedError: A value that the template names is missing.
    """
    found = page_environment()
    found.filters.update(filters or {})
    return found.get_template(template).render(**values)


def embedded(folder: Path, names: Mapping[str, str]) -> dict[str, str]:
    """The PNG files ``<name>.png`` of a folder, as far as they are there, in Base64."""
    paths = {name: folder / f"{name}.png" for name in names}
    return {
        name: base64.b64encode(path.read_bytes()).decode() for name, path in paths.items() if path.is_file()
    }
