"""What notebook and workers agree on: the job, how workers meet, checkpoints, and failures on their way."""
