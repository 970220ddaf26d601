"""Trainings: one barrier stage each, with what it sends and takes."""
