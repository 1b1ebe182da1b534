"""What a model writes while it learns: samples on the same few prompts, and BLEU on some of the validation pairs."""

from dataclasses import replace
from typing import Any

from core.run import Run
from core.train.data_module import Prepared


def write_samples(run: Run, prepared: Prepared) -> list[dict[str, Any]]:
    """What the run's model makes of the same prompts each time: [{"prompt", "output", "reference"}]."""
    from core.decode import generate

    config = run.config.decode
    if prepared.is_pairs:
        pairs = prepared.corpus.val[:4]
        prompts, references = [pair.src for pair in pairs], [pair.tgt for pair in pairs]
        config = replace(
            config, strategy="greedy", max_new_tokens=min(64, config.max_new_tokens), num_return_sequences=1
        )
    else:
        prompts = list(run.config.train.sample_prompts) or [""]
        references = [""] * len(prompts)
        config = replace(config, num_return_sequences=1)
    results = generate(run, prompts, config)
    return [{"prompt": p, "output": r.text, "reference": ref} for p, r, ref in zip(prompts, results, references)]


def translation_scores(run: Run, prepared: Prepared, count: int) -> dict[str, float]:
    """BLEU and chrF of `count` validation pairs, spread over the set and translated greedily, which is quick."""
    from core.evaluate.translation import bleu_score, bleu_tokenizer, chrf_score, guess_language, translate_all

    pairs = prepared.corpus.val
    if count < len(pairs):
        pairs = [pairs[i * len(pairs) // count] for i in range(count)]
    greedy = replace(run.config.decode, strategy="greedy")
    written, references = translate_all(run, [pair.src for pair in pairs], greedy), [pair.tgt for pair in pairs]
    tokenize = bleu_tokenizer(run.config.data.tgt_language or guess_language(references))
    return {
        "bleu": round(bleu_score(written, references, tokenize).score, 4),
        "chrf": round(chrf_score(written, references).score, 4),
    }
