"""Make a bundled run of a trained one: float16 weights, what inference and the page need, and a model card.

    python -m core.bundle runs/NAME NOTES.md [--snapshots]
    python -m core.bundle --measure NAME            # a bundled run's scores and card anew; nothing else changes

NOTES.md is the card's own text. The scores below it are those of the float16 weights that are shipped, measured here
on the run's validation data, which were not trained on, as the command that stands with them does. Nothing that is only
needed to train on is copied; snapshots are, of a run that is there to be watched as it forms.
"""

import json
import shutil
import sys
from pathlib import Path

from core.analysis.snapshots import snapshots
from core.evaluate.evaluation import Evaluation, Request, measured
from core.files import check_name, read_json, read_jsonl, write_json, write_text
from core.run import BUNDLED, Status, load, read_metrics, save_model

NOTES_END = "\n\n## Scores\n"


def bundle(directory: Path, notes: str, target: Path, with_snapshots: bool = False) -> dict[str, object]:
    """Write the bundled run to `target`, measured as it will be used. Returns its scores."""
    run = load(str(directory))
    target.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "metrics.jsonl", "samples.jsonl"):
        shutil.copyfile(directory / name, target / name)
    write_json(target / "config.json", read_json(directory / "config.json"))
    save_model(run.model, target / "model.safetensors", half=True)
    if with_snapshots:
        (target / "snapshots").mkdir(exist_ok=True)
        for snapshot in snapshots(directory):
            shutil.copyfile(snapshot.path, target / "snapshots" / snapshot.path.name)
    Status(state="done", step=run.config.train.max_steps, steps=run.config.train.max_steps).write(target)
    status = read_json(target / "status.json") | {"heartbeat": 0.0}
    write_json(target / "status.json", status)

    return measure(target, notes)


def measure(target: Path, notes: str) -> dict[str, object]:
    """Measure a bundled run, and write its scores and its card. Returns the scores."""
    evaluation = measured(load(str(target)), Request(overlap=True), keep=False)
    metrics = read_metrics(target)
    scores = {
        **scores_of(evaluation),
        "training_minutes": round(max(m.get("seconds", 0.0) for m in metrics) / 60, 1),
        "training_steps": max(m["step"] for m in metrics),
    }
    write_json(target / "scores.json", scores)
    write_text(target / "README.md", card(notes, scores, read_jsonl(target / "samples.jsonl")))
    return scores


def scores_of(evaluation: Evaluation) -> dict[str, object]:
    """An evaluation's figures, each score with its signature, and the command that gives them."""
    found: dict[str, object] = {"kind": evaluation.kind, "examples": evaluation.examples}
    for name, score in evaluation.scores.items():
        found |= {name: score.score, f"{name}_signature": score.signature}
    for name in ("loss_per_token", "perplexity", "tokens"):
        found[name] = getattr(evaluation, name)
    found |= evaluation.numbers
    if evaluation.decode is not None:
        found |= {"strategy": evaluation.decode.strategy, "num_beams": evaluation.decode.num_beams}
    else:
        found |= {"context": evaluation.context, "stride": evaluation.stride}
    found |= {"overlap": evaluation.overlap["summary"], "command": evaluation.command}
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}
    return {key: value for key, value in rounded.items() if value is not None}


def card(notes: str, scores: dict[str, object], samples: list[dict]) -> str:
    """The model card: notes, scores, and what the model wrote at its last sample."""
    cells = {key.replace("_", " "): str(value).replace("|", "\\|") for key, value in scores.items()}
    cells |= {"command": f"`{scores['command']}`"} if "command" in scores else {}
    rows = "\n".join(f"| {name} | {value} |" for name, value in cells.items())
    written = ""
    for sample in samples[-1]["samples"] if samples else []:
        prompt, output = (json.dumps(sample[k], ensure_ascii=False) for k in ("prompt", "output"))
        written += f"- {prompt} → {output}\n"
    return f"{notes.rstrip()}{NOTES_END}\n| | |\n|---|---|\n{rows}\n\n## At its last sample\n\n{written}"


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        source = BUNDLED / check_name(sys.argv[2])
        notes = (source / "README.md").read_text(encoding="utf-8").partition(NOTES_END)[0]
        written = measure(source, notes)
    else:
        source, notes = Path(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8")
        written = bundle(source, notes, BUNDLED / source.name, "--snapshots" in sys.argv[3:])
    print(json.dumps(written, indent=2, ensure_ascii=False))
