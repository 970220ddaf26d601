"""How the tests' Java runs: most live for seconds, on a machine of two cores."""

#: Without the second compiler, which pays after minutes, and without a thread of its own for the garbage.
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
