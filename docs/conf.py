"""Sphinx turns the Markdown of this folder into HTML; the pages are written to be read as they are, too."""

from __future__ import annotations

project = "Flask-OAuth-Accounts"
author = "flask-oauth-accounts contributors"
project_copyright = f"2026, {author}"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {"description": "Instant social login for Flask", "fixed_sidebar": True}
html_show_sourcelink = False
html_copy_source = False
