"""The callbacks of each trainer: what makes N trainers act as one."""
