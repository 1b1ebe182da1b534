"""A stream's events as plain values (lists, dicts, numbers, texts) and back, for a way that carries nothing else.

Every event repeats what was written so far, of every beam. What repeats itself is sent once, therefore: each message
brings the tokens, the steps and the distributions that are new, and names older ones by their number.

    packer, unpacker = Packer(), Unpacker()
    for event in stream(run, text, config, trace=True):
        assert unpacker.unpack(json.loads(json.dumps(packer.pack(event)))) == event
"""

from typing import Any

from core.decode.result import Generation, Hypothesis, StreamEvent, Work
from core.decode.trace import Candidate, Distribution, StepTrace

Plain = dict[str, Any]
ROOT = -1  # the path on which no token is yet


class Packer:
    """The events of one stream, in their order, as plain values."""

    def __init__(self) -> None:
        self._nodes: dict[tuple, int] = {}  # (parent, id, logprob, drafted, step) -> number: a tree of paths
        self._seen: dict[int, int] = {}  # id of a step or a distribution -> its number
        self._kept: list[Any] = []  # those objects, so that no other one gets the same id
        self._counts = {"steps": 0, "distributions": 0}
        self._new: dict[str, list] = {}

    def pack(self, event: StreamEvent) -> Plain:
        self._new = {"distributions": [], "steps": [], "nodes": []}
        packed = {
            "row": event.row,
            "sample": event.sample,
            "step": event.step,
            "hypothesis": self._hypothesis(event.hypothesis),
            "beams": [self._hypothesis(beam) for beam in event.beams],
            "trace": [self._step(step) for step in event.trace],
            "generation": self._generation(event.generation) if event.generation is not None else None,
        }
        return {**packed, "new": self._new}

    def _generation(self, generation: Generation) -> Plain:
        return {
            "prompt": generation.prompt,
            "prompt_ids": list(generation.prompt_ids),
            "hypotheses": [self._hypothesis(hypothesis) for hypothesis in generation.hypotheses],
            "truncated": generation.truncated,
            "seconds": generation.seconds,
            "work": dict(generation.work.__dict__),
            "trace": [self._step(step) for step in generation.trace],
        }

    def _hypothesis(self, hypothesis: Hypothesis) -> Plain:
        return {
            "path": self._path(hypothesis),
            "score": hypothesis.score,
            "finished": hypothesis.finished,
            "finish_reason": hypothesis.finish_reason,
            "text": hypothesis.text,
        }

    def _path(self, hypothesis: Hypothesis) -> int:
        """The number of the last token's node. Tokens that were not traced have no step, others no `drafted`."""
        length = len(hypothesis.ids)
        steps = [*map(self._step, hypothesis.steps), *[None] * (length - len(hypothesis.steps))]
        drafted = [*hypothesis.drafted, *[None] * (length - len(hypothesis.drafted))]
        node = ROOT
        for values in zip(hypothesis.ids, hypothesis.logprobs, drafted, steps):
            key = (node, *values)
            if key not in self._nodes:
                self._nodes[key] = len(self._nodes)
                self._new["nodes"].append(list(key))
            node = self._nodes[key]
        return node

    def _step(self, step: StepTrace) -> int:
        if id(step) not in self._seen:
            values = {**step.__dict__, "distribution": self._distribution(step.distribution)}
            self._number("steps", step, values)
        return self._seen[id(step)]

    def _distribution(self, distribution: Distribution) -> int:
        if id(distribution) not in self._seen:
            candidates = [
                [c.id, c.logit, c.probability, list(c.processed), c.final_probability] for c in distribution.candidates
            ]
            values = [distribution.entropy, list(distribution.processors), candidates]
            self._number("distributions", distribution, values)
        return self._seen[id(distribution)]

    def _number(self, kind: str, thing: Any, values: Any) -> None:
        self._seen[id(thing)] = self._counts[kind]
        self._counts[kind] += 1
        self._kept.append(thing)
        self._new[kind].append(values)


class Unpacker:
    """The events of one stream again, equal to those that were packed, in the same order."""

    def __init__(self) -> None:
        self._nodes: list[list[Any]] = []
        self._steps: list[StepTrace] = []
        self._distributions: list[Distribution] = []

    def unpack(self, packed: Plain) -> StreamEvent:
        new = packed["new"]
        for entropy, processors, candidates in new["distributions"]:
            found = tuple(
                Candidate(token, logit, probability, tuple(processed), final)
                for token, logit, probability, processed, final in candidates
            )
            self._distributions.append(Distribution(entropy, tuple(processors), found))
        for values in new["steps"]:
            step = StepTrace(**{**values, "distribution": self._distributions[values["distribution"]]})
            self._steps.append(step)
        self._nodes += new["nodes"]
        generation = packed["generation"]
        return StreamEvent(
            row=packed["row"],
            sample=packed["sample"],
            step=packed["step"],
            hypothesis=self._hypothesis(packed["hypothesis"]),
            beams=[self._hypothesis(beam) for beam in packed["beams"]],
            trace=[self._steps[number] for number in packed["trace"]],
            generation=self._generation(generation) if generation is not None else None,
        )

    def _generation(self, values: Plain) -> Generation:
        return Generation(
            **{
                **values,
                "hypotheses": [self._hypothesis(hypothesis) for hypothesis in values["hypotheses"]],
                "work": Work(**values["work"]),
                "trace": [self._steps[number] for number in values["trace"]],
            }
        )

    def _hypothesis(self, values: Plain) -> Hypothesis:
        path = []
        node = values["path"]
        while node != ROOT:
            path.append(self._nodes[node])
            node = self._nodes[node][0]
        path.reverse()
        return Hypothesis(
            ids=[token for _, token, _, _, _ in path],
            logprobs=[logprob for _, _, logprob, _, _ in path],
            score=values["score"],
            finished=values["finished"],
            finish_reason=values["finish_reason"],
            text=values["text"],
            steps=[self._steps[step] for _, _, _, _, step in path if step is not None],
            drafted=[drafted for _, _, _, drafted, _ in path if drafted is not None],
        )
