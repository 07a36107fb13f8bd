"""The search spaces that have a name: one file each, see :mod:`tuning.space`."""
