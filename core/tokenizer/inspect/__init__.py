"""Look into a tokenisation: rows of a table, counts, the stages, each merge of a word, several tokenizers side by side,
the vocabulary. Pure functions for views and for the command line."""

from core.tokenizer.inspect.compare import Comparison, GroupCounts, Lane, compare, compare_texts
from core.tokenizer.inspect.export import as_csv, as_json
from core.tokenizer.inspect.merges import (
    MergeNode,
    MergeStep,
    chunks,
    merge_ranks,
    merge_steps,
    merge_tree,
    rank_meaning,
)
from core.tokenizer.inspect.rows import Counts, TokenRow, count, is_partial, shared_tokens, token_rows
from core.tokenizer.inspect.script import script_of
from core.tokenizer.inspect.stages import Stages, StageToken, stages
from core.tokenizer.inspect.vocabulary import Entry, Found, Vocabulary, vocabulary

__all__ = [
    "Comparison",
    "Counts",
    "Entry",
    "Found",
    "GroupCounts",
    "Lane",
    "MergeNode",
    "MergeStep",
    "StageToken",
    "Stages",
    "TokenRow",
    "Vocabulary",
    "as_csv",
    "as_json",
    "chunks",
    "compare",
    "compare_texts",
    "count",
    "is_partial",
    "merge_ranks",
    "merge_steps",
    "merge_tree",
    "rank_meaning",
    "script_of",
    "shared_tokens",
    "stages",
    "token_rows",
    "vocabulary",
]
