"""Run experiments and keep what came of them."""
