"""Tokenizers: text ↔ tokens.

>>> from core.tokenizer import train_bpe
>>> tokenizer = train_bpe(["a rose is a rose is a rose"], vocab_size=270)
>>> tokenizer.decode(tokenizer.encode("a rose").ids)
'a rose'

Our own byte-level BPE (bpe.py, bpe_train.py) and character level (char.py), and everything else by the `tokenizers`
package (hub.py): all are saved as tokenizer.json in that package's format. SentencePiece models keep their own files
(files/), also Marian's pair of them. training.py trains what is asked for, in a process of
its own if it is watched (train_process.py); own.py keeps what a person has trained or brought; chat/ renders chats.
"""

from core.tokenizer.base import Encoding, Tokenizer
from core.tokenizer.bpe import BPETokenizer
from core.tokenizer.char import CharTokenizer
from core.tokenizer.files.marian import MarianTokenizer
from core.tokenizer.files.sentencepiece_file import SentencePieceTokenizer
from core.tokenizer.hub import HubTokenizer
from core.tokenizer.load import load_tokenizer
from core.tokenizer.training import train_bpe, train_tokenizer, with_control_tokens

__all__ = [
    "BPETokenizer",
    "CharTokenizer",
    "Encoding",
    "HubTokenizer",
    "MarianTokenizer",
    "SentencePieceTokenizer",
    "Tokenizer",
    "load_tokenizer",
    "train_bpe",
    "train_tokenizer",
    "with_control_tokens",
]
