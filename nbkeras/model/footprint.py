"""Footprint: the memory that a worker needs, estimated from measured numbers."""

from __future__ import annotations

from dataclasses import dataclass

_MB = 1 << 20
#: Bytes (proportional set size), measured with Keras 3.15, TensorFlow 2.21 and PySpark 4.3 on Linux: the
#: warm server with both imported, and what a trainer and its Spark worker add for a model of some weights.
SERVER, TRAINER = 300 * _MB, 250 * _MB
#: Copies, measured with 10 and 20 million weights and Adam: of the variables, sent through both processes and
#: back; and of the gradients. Copies of the layers' outputs, measured with three convolutions.
_VARIABLES, _GRADIENTS, _OUTPUTS = 8, 3, 5


@dataclass(frozen=True)
class Footprint:
    """Memory of one trainer, in bytes.

    Attributes:
        learnt: weights, optimizer and gradients.
        outputs: outputs of the layers, and their gradients.
    """

    learnt: int
    outputs: int

    @classmethod
    def of(cls, variables: int, trained: int, outputs: int) -> Footprint:
        """Estimate the footprint of a model.

        Args:
            variables: bytes of the model's and the optimizer's variables.
            trained: bytes of the variables that have a gradient.
            outputs: bytes of all layers' outputs for the rows of one step.
        """
        return cls(_VARIABLES * variables + _GRADIENTS * trained, _OUTPUTS * outputs)

    @property
    def trainer(self) -> int:
        """Memory of one trainer's process."""
        return TRAINER + self.learnt + self.outputs

    @property
    def alone(self) -> int:
        """Memory of a worker that is the only one on its machine, with its warm server."""
        return SERVER + self.trainer


def megabytes(number: int) -> str:
    """Format bytes as MB, rounded up.

    Example:
        >>> megabytes(1), megabytes(3 << 30)
        ('1', '3,072')
    """
    return f"{-(-number // _MB):,}"
