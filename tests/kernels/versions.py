"""The versions of ipykernel that tests meet: between them differs what a kernel hears while it is busy."""

from __future__ import annotations

import fetched
import pytest

*OLDER, NEWEST = fetched.IPYKERNELS

#: For what does not differ: the newest alone by default.
ONE_VERSION = (*(pytest.param(version, marks=pytest.mark.soak) for version in OLDER), NEWEST)

#: For what differs: by default in the oldest and the newest.
each_version = pytest.mark.parametrize(
    "ipykernel",
    [OLDER[0], *(pytest.param(version, marks=pytest.mark.soak) for version in OLDER[1:]), NEWEST],
    indirect=True,
)

#: For what only a kernel without threads beside the busy cell does.
oldest_version = pytest.mark.parametrize("ipykernel", OLDER[:1], indirect=True)
