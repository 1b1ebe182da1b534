"""The one kind of error that is meant for people.

Everything a user can get wrong (a name, a file, a setting) or that the world can refuse (a full disk, a hub
that does not answer) is raised as a `UserError` whose text is one sentence that says what happened and what to do.
The page shows that sentence in place; the command line prints it and exits with 1. Any other exception is a bug.
"""


class UserError(Exception):
    """One clear sentence for the person at the screen."""


class ConfigError(UserError):
    """A configuration that cannot be: an unknown key, a wrong type, values that contradict each other."""


class DataError(UserError):
    """Training or evaluation data that cannot be read or used."""


class RunError(UserError):
    """A run (model) that cannot be found, opened or written."""


class TextError(UserError):
    """A text that the chosen model or tokenizer cannot take."""
