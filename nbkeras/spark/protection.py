"""Protection: Spark's settings of authentication and encryption, and what follows for a training."""

from __future__ import annotations

from pyspark.sql import SparkSession

from nbkeras.errors import ClusterError
from nbkeras.plan import Plan
from nbkeras.spark import gpus

#: Settings with which Spark encrypts the network.
_ENCRYPTS = (
    "spark.ssl.enabled",
    "spark.ssl.rpc.enabled",
    "spark.network.crypto.enabled",
    "spark.authenticate.enableSaslEncryption",
)


def encrypts_network(spark: SparkSession) -> str | None:
    """Return the setting with which Spark encrypts the network, or None."""
    return next((key for key in _ENCRYPTS if _is_true(spark, key)), None)


def encrypts_disks(spark: SparkSession) -> bool:
    """Whether Spark is set to encrypt the files that it writes."""
    return _is_true(spark, "spark.io.encryption.enabled")


def require_trust(spark: SparkSession, plan: Plan, *, trusted: bool) -> None:
    """Refuse several workers where Spark protects the network, unless the user trusts the network.

    Raises:
        ClusterError: several workers would open ports that neither authenticate nor encrypt.
    """
    if plan.workers == 1 or trusted:
        return
    trust = (
        "use --workers 1 (workers=1), or on a network that you trust --trusted-network (trusted_network=True)"
    )
    if (key := encrypts_network(spark)) is not None:
        raise ClusterError(
            f"{key} is true, but {plan.workers} workers would sum gradients over connections that are not "
            f"encrypted: {trust}"
        )
    if plan.backend == "tensorflow" and gpus.own(spark, plan) and _is_true(spark, "spark.authenticate"):
        raise ClusterError(
            f"spark.authenticate is true, but {plan.workers} workers with GPUs of their own would sum "
            "gradients over TensorFlow's ports, which listen on every address and accept unauthenticated "
            f"connections: use --backend torch or jax, whose workers prove a secret to each other, {trust}"
        )


def notes(spark: SparkSession, plan: Plan) -> list[str]:
    """Say in sentences what the encryption of files means for a training."""
    if not encrypts_disks(spark):
        return []
    whose = "the worker, not on its disk" if plan.workers == 1 else "the workers, not on their disks"
    sentences = [f"spark.io.encryption.enabled is true: the rows lie in the memory of {whose}"]
    if plan.checkpoint is not None:
        sentences.append(f"the checkpoints in {plan.checkpoint} are not encrypted by nbkeras")
    return sentences


def _is_true(spark: SparkSession, key: str) -> bool:
    return str(spark.conf.get(key, "false")).lower() == "true"
