"""Search spaces, and the tuner that joins KerasTuner to the engine."""
