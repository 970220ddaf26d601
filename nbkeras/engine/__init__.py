"""The cluster side: from a plan to trained weights. Knows nothing of notebooks."""
