"""Columns: what is learned of them before a training begins, and preprocessing that is proposed for them."""
