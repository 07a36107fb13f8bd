"""Figures, tables and pages over kept runs. Views read runs and never train."""
