"""What the tests start ends with them, also where they are killed."""

from __future__ import annotations

import shutil

_SETPRIV = shutil.which("setpriv")
#: In front of a command: Linux kills what it starts when the thread that started it ends.
ENDS_WITH_US = (_SETPRIV, "--pdeathsig", "KILL") if _SETPRIV else ()
