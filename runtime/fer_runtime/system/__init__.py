"""The machine it runs on: processor, memory, temperature, and where the time goes."""
