"""Make a bundled run of a trained one: float16 weights, what inference and the page need, and a model card.

    python -m core.bundle runs/NAME NOTES.md [--snapshots]

NOTES.md is the card's own text. The scores below it are those of the float16 weights that are shipped, measured here
on the run's validation data, which were not trained on. Nothing that is only needed to train on is copied; snapshots
are, of a run that is there to be watched as it forms.
"""

import json
import shutil
import sys
from pathlib import Path

from core.analysis.snapshots import snapshots
from core.evaluate import evaluate
from core.files import read_json, read_jsonl, write_json, write_text
from core.run import BUNDLED, Status, load, read_metrics, save_model


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

    shipped = load(str(target))
    result = evaluate(shipped)
    metrics = read_metrics(directory)
    scores: dict[str, object] = {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in result.items()
        if key not in ("hypotheses", "references", "sources") and isinstance(value, (str, int, float))
    }
    scores["training_minutes"] = round(max(m.get("seconds", 0.0) for m in metrics) / 60, 1)
    scores["training_steps"] = max(m["step"] for m in metrics)
    write_json(target / "scores.json", scores)
    write_text(target / "README.md", card(notes, scores, read_jsonl(target / "samples.jsonl")))
    return scores


def card(notes: str, scores: dict[str, object], samples: list[dict]) -> str:
    """The model card: notes, scores, and what the model wrote at its last sample."""
    cells = {key.replace("_", " "): str(value).replace("|", "\\|") for key, value in scores.items()}
    rows = "\n".join(f"| {name} | {value} |" for name, value in cells.items())
    written = ""
    for sample in samples[-1]["samples"] if samples else []:
        prompt, output = (json.dumps(sample[k], ensure_ascii=False) for k in ("prompt", "output"))
        written += f"- {prompt} → {output}\n"
    return f"{notes.rstrip()}\n\n## Scores\n\n| | |\n|---|---|\n{rows}\n\n## At its last sample\n\n{written}"


if __name__ == "__main__":
    source, notes = Path(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8")
    print(json.dumps(bundle(source, notes, BUNDLED / source.name, "--snapshots" in sys.argv[3:]), indent=2))
