"""What a worker takes of a machine's memory, estimated on measured numbers."""

from __future__ import annotations

from dataclasses import dataclass

_MB = 1 << 20
#: Bytes (proportional set size), measured with Keras 3.15, TensorFlow 2.21 and PySpark 4.3 on Linux: the
#: warm server with both imported, and what a trainer and its Spark worker add for a model of some weights.
SERVER, TRAINER = 300 * _MB, 250 * _MB
#: Copies, measured with 10 and 20 million weights and Adam: of the variables, on their way there and back
#: through both processes; and of the gradients. Of the layers' outputs: with three convolutions.
_VARIABLES, _GRADIENTS, _OUTPUTS = 8, 3, 5


@dataclass(frozen=True)
class Footprint:
    """What one trainer takes, in bytes.

    Attributes:
        learnt: weights, optimizer and gradients.
        outputs: of the layers, on their way back too.
    """

    learnt: int
    outputs: int

    @classmethod
    def of(cls, variables: int, trained: int, outputs: int) -> Footprint:
        """That of a model.

        Args:
            variables: bytes of the model's and the optimizer's variables.
            trained: bytes of those that have a gradient.
            outputs: bytes of all layers' outputs for the rows of one step.
        """
        return cls(_VARIABLES * variables + _GRADIENTS * trained, _OUTPUTS * outputs)

    @property
    def trainer(self) -> int:
        """The process of one worker."""
        return TRAINER + self.learnt + self.outputs

    @property
    def alone(self) -> int:
        """A worker that shares its machine's warm server with none."""
        return SERVER + self.trainer


def megabytes(number: int) -> str:
    """So many bytes in MB, rounded up.

    Example:
        >>> megabytes(1), megabytes(3 << 30)
        ('1', '3,072')
    """
    return f"{-(-number // _MB):,}"
