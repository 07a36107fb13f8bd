"""An experiment is a value: its spec, how settings change it, and named recipes."""
