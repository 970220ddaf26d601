"""Reads the settings of a running Zeppelin over REST."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from nbkeras.errors import ZeppelinError
from nbkeras.zeppelin.settings import GROUPS

#: Path of the interpreters' settings in the REST API; the id of a setting follows it.
INTERPRETERS = "/api/interpreter/setting"
#: What a change has to repeat beside the properties, as it is in a new interpreter.
OTHER_PARTS: dict[str, Any] = {"option": {"remote": True}, "dependencies": []}

_SECONDS = 10  # a server that says nothing for so long is not there


@dataclass(frozen=True)
class Interpreter:
    """An interpreter's settings, as a server gives them.

    Attributes:
        id: that its address ends with.
        group: "python" or "spark".
        properties: by name, its ``name``, ``value``, ``type`` and whatever else Zeppelin stores.
        rest: its own `OTHER_PARTS`.
    """

    id: str
    group: str
    properties: dict[str, dict[str, Any]]
    rest: dict[str, Any]

    def value(self, name: str) -> str:
        """A property's value as text, empty when it is not set.

        Example:
            >>> Interpreter("python", "python", {"a.b": {"value": True}}, {}).value("a.b")
            'True'
        """
        value = self.properties.get(name, {}).get("value")
        return "" if value is None else str(value).strip()


@dataclass(frozen=True)
class Server:
    """A running Zeppelin.

    Attributes:
        address: that its REST API begins with, without ``/api``.
        version: as it says.
        interpreters: by group; at least one of "python" and "spark".
    """

    address: str
    version: str
    interpreters: dict[str, Interpreter]


def ask(address: str) -> Server:
    """A running Zeppelin's version and its interpreters' settings.

    Args:
        address: as in the browser, such as ``http://127.0.0.1:8080``.

    Raises:
        ZeppelinError: nothing answers there, or no Zeppelin, or it wants a login, or it has neither
            group of interpreters.

    Example:
        >>> ask("ftp://somewhere")
        Traceback (most recent call last):
        nbkeras.errors.ZeppelinError: 'ftp://somewhere' is no address of a Zeppelin; ...
    """
    base = _base(address)
    version = _version(base)
    interpreters = _interpreters(base)
    if not interpreters:
        raise ZeppelinError(
            f"Zeppelin {version} at {base} has no interpreter of the group python or spark; "
            "install one with bin/install-interpreter.sh --name python and create it in its menu Interpreter"
        )
    return Server(base, version, interpreters)


def _version(base: str) -> str:
    version = _get(base, "/api/version")
    version = version.get("version") if isinstance(version, dict) else version
    if not isinstance(version, str) or not re.match(r"\d+\.\d+", version):
        raise _not_zeppelin(base, "it tells no version")
    return version


def _interpreters(base: str) -> dict[str, Interpreter]:
    found = _get(base, INTERPRETERS)
    if not isinstance(found, list):
        raise _not_zeppelin(base, "it lists no interpreters")
    return {group: i for group in GROUPS if (i := _choose(found, group))}


def _base(address: str) -> str:
    # As it stands in the browser's address line, or without http://.
    try:
        parts = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ZeppelinError(f"{address!r} is no address of a Zeppelin; one looks like http://127.0.0.1:8080")
    path = re.sub(r"/(api|classic|new|next)?/?$", "", parts.path)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"


def _get(base: str, path: str) -> Any:
    """The ``body`` of an answer of the REST API."""
    try:
        request = urllib.request.Request(base + path, headers={"Accept": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310  # _base lets http pass
            text = answer.read()
    except urllib.error.HTTPError as error:
        # Zeppelin redirects anonymous users to its login, which does not accept GET.
        if error.code in (401, 403) or re.search(r"/login(;|$)", error.url):
            raise ZeppelinError(
                f"Zeppelin at {base} wants a login, so its settings cannot be read; type `nbkeras zeppelin` "
                "and compare with its menu Interpreter"
            ) from None
        raise _not_zeppelin(base, f"{path} gives {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ZeppelinError(
            f"no Zeppelin can be reached at {base}: {reason}; start it with bin/zeppelin-daemon.sh start, "
            "or give its address"
        ) from None
    try:
        return json.loads(text)["body"]
    except (ValueError, KeyError, TypeError):
        raise _not_zeppelin(base, f"{path} gives something else") from None


def _not_zeppelin(base: str, reason: str) -> ZeppelinError:
    return ZeppelinError(f"what answers at {base} is no Zeppelin: {reason}; give the address of one")


def _choose(found: list[Any], group: str) -> Interpreter | None:
    # The setting with the group's name, else any: users may add more.
    of_group = [one for one in found if isinstance(one, dict) and one.get("group") == group and "id" in one]
    if not of_group:
        return None
    chosen = min(of_group, key=lambda one: one.get("name") != group)
    properties = {name: _entry(name, entry) for name, entry in (chosen.get("properties") or {}).items()}
    rest = {part: chosen.get(part) or new for part, new in OTHER_PARTS.items()}
    return Interpreter(str(chosen["id"]), group, properties, rest)


def _entry(name: str, entry: Any) -> dict[str, Any]:
    return entry if isinstance(entry, dict) else {"name": name, "value": entry, "type": "string"}
