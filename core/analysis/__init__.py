"""What is inside a model, measured. Pure functions and small results; nothing here draws."""
