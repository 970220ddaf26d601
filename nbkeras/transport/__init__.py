"""How the notebook and its workers speak."""
