"""Best: keeps the weights of the best epoch, where ``restore_best`` asks for them."""

from __future__ import annotations

from typing import Any

import keras


class EarlyStopping(keras.callbacks.EarlyStopping):  # type: ignore[misc]
    """Keras' own, which the user has not written: it does not warn of an epoch that was not validated.

    An epoch that is cut short is not, nor is one between two of ``validation_freq``.
    """

    def get_monitor_value(self, logs: dict[str, Any] | None) -> Any:
        """Return what an epoch is judged by, None where it has not been computed."""
        return (logs or {}).get(self.monitor)
