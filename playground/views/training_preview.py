"""What a training set holds, before it is trained on. Pure functions of core.data.preview.Preview."""

from html import escape
from typing import TYPE_CHECKING

from playground.views.facts import short_count
from playground.views.training import duration

if TYPE_CHECKING:
    from core.data.preview import Lengths, Part, Preview

SHOWN = 10  # examples


def preview_html(preview: "Preview") -> str:
    """Counts, what is left out and what to look at, lengths, examples."""
    return (
        f'<div class="training-preview"><p class="small-title">{escape(preview.description)}</p>'
        f"{_counts(preview)}{_findings(preview)}"
        f'<div class="length-charts">{"".join(_lengths(one, preview.context) for one in preview.lengths)}</div>'
        f'{_examples(preview)}<p class="caption">{escape(_how(preview))}</p></div>'
    )


def _counts(preview: "Preview") -> str:
    what = "pairs" if preview.kind == "pairs" else "texts"
    parts = [("training", preview.train), ("validation", preview.val), ("test", preview.test)]
    rows = [(name, _part(part, what)) for name, part in parts if part.examples]
    if preview.documents:
        rows.append(("documents", f"{preview.documents:,}"))
    rows.append(("vocabulary", f"{preview.vocabulary:,} tokens"))
    rows += [(f"characters a token, {name}", f"{value:.2f}") for name, value in preview.characters_per_token]
    rows.append(("a step", f"{preview.tokens_per_step:,} target tokens"))
    if preview.steps_per_epoch:
        rows.append(("an epoch", f"{preview.steps_per_epoch:,.1f} steps"))
        rows.append(("this run", f"{preview.epochs:,.1f} epochs"))
    cells = "".join(f'<div class="fact"><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>' for n, v in rows)
    return f'<dl class="facts">{cells}</dl>'


def _part(part: "Part", what: str) -> str:
    return f"{part.examples:,} {what}, {short_count(part.tokens)} tokens, {short_count(part.characters)} characters"


def _findings(preview: "Preview") -> str:
    if not preview.findings:
        return '<p class="training-note">Nothing is left out, and nothing is conspicuous.</p>'
    rows = "".join(
        f'<tr><td class="number">{"about " * f.estimated}{f.count:,}</td><td class="number">{_share(f.share)}</td>'
        f"<td>{escape(f.what)}</td><td>{'left out' if f.left_out else 'kept: worth a look'}</td></tr>"
        for f in preview.findings
    )
    table = f'<table aria-label="Left out or worth a look"><tbody>{rows}</tbody></table>'
    return f'<div class="scroller findings">{table}</div>'


def _share(share: float) -> str:
    """
    >>> _share(0.25), _share(0.0004), _share(0.0)
    ('25.0%', '< 0.1%', '0%')
    """
    return "0%" if not share else "< 0.1%" if share < 0.001 else f"{100 * share:.1f}%"


def _lengths(lengths: "Lengths", context: int) -> str:
    """A small histogram: bars are the counts of the bins, their heights in proportion."""
    most, width, height = max(lengths.counts, default=0) or 1, 240, 64
    edges = lengths.edges or (0, 0)
    scale = width / max(1, edges[-1] - edges[0])
    bars = "".join(
        f'<rect x="{(low - edges[0]) * scale:.1f}" width="{max(0.8, (high - low) * scale - 0.8):.1f}" '
        f'y="{height - height * c / most:.1f}" height="{height * c / most:.1f}">'
        f"<title>{_bin(lengths, i)}: {c:,}</title></rect>"
        for i, (low, high, c) in enumerate(zip(edges[:-1], edges[1:], lengths.counts))
    )
    title = f"{lengths.column}, in {lengths.unit}"
    told = f"median {lengths.median:,}, mean {lengths.mean:,.1f}, 95% up to {lengths.p95:,}, longest {lengths.most:,}"
    if lengths.unit == "tokens" and lengths.column != "text" and lengths.most >= context:
        told += f"; the context holds {context:,}"
    return (
        f'<figure class="lengths"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" aria-label="{escape(told)}">'
        f"{bars}</svg>"
        f'<p class="length-axis"><span>{edges[0]:,}</span><span>{edges[-1]:,}</span></p>'
        f'<p class="caption">{escape(told)}</p></figure>'
    )


def _bin(lengths: "Lengths", place: int) -> str:
    last = place == len(lengths.counts) - 1
    low, high = lengths.edges[place], lengths.edges[place + 1] - (0 if last else 1)
    return f"{low:,}" if high <= low else f"{low:,} to {high:,}"


def _examples(preview: "Preview") -> str:
    rows = ""
    for example in preview.examples[:SHOWN]:
        second = f'<td dir="auto">{escape(example.target)}</td>' if preview.kind == "pairs" else ""
        tokens = f"{example.tokens:,}" + (f" → {example.target_tokens:,}" if preview.kind == "pairs" else "")
        rows += (
            f'<tr><td class="caption">{escape(example.drawn)}</td><td dir="auto">{escape(example.text)}</td>{second}'
            f'<td class="number">{tokens}</td></tr>'
        )
    titles = ["", "source", "target", "tokens"] if preview.kind == "pairs" else ["", "text", "tokens"]
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    return (
        '<div class="scroller examples"><table aria-label="Examples">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _how(preview: "Preview") -> str:
    told = f"Looked at in {duration(preview.seconds)}" if preview.seconds >= 1 else "Looked at in under a second"
    if preview.streaming:
        told += "; a stream, of which the beginning was read"
    if preview.sampled:
        told += f"; lengths and tokens are those of {preview.sampled:,} examples, scaled up"
    return told + "."
