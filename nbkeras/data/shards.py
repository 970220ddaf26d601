"""What workers report about the rows of their shards: shapes, nulls, checksums."""

from __future__ import annotations

from nbkeras.data.names import listed
from nbkeras.errors import DataError
from nbkeras.schema import Field

#: A checksum has 63 bits, so that JSON and Spark hold it as a whole number.
CHECKSUM_BITS = (1 << 63) - 1
#: Suffix of a column's name: the nulls are entries of its arrays.
WITHIN = "[]"
#: Suffix after that: the nulls are in the validation rows.
VALIDATION = " (validation)"


def require_one_shape(one: Field, shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Check that the values of a field in two rows have the same shape.

    Raises:
        DataError: they do not.
    """
    if shape != other:
        raise DataError(
            f"column {listed(one.sources)} holds values of shape {shape} and of shape {other}: "
            "give all rows the same shape"
        )


def nulls_message(nulls: dict[str, int]) -> str:
    """Name the columns with nulls, count their nulls, and say how to remove them, in one line.

    Example:
        >>> from nbkeras.data.shards import nulls_message
        >>> nulls_message({"a": 3})
        "column 'a' holds 3 nulls: drop these rows (dropna, drop_nulls) or fill them (fillna, fill_null)"
    """
    validation = {key.removesuffix(VALIDATION): nulls[key] for key in nulls if key.endswith(VALIDATION)}
    others = {key: number for key, number in nulls.items() if not key.endswith(VALIDATION)}
    return "; ".join([*_sentences(others, ""), *_sentences(validation, " of the validation rows")])


def _sentences(nulls: dict[str, int], of: str) -> list[str]:
    within = {name: number for name, number in nulls.items() if name.endswith(WITHIN)}
    whole = {name: number for name, number in nulls.items() if name not in within}
    sentences = []
    if whole:
        counts = [f"column '{name}'{of} holds {_counted(number, 'null')}" for name, number in whole.items()]
        advice = "drop these rows (dropna, drop_nulls) or fill them (fillna, fill_null)"
        sentences.append(f"{', '.join(counts)}: {advice}")
    for key, number in within.items():
        name, counted = key.removesuffix(WITHIN), _counted(number, "array")
        advice = f'df.filter("forall(`{name}`, one -> one is not null)")'
        sentences.append(
            f"column '{name}'{of} holds {counted} with nulls inside: drop such rows, in Spark by {advice}"
        )
    return sentences


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
