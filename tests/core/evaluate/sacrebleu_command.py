"""What sacreBLEU's command line prints: its own `main` with its own arguments, many times from one new process."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Importing takes longer than scoring, so every command is run by a copy of a process that has imported. sacreBLEU's
# JSON fails on its own float32 values in paired tests; here they are printed as the numbers that they are.
DRIVER = """
import json, os, sys
from sacrebleu.sacrebleu import main
json.JSONEncoder.default = lambda self, value: value.item()
for number, arguments in enumerate(json.load(open("commands.json"))):
    if not os.fork():
        os.dup2(os.open(f"{number}.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
        sys.argv = ["sacrebleu", *arguments]
        try:
            main()
        except SystemExit as end:
            if end.code:
                os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    assert os.wait()[1] == 0, arguments
"""


def sacrebleu(directory: Path, commands: Sequence[Sequence[str]]) -> list[str]:
    """What each command prints. Files are named as they are in `directory`."""
    (directory / "commands.json").write_text(json.dumps([[*command, "-q"] for command in commands]))
    done = subprocess.run([sys.executable, "-c", DRIVER], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [(directory / f"{number}.txt").read_text(encoding="utf-8") for number in range(len(commands))]


def write_files(directory: Path, files: Mapping[str, Sequence[str]]) -> None:
    """Files with a sentence a line."""
    for name, lines in files.items():
        with open(directory / name, "w", encoding="utf-8", newline="") as file:
            file.write("".join(line + "\n" for line in lines))
