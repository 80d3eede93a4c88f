"""How the documentation is built: `make docs`. Nothing is fetched; what can be drawn from the code is."""

import importlib
import importlib.metadata
import sys
from pathlib import Path

from docutils.nodes import Element, TextElement  # type: ignore[import-untyped]
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "Xsocket"
author = "the Xsocket maintainers"
release = importlib.metadata.version("xsocket")

extensions = [
    *("myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"),
    *(
        "from_code",
        "rules_from_code",
        "fuzz_cases_from_code",
        "linux_from_code",
        "lessons_from_code",
        "code_pictures",
        "designs",
        "fields_from_code",
        "conformance",
        "pkt",
    ),
]
exclude_patterns = ["_build", "extensions", "conformance"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "Xsocket"
html_copy_source = False
html_show_copyright = False

# Docstrings are Google style; `name` in them links where there is something to link to, else it is code.
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
maximum_signature_line_length = 90
python_use_unqualified_type_names = True
add_module_names = False

# Nothing to link to: names of other projects, whose inventories would have to be fetched, and what a
# docstring merely sets in code. A reference to a name of ours still has to lead somewhere.
nitpick_ignore_regex = [
    (r"py:obj", r".*"),
    (r"py:.*", r"(?!xsocket).*"),
    (r"py:.*", r"xsocket(_netns)?\.[a-z_.]+\.(T|C|P)"),
    (r"py:class", r"xsocket\.wire\.(codec|arp|icmp)\.\w+Packet"),  # what elements of a path look into
    (
        r"py:class",
        r"xsocket\.simulation\.port\.ImpairmentFields",
    ),  # those of Impairments, which is documented
    (r"py:class", r"xsocket_tools\.(fuzzing|learning)\..*"),  # parts of what experiments of lessons give
]

PUBLIC = ("xsocket", "xsocket_netns")


def resolve_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: TextElement
) -> Element | None:
    """Lead ``xsocket.runtime.Engine`` or ``Engine`` to ``xsocket.Engine``, where it is documented."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    for package in PUBLIC:
        public = importlib.import_module(package).__all__
        parts = target.removeprefix(f"{package}.").split(".")
        for position, part in enumerate(parts):
            if part in public:
                name = ".".join([package, *parts[position:]])
                return _reference(app, env, node, content, name)
    return None


def _reference(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: TextElement, name: str
) -> Element | None:
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, content)


def skip_field_numbers(
    app: Sphinx, what: str, name: str, thing: object, skip: bool, options: object
) -> bool | None:
    """Leave out what a `NamedTuple` says of its fields by itself: the class describes them."""
    del app, what, name, skip, options
    return True if (getattr(thing, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> None:
    """Connect the two above."""
    app.connect("missing-reference", resolve_public_name)
    app.connect("autodoc-skip-member", skip_field_numbers)
