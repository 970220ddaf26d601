"""What workers say of the rows of their shards: shapes, nulls, checksums."""

from __future__ import annotations

from nbkeras.data.names import listed
from nbkeras.errors import DataError
from nbkeras.schema import Field

#: A checksum has 63 bits, so that JSON and Spark hold it as a whole number.
CHECKSUM_BITS = (1 << 63) - 1
#: Behind a column's name: the nulls are among the entries of its arrays.
WITHIN = "[]"
#: Behind that: they are among the rows to validate on.
VALIDATION = " (validation)"


def require_one_shape(one: Field, shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Two rows' values of a field must have one shape.

    Raises:
        DataError: they have not.
    """
    if shape != other:
        raise DataError(
            f"column {listed(one.sources)} holds values of shape {shape} and of shape {other}: "
            "all rows need the same shape"
        )


def nulls_message(nulls: dict[str, int]) -> str:
    """One line that names the columns, counts their nulls, and says how to be rid of them.

    Example:
        >>> from nbkeras.data.shards import nulls_message
        >>> nulls_message({"age": 3})
        "column 'age' holds 3 nulls: drop them with df.dropna(subset=['age']) or fill them with df.fillna"
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
        advice = f"drop them with df.dropna(subset={sorted(whole)}) or fill them with df.fillna"
        sentences.append(f"{', '.join(counts)}: {advice}")
    for key, number in within.items():
        name, counted = key.removesuffix(WITHIN), _counted(number, "array")
        advice = f'df.filter("forall(`{name}`, one -> one is not null)")'
        sentences.append(
            f"column '{name}'{of} holds {counted} with nulls inside: drop such rows with {advice}"
        )
    return sentences


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
