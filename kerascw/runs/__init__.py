"""Train one experiment or many and keep each as a run. Nothing here draws."""
