"""How pages are made from their templates, which lie beside this file."""

import pathlib

import jinja2

from clusterjax.report.cells import table_text


def make_environment() -> jinja2.Environment:
    """Templates escape what they are given, and refuse names that they do not know."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["table_text"] = table_text
    return environment
