"""The scripts of the widgets: small modules, joined into the single script that a widget may have."""

from __future__ import annotations

import re
from pathlib import Path

_HERE = Path(__file__).parent
#: The only form of import that is supported is `import { a, b } from "./c.js";`.
_IMPORT = re.compile(r'^import \{([\w\s,$]*)\} from "\./([\w.-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|let|class)\b)", re.MULTILINE)


def script(name: str) -> str:
    """Put a module and everything that it imports into one script, each before those that import it.

    All modules share one scope, so a name may be defined in one of them only:
    the browser refuses the script otherwise.

    Args:
        name: the name of a file in this folder.

    Example:
        >>> made = script("dom.js")  # which imports number.js
        >>> made.startswith("// -- number.js --"), "// -- dom.js --" in made, "export" in made
        (True, True, False)
    """
    return "\n".join(_collect(name, {}).values())


def style(*names: str) -> str:
    """The style sheets of this folder, one after the other.

    Args:
        names: the names of the files.

    Example:
        >>> ".nbkeras" in style("panel.css")
        True
    """
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)


def _collect(name: str, found: dict[str, str]) -> dict[str, str]:
    if name in found:
        return found
    source = (_HERE / name).read_text(encoding="utf-8")
    for _, needed in _IMPORT.findall(source):
        _collect(needed, found)
    # The name of the file helps in the browser's debugger.
    found[name] = f"// -- {name} --\n" + _EXPORT.sub("", _IMPORT.sub("", source))
    return found
