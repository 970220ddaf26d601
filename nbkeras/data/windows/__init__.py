"""Windows: rows that follow each other in time, which a model takes together.

A series is sent once, in the order of its time. A window is the position of its first row; the rows of a
batch are gathered from there.
"""
