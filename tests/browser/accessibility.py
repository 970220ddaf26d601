"""What axe-core finds wrong for people who see, hear or point otherwise."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe


def findings(page, selector: str) -> list[str]:
    """The serious and critical findings in one part of a page: the rule, and the element that breaks it."""
    found = Axe().run(page, context={"include": [[selector]]}).response
    assert found["passes"] or found["violations"], f"axe-core has looked at nothing: {selector}"
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
