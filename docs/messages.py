"""The texts that visitors read, collected into the catalogues of ``flask_oauth_accounts/translations``.

``make messages`` brings the catalogues up to date and compiles them; what needs a translator is named, and must be
filled in by hand in the ``.po`` files. With ``--check`` nothing is written, and the exit status is 1 where something
would be or is missing. A further language is begun with ``python docs/messages.py --add <language>``.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "flask_oauth_accounts"
CATALOGUES = PACKAGE / "translations"
DOMAIN = "oauth_accounts"
HEADER = """# {name} texts of the pages.
msgid ""
msgstr ""
"Language: {locale}\\n"
"Plural-Forms: {plural}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
KEYWORDS = {"_": None, "translate": None, "mark": None, "translate_count": (1, 2)}

Text = str | tuple[str, ...]


def list_messages() -> dict[Text, set[str]]:
    """Collect every text from code, templates and error classes.

    :return: each text, singular and plural as a pair, with the files that it stands in.
    """
    found: dict[Text, set[str]] = {}
    for folder, method in ((PACKAGE, [("**.py", "python")]), (ROOT / "templates", [("**.html", "jinja2")])):
        for name, _, text, _, _ in extract_from_dir(str(folder), method, keywords=KEYWORDS, strip_comment_tags=True):
            if text and not name.startswith("testing/"):
                place = (folder / name).relative_to(ROOT).as_posix()
                found.setdefault(tuple(text) if isinstance(text, list | tuple) else text, set()).add(place)
    for path in sorted(PACKAGE.rglob("*.py")):
        for text in filter(None, _list_visitor_texts(ast.parse(path.read_text("utf-8")))):
            found.setdefault(text, set()).add(path.relative_to(ROOT).as_posix())
    return found


def _list_visitor_texts(module: ast.Module) -> Iterator[str]:
    """The sentences of error classes: their attribute ``visitor``, and what the property over it returns instead."""
    for node in ast.walk(module):
        if not isinstance(node, ast.ClassDef):
            continue
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "visitor_message":
                values = [inner.value for inner in ast.walk(item) if isinstance(inner, ast.Return)]
            elif isinstance(item, ast.Assign | ast.AnnAssign) and "visitor" in _name_targets(item):
                values = [item.value]
            else:
                continue
            yield from (
                value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)
            )


def _name_targets(item: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = item.targets if isinstance(item, ast.Assign) else [item.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def create_template() -> Catalog:
    """:return: a catalogue of all texts, without translations and without dates, so that it changes with them only."""
    template = Catalog(domain=DOMAIN, project="flask-oauth-accounts", charset="utf-8")
    for text, places in sorted(list_messages().items(), key=lambda item: str(item[0])):
        template.add(text, locations=[(place, 0) for place in sorted(places)])
    return template


def list_gaps(catalogue: Catalog) -> list[str]:
    """:return: what a translator has to fill in or look at."""
    return [str(message.id) for message in catalogue if message.id and (message.fuzzy or not _is_complete(message))]


def _is_complete(message: Message) -> bool:
    strings = message.string if isinstance(message.string, list | tuple) else (message.string,)
    return bool(strings) and all(strings)


def update(path: Path, template: Catalog) -> tuple[Catalog, bytes, bytes]:
    """Bring one catalogue up to date in memory.

    :param path: of the ``.po`` file.
    :param template: from :func:`create_template`.
    :return: the catalogue, its text, and the compiled one.
    """
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.parent.parent.name, domain=DOMAIN)
    catalogue.update(template, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    body, compiled = BytesIO(), BytesIO()
    write_po(body, catalogue, width=100, omit_header=True, sort_output=True, include_lineno=False)
    write_mo(compiled, catalogue)
    header = HEADER.format(name=catalogue.locale.english_name, locale=catalogue.locale, plural=catalogue.plural_forms)
    return catalogue, header.encode() + body.getvalue(), compiled.getvalue()


def read_compiled(content: bytes) -> dict[str, object]:
    """:return: what a compiled catalogue says, without the dates and versions in its header."""
    return {str(message.id): message.string for message in read_mo(BytesIO(content)) if message.id}


def run(*, check: bool, add: str | None) -> int:
    """:return: the exit status."""
    template = create_template()
    if add:
        path = CATALOGUES / add / "LC_MESSAGES" / f"{DOMAIN}.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with path.open("wb") as file:
                write_po(file, Catalog(locale=add, domain=DOMAIN, project="flask-oauth-accounts", charset="utf-8"))
    status = 0
    for path in sorted(CATALOGUES.glob(f"*/LC_MESSAGES/{DOMAIN}.po")):
        catalogue, text, compiled = update(path, template)
        binary = path.with_suffix(".mo")
        is_compiled = binary.exists() and read_compiled(binary.read_bytes()) == read_compiled(compiled)
        for target, content, is_same in ((path, text, path.read_bytes() == text), (binary, compiled, is_compiled)):
            if is_same:
                continue
            if check:
                print(f"{target.relative_to(ROOT)} is out of date; run: make messages")
                status = 1
            else:
                target.write_bytes(content)
        for gap in list_gaps(catalogue):
            print(f"{path.relative_to(ROOT)}: to be translated: {gap}")
            status = 1
    return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--add", metavar="LANGUAGE", help="begin a further language, such as nl or pt_BR")
    options = parser.parse_args()
    sys.exit(run(check=options.check, add=options.add))
