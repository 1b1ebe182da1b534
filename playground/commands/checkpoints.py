"""`import` and `export`: Hugging Face checkpoints in and out."""

from argparse import Namespace

from playground.commands.output import download_progress, show


def import_(args: Namespace) -> None:
    from core.model.hf import NoTokenizer, import_pretrained, keep
    from core.model.hf_config import SUPPORTED, model_type_of

    run = import_pretrained(args.source, args.revision, progress=download_progress(args))
    directory = keep(run, args.run_name, args.runs_dir)
    config = run.config.model
    result = {
        "run": directory.name, "directory": str(directory.resolve()), "source": run.name,
        "architecture": SUPPORTED[model_type_of(config)], "weights": run.model.num_parameters(),
        "vocabulary": config.vocab_size, "context": config.max_seq_len,
    }  # fmt: skip
    what = "translate" if run.is_translation else "generate"
    lines = [
        f"{directory.name}: {result['architecture']} with {result['weights']:,} weights, in {directory}",
        f"It has no tokenizer.json, so it cannot read text; add the file to {directory}"
        if isinstance(run.tokenizer, NoTokenizer)
        else f"`llm-scratch {what} --run {directory.name}` uses it",
    ]
    show(args, result, lines)


def export(args: Namespace) -> None:
    from core.model.hf_config import SUPPORTED, model_type_of
    from core.model.hf_export import export_pretrained
    from core.run import load

    run = load(args.run, args.runs_dir, download_progress(args))
    directory = export_pretrained(run, args.directory)
    architecture = SUPPORTED[model_type_of(run.config.model)]
    files = sorted(path.name for path in directory.iterdir())
    result = {
        "run": run.name, "directory": str(directory.resolve()), "architecture": architecture, "files": files,
    }  # fmt: skip
    show(args, result, [f"{run.name}: written to {directory} as {architecture} ({', '.join(files)})"])
