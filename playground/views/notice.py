"""One sentence, shown in place."""

from html import escape

SIGNS = {"error": "!", "info": "i", "busy": ""}


def notice(sentence: str, kind: str = "error", href: str = "") -> str:
    """HTML of a sentence: kind "error" (something to do), "info" (good to know) or "busy" (being worked on).

    An empty sentence gives an empty string. Errors are announced by screen readers at once. href: where it leads.
    """
    if not sentence:
        return ""
    if kind not in SIGNS:
        raise ValueError(f"kind must be one of {', '.join(SIGNS)}, not {kind!r}")
    role = "alert" if kind == "error" else "status"
    sign = f'<span class="notice-sign" aria-hidden="true">{SIGNS[kind]}</span>'
    text = f'<a href="{escape(href)}">{escape(sentence)}</a>' if href else escape(sentence)
    return f'<div class="notice notice-{kind}" role="{role}">{sign}<span>{text}</span></div>'
