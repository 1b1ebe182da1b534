"""What the commands of playground.cli do: one function a command, named as it.

A command prints its result and returns its exit code (None is 0). Errors are raised; playground.cli shows them.
"""
