"""The key-value cache: what the decoder has already computed about the tokens it has read.

Without it every new token would recompute the keys and values of all earlier ones. With it a step costs one
token's worth of projections and one attention over the stored keys.

Rows of a batch may have different lengths. Prompts are padded on the right, positions start at 0 in every row, and
each row writes its next token at its own `length`; keys beyond a row's length are masked. A row therefore computes
exactly what it would compute alone.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

FIRST = 16  # positions that there is room for at first; most continuations need few more
SHORT = 32  # positions all of which a single query may look at, see `KVCache.sees`
MANY = 16  # rows for which that pays
WIDTH = 16  # numbers that a processor works on at once: so many keys, or twice as many, go much quicker than 13


class KVCache:
    """Keys and values of all layers, allocated beforehand: one tensor (n_layers, 2, B, n_kv_heads, room, d_head), where
    room grows as it is needed, twofold each time, up to max_len.

    Cross-attention keys and values depend on the source only; they are computed at the first step and kept in
    `cross`, one (keys, values) pair of (sources, n_heads, S, d_head) a layer. Neighbouring rows that read the same
    source (beams, samples) share them, as long as every source has equally many.

    fixed: every step attends to all max_len positions, those beyond a row's length masked, and writes where `length`
    says on the device: the same shapes and addresses at every step, as a recorded CUDA graph needs them (see
    core.model.graph).
    """

    def __init__(
        self,
        n_layers: int,
        batch_size: int,
        n_kv_heads: int,
        max_len: int,
        d_head: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        fixed: bool = False,
    ) -> None:
        self.max_len, self.fixed = max_len, fixed
        room = max_len if fixed else min(max_len, FIRST)
        self.kv = torch.zeros(n_layers, 2, batch_size, n_kv_heads, room, d_head, dtype=dtype, device=device)
        self.cross: list[tuple[Tensor, Tensor]] = []
        self.memory_mask: Tensor | None = None  # (sources, S), True = may be attended to
        self.source = torch.arange(batch_size, device=device)  # (B,) which of the sources in `cross` a row reads
        self._length = torch.zeros(batch_size, dtype=torch.long, device=device)
        self._longest, self._same = 0, True

    @property
    def batch_size(self) -> int:
        return self.kv.shape[2]

    @property
    def length(self) -> Tensor:
        """(B,) how many positions of each row are valid."""
        return self._length

    @length.setter
    def length(self, value: Tensor) -> None:
        if self.fixed and len(value) == len(self._length):
            self._length.copy_(value)
        else:
            self._length = value.to(self.kv.device, copy=True)
        # Known on the host, so that a step needs no further look at the device.
        self._longest = int(value.max()) if len(value) else 0
        self._same = bool((value == self._longest).all())

    @property
    def bytes(self) -> int:
        """Memory held, in bytes."""
        tensors = [self.kv] + [t for pair in self.cross for t in pair]
        return sum(t.numel() * t.element_size() for t in tensors)

    def positions(self, new: int) -> Tensor:
        """Positions of the next `new` tokens: (new,) when all rows are equally long, else (B, new)."""
        self.check_room(new)
        steps = torch.arange(new, device=self._length.device)
        return steps + self._longest if self._same and not self._in_place else steps + self._length[:, None]

    def check_room(self, new: int) -> None:
        if self._longest + new > self.max_len:
            raise ValueError(f"The cache holds {self.max_len} positions; {self._longest + new} were asked for.")

    def sees(self, new: int) -> int:
        """How many keys the next `new` queries are given: those up to the longest row, or all that there is room for.
        The rest of them is masked, which costs less than an odd number (measured: half as much at 9 to 13 keys)."""
        needed = self._longest + new
        if self._in_place:
            return self.max_len
        room = self._room(needed)
        short = new == 1 and self._longest > 0 and room <= SHORT and room % WIDTH == 0
        return room if short and self._fills(self.batch_size) else needed

    def _fills(self, rows: int) -> bool:
        """Whether keys are worth filling up to a multiple of WIDTH."""
        return rows >= MANY and self.kv.device.type == "cpu"

    @property
    def _in_place(self) -> bool:
        """Whether a step has fixed shapes; the first, which reads the prompts, never has."""
        return self.fixed and self._longest > 0

    def mask(self, new: int) -> Tensor | None:
        """Which keys the next `new` queries may see: bool, broadcastable to (B, H, new, K); None when it is all of
        them, or when plain causality says it (see `is_causal`)."""
        sees = self.sees(new)
        if self.is_causal(new) or (self._same and new == 1 and sees == self._longest + 1 and not self._in_place):
            return None
        keys = torch.arange(sees, device=self._length.device)
        positions = self.positions(new)
        return (keys <= positions[..., None])[:, None] if positions.dim() == 2 else keys <= positions[:, None]

    def is_causal(self, new: int) -> bool:
        """True when nothing is stored yet, so that the causal fast path applies."""
        return self._longest == 0 and new > 1

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, H_kv, new, d_head) at the rows' own ends; returns the keys and values of `sees`."""
        new = keys.shape[2]
        self._make_room(self._longest + new)
        store_k, store_v = self.kv[layer, 0], self.kv[layer, 1]
        if self._same and not self._in_place:
            end = self._longest + new
            store_k[:, :, self._longest : end] = keys
            store_v[:, :, self._longest : end] = values
            if self._longest == 0:
                return keys, values
        else:
            rows = torch.arange(self.batch_size, device=keys.device)[:, None]
            positions = self.positions(new)
            store_k[rows, :, positions] = keys.transpose(1, 2)
            store_v[rows, :, positions] = values.transpose(1, 2)
        sees = self.sees(new)
        return store_k[:, :, :sees], store_v[:, :, :sees]

    def _make_room(self, needed: int) -> None:
        room = self._room(needed)
        if room > self.kv.shape[4]:
            self.kv = self._like(self.batch_size, room, self.kv)

    def _room(self, needed: int) -> int:
        """Positions that there is room for once so many are needed."""
        room = self.kv.shape[4]
        if self.fixed:
            return self.max_len
        return room if needed <= room else min(self.max_len, max(needed, 2 * room))

    def keep_cross(
        self, cross: list[tuple[Tensor, Tensor]], mask: Tensor
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor | None]:
        """Keep keys and values (sources, H, S, d_head) a layer and their mask (sources, S); as they are kept."""
        more = -mask.shape[1] % WIDTH
        if more and self._fills(len(mask)):
            cross = [(F.pad(k, (0, 0, 0, more)), F.pad(v, (0, 0, 0, more))) for k, v in cross]
            mask = F.pad(mask, (0, more))
        # With nothing to hide attention is quicker without a mask.
        self.cross, self.memory_mask = cross, None if bool(mask.all()) else mask
        return self.cross, self.memory_mask

    def advance(self, new: int) -> None:
        """All layers have stored their `new` tokens."""
        self._length += new
        self._longest += new

    def count_replayed(self) -> None:
        """A recorded step of one token has run, which advanced `length` on the device only."""
        self._longest += 1

    def reorder(self, rows: Tensor) -> None:
        """Row i continues what row `rows[i]` had; the batch may shrink or grow (beams, finished rows)."""
        rows = rows.to(self.kv.device)
        used = self.kv[:, :, :, :, : self._longest]
        if len(rows) == self.batch_size or (len(rows) < self.batch_size and not self.fixed):
            _move(used, 2, rows)
            self.kv = self.kv[:, :, : len(rows)]
        else:
            self.kv = self._like(len(rows), self.kv.shape[4], used.index_select(2, rows))
        if self.cross:
            self._keep_sources(self.source.index_select(0, rows))
        self.length = self._length.index_select(0, rows)

    def _like(self, rows: int, room: int, used: Tensor) -> Tensor:
        """Memory for so many rows and positions, of which the first hold `used`."""
        n_layers, two, _, heads, _, d_head = self.kv.shape
        # Beyond them all is zero: what is masked counts for nothing only as long as it is a number.
        kv = self.kv.new_zeros(n_layers, two, rows, heads, room, d_head)
        kv[:, :, :, :, : used.shape[4]] = used
        return kv

    def _keep_sources(self, source: Tensor) -> None:
        """Row i reads source `source[i]` of those in `cross` from now on."""
        wanted, counts = torch.unique_consecutive(source, return_counts=True)
        each = int(counts[0])
        if not bool((counts == each).all()):
            wanted, each = source, 1
        if not torch.equal(wanted, torch.arange(len(self.cross[0][0]), device=wanted.device)):
            if len(wanted) > len(self.cross[0][0]):
                self.cross = [(k.index_select(0, wanted), v.index_select(0, wanted)) for k, v in self.cross]
            else:
                for k, v in self.cross:
                    _move(k, 0, wanted)
                    _move(v, 0, wanted)
                self.cross = [(k[: len(wanted)], v[: len(wanted)]) for k, v in self.cross]
            if self.memory_mask is not None:
                self.memory_mask = self.memory_mask.index_select(0, wanted)
        self.source = torch.arange(len(wanted), device=source.device).repeat_interleave(each)


def _move(tensor: Tensor, dim: int, rows: Tensor) -> None:
    """Along `dim`, put what is at `rows[i]` at i, in place; what is there already is not touched."""
    moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
    if len(moved):
        tensor.index_copy_(dim, moved, tensor.index_select(dim, rows[moved]))
