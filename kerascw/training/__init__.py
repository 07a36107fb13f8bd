"""Fit one experiment: optimiser and schedule, the epochs, the checkpoint that a resume needs."""
