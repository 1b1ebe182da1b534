"""Named configurations to start from. `llm-scratch train NAME`, the Training tab and the model cards use them."""

from dataclasses import dataclass, replace

from core.config import DataConfig, ModelConfig, OptimConfig, RunConfig, TokenizerConfig, TrainConfig
from core.decode.config import GenerationConfig
from core.errors import ConfigError


@dataclass(frozen=True)
class Preset:
    """A configuration with a sentence on what it is for."""

    about: str
    config: RunConfig


TRANSLATE = GenerationConfig(strategy="beam", num_beams=5, max_new_tokens=80)
WRITE = GenerationConfig(strategy="sample", top_p=0.9, temperature=0.8, max_new_tokens=120)

PRESETS: dict[str, Preset] = {
    "demo": Preset(
        "Built-in English to Japanese; learns visibly in about a minute on two cores.",
        RunConfig(
            model=ModelConfig(family="transformer", d_model=128, n_layers=2, n_heads=4, d_ff=512, max_seq_len=64),
            tokenizer=TokenizerConfig(vocab_size=1_000),
            data=DataConfig(name="builtin:enja", src_language="en", tgt_language="ja"),
            optim=OptimConfig(
                optimizer="muon", learning_rate=3e-3, schedule="wsd", warmup_steps=20, weight_decay=0.01
            ),
            train=TrainConfig(
                max_steps=240, batch_tokens=2_048, val_every=40, checkpoint_every=100, sample_every=40, log_every=5,
                snapshots=10,
            ),
            decode=TRANSLATE,
        ),
    ),
    "demo-transformer": Preset(
        "Built-in English to Japanese, small, with snapshots: how heads learn to align; two minutes on one core.",
        RunConfig(
            model=ModelConfig(family="transformer", d_model=64, n_layers=2, n_heads=2, d_ff=128, max_seq_len=64),
            tokenizer=TokenizerConfig(vocab_size=1_600),
            data=DataConfig(name="builtin:enja", src_language="en", tgt_language="ja"),
            optim=OptimConfig(
                optimizer="muon", learning_rate=3e-3, schedule="wsd", warmup_steps=20, weight_decay=0.01
            ),
            train=TrainConfig(
                max_steps=900, batch_tokens=2_048, val_every=50, checkpoint_every=300, sample_every=100, log_every=5,
                snapshots=9,
            ),
            decode=TRANSLATE,
        ),
    ),
    "demo-gpt": Preset(
        "A GPT of two layers on passages that are said twice, with snapshots: how an induction head forms; three "
        "minutes on one core.",
        RunConfig(
            model=ModelConfig(family="gpt", d_model=128, n_layers=2, n_heads=4, d_ff=128, max_seq_len=128),
            tokenizer=TokenizerConfig(vocab_size=1_024),
            data=DataConfig(name="builtin:repeats"),
            optim=OptimConfig(
                optimizer="muon", learning_rate=4e-3, warmup_steps=100, weight_decay=0.1
            ),
            train=TrainConfig(
                max_steps=1_200, batch_tokens=4_096, val_every=50, checkpoint_every=500, sample_every=200,
                log_every=10, snapshots=9,
                sample_prompts=(
                    "The student is kind. Mary took a photo.\nThe student is", "red likes Emi. the park\nred likes"
                ),
            ),
            decode=WRITE,
        ),
    ),
    "transformer-enja": Preset(
        "English to Japanese on 50,000 sentence pairs, given as --src and --tgt; under an hour on two cores.",
        RunConfig(
            model=ModelConfig(
                family="transformer", d_model=256, n_layers=3, n_heads=8, d_ff=1_024, max_seq_len=128, dropout=0.25
            ),
            tokenizer=TokenizerConfig(vocab_size=4_000),
            data=DataConfig(src_language="en", tgt_language="ja", pretokenized=True),
            optim=OptimConfig(
                optimizer="muon", learning_rate=2e-3, warmup_steps=200, weight_decay=0.02, min_lr_ratio=0.02
            ),
            train=TrainConfig(
                max_steps=2_600, batch_tokens=4_096, label_smoothing=0.1, val_every=200, checkpoint_every=200,
                sample_every=200, log_every=20, ema_decay=0.998, snapshots=12, score_examples=100,
            ),
            decode=TRANSLATE,
        ),
    ),
    "gpt-shakespeare": Preset(
        "A GPT on a text file (made for tiny Shakespeare: --data input.txt); about a quarter of an hour on two cores.",
        RunConfig(
            model=ModelConfig(family="gpt", d_model=192, n_layers=6, n_heads=6, max_seq_len=256, dropout=0.25),
            tokenizer=TokenizerConfig(vocab_size=1_024),
            data=DataConfig(name="input.txt", val_fraction=0.1),
            optim=OptimConfig(
                optimizer="muon", learning_rate=2e-3, warmup_steps=100, weight_decay=0.1, min_lr_ratio=0.02
            ),
            train=TrainConfig(
                max_steps=1_500, batch_tokens=4_096, val_every=100, checkpoint_every=100, sample_every=100,
                log_every=10, ema_decay=0.996, snapshots=12, sample_prompts=("ROMEO:\n", "First Citizen:\n"),
            ),
            decode=WRITE,
        ),
    ),
    "llama-pydocs": Preset(
        "A Llama on the Python language reference that every Python carries; about ten minutes on two cores.",
        RunConfig(
            model=ModelConfig(
                family="llama", d_model=192, n_layers=6, n_heads=6, n_kv_heads=2, max_seq_len=256, dropout=0.3
            ),
            tokenizer=TokenizerConfig(vocab_size=2_048),
            data=DataConfig(name="builtin:pydocs"),
            optim=OptimConfig(
                optimizer="muon", learning_rate=2e-3, warmup_steps=100, weight_decay=0.1, min_lr_ratio=0.02
            ),
            train=TrainConfig(
                max_steps=900, batch_tokens=4_096, val_every=50, checkpoint_every=50, sample_every=50, log_every=10,
                ema_decay=0.995, snapshots=12, sample_prompts=("The ", "A function is "),
            ),
            decode=WRITE,
        ),
    ),
    "transformer-bsd": Preset(
        "English to Japanese business dialogues from the Hugging Face hub; for a GPU.",
        RunConfig(
            model=ModelConfig(
                family="transformer", d_model=512, n_layers=6, n_heads=8, d_ff=2_048, max_seq_len=128, dropout=0.3
            ),
            tokenizer=TokenizerConfig(vocab_size=8_000),
            data=DataConfig(
                name="ryo0634/bsd_ja_en", src_column="en_sentence", tgt_column="ja_sentence",
                src_language="en", tgt_language="ja",
            ),
            optim=OptimConfig(learning_rate=7e-4, schedule="inverse_sqrt", warmup_steps=1_000, weight_decay=0.01),
            train=TrainConfig(
                max_steps=10_000, batch_tokens=8_192, label_smoothing=0.1, val_every=500, checkpoint_every=500,
                sample_every=500, ema_decay=0.999, patience=6,
            ),
            decode=TRANSLATE,
        ),
    ),
    "gpt-fineweb": Preset(
        "GPT-2's 124M shape on FineWeb-Edu from the Hugging Face hub, streamed; for a GPU.",
        RunConfig(
            model=ModelConfig(family="gpt", d_model=768, n_layers=12, n_heads=12, max_seq_len=1_024),
            tokenizer=TokenizerConfig(vocab_size=32_000),
            data=DataConfig(
                name="HuggingFaceFW/fineweb-edu", configuration="sample-10BT", streaming=True, val_fraction=0.02,
            ),
            optim=OptimConfig(learning_rate=6e-4, schedule="wsd", warmup_steps=700, betas=(0.9, 0.95)),
            train=TrainConfig(
                max_steps=20_000, batch_tokens=131_072, accumulate=4, val_every=500, checkpoint_every=500,
                sample_every=500, sample_prompts=("The most important thing about ",),
            ),
            decode=WRITE,
        ),
    ),
    "llama-fineweb": Preset(
        "A Llama of about 130M on FineWeb-Edu from the Hugging Face hub, streamed; for a GPU.",
        RunConfig(
            model=ModelConfig(
                family="llama", d_model=768, n_layers=14, n_heads=12, n_kv_heads=4, max_seq_len=1_024
            ),
            tokenizer=TokenizerConfig(vocab_size=32_000, pattern="gpt4"),
            data=DataConfig(
                name="HuggingFaceFW/fineweb-edu", configuration="sample-10BT", streaming=True, val_fraction=0.02,
            ),
            optim=OptimConfig(
                optimizer="muon", learning_rate=1e-3, schedule="wsd", warmup_steps=700, betas=(0.9, 0.95)
            ),
            train=TrainConfig(
                max_steps=20_000, batch_tokens=131_072, accumulate=4, val_every=500, checkpoint_every=500,
                sample_every=500, sample_prompts=("The most important thing about ",),
            ),
            decode=WRITE,
        ),
    ),
    "nanogpt-cpu": Preset(
        "nanoGPT's CPU configuration on tiny Shakespeare characters (--data input.txt), for comparison.",
        RunConfig(
            model=ModelConfig(family="gpt", d_model=128, n_layers=4, n_heads=4, max_seq_len=64, activation="gelu"),
            tokenizer=TokenizerConfig(kind="char"),
            data=DataConfig(name="input.txt", val_fraction=0.1),
            optim=OptimConfig(learning_rate=1e-3, warmup_steps=100, betas=(0.9, 0.99), weight_decay=0.1),
            train=TrainConfig(
                max_steps=2_000, batch_tokens=768, val_every=250, val_batches=20, checkpoint_every=250,
                sample_every=250,
                sample_prompts=("\n",),
            ),
            decode=WRITE,
        ),
    ),
    "nanogpt-gpu": Preset(
        "nanoGPT's GPU configuration on tiny Shakespeare characters (--data input.txt), for comparison.",
        RunConfig(
            model=ModelConfig(
                family="gpt", d_model=384, n_layers=6, n_heads=6, max_seq_len=256, dropout=0.2, activation="gelu"
            ),
            tokenizer=TokenizerConfig(kind="char"),
            data=DataConfig(name="input.txt", val_fraction=0.1),
            optim=OptimConfig(learning_rate=1e-3, warmup_steps=100, betas=(0.9, 0.99), weight_decay=0.1),
            train=TrainConfig(
                max_steps=5_000, batch_tokens=16_384, val_every=250, checkpoint_every=250, sample_every=250,
                sample_prompts=("\n",),
            ),
            decode=WRITE,
        ),
    ),
}  # fmt: skip


def preset(name: str) -> RunConfig:
    """The preset's configuration, marked with its name. ConfigError names the nearest one."""
    if name not in PRESETS:
        import difflib

        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"There is no preset {name!r}. {hint} Presets: {', '.join(PRESETS)}.".replace("  ", " "))
    return replace(PRESETS[name].config, preset=name)
