from __future__ import annotations

from types import SimpleNamespace

import pytest

from nbkeras.engine import cluster
from nbkeras.errors import ClusterError


def session(**settings):
    """Something that answers for its settings as a session does."""
    named = {key.replace("_", "."): value for key, value in settings.items()}
    return SimpleNamespace(conf=named)


def test_several_workers_are_refused_where_spark_authenticates():
    with pytest.raises(ClusterError, match=r"^spark\.authenticate is true, but 2 workers .* --workers 1"):
        cluster.refuse_open_ports(session(spark_authenticate="true"), workers=2)


def test_one_worker_opens_no_port_and_may_train_there():
    cluster.refuse_open_ports(session(spark_authenticate="true"), workers=1)
    cluster.refuse_open_ports(session(), workers=2)


@pytest.mark.parametrize("key", ["spark.ssl.enabled", "spark.io.encryption.enabled"])
def test_encryption_that_would_not_be_kept_is_refused(key):
    with pytest.raises(ClusterError, match=rf"^{key} is true"):
        cluster.refuse_unsafe(SimpleNamespace(conf={key: "true"}))
