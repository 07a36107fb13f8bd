"""What the predictions say: figures of one run, and statistics over seeds."""
