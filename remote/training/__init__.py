"""Runs that train on Modal: what a container does, what this machine follows, and what is wished of them."""
