"""The look: a Gradio theme of system fonts, and the stylesheets and scripts in assets/."""

from pathlib import Path
from typing import Any

ASSETS = Path(__file__).parent / "assets"
FONT = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Hiragino Sans",
        "Noto Sans CJK JP", "Noto Sans JP", "Yu Gothic", "Meiryo", "sans-serif"]  # fmt: skip
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Noto Sans Mono", "DejaVu Sans Mono",
        "Noto Sans Mono CJK JP", "monospace"]  # fmt: skip


def theme() -> Any:
    """Gradio's plainest theme on system fonts, so that the page asks no other machine for anything.

    Colours are the variables of assets/base.css, which know light and dark; only what is painted before the
    stylesheet arrives is written out here.
    """
    import gradio as gr

    def both(name: str, value: str) -> dict[str, str]:
        return {name: value, f"{name}_dark": value}

    plain = gr.themes.Base(
        primary_hue="blue", neutral_hue="slate", font=FONT, font_mono=MONO, radius_size="sm", text_size="md"
    )
    return plain.set(
        body_background_fill="#fbfbfa",
        body_background_fill_dark="#15171b",
        body_text_color="#1d2129",
        body_text_color_dark="#e6e8ec",
        **both("body_text_color_subdued", "var(--muted)"),
        **both("background_fill_primary", "var(--paper)"),
        **both("background_fill_secondary", "var(--sunk)"),
        **both("border_color_primary", "var(--line)"),
        **both("border_color_accent", "var(--accent)"),
        color_accent="var(--accent)",
        **both("color_accent_soft", "var(--accent-soft)"),
        **both("link_text_color", "var(--accent-ink)"),
        **both("block_background_fill", "transparent"),
        **both("block_border_width", "0px"),
        **both("block_shadow", "none"),
        **both("block_label_background_fill", "transparent"),
        **both("block_label_text_color", "var(--muted)"),
        **both("block_title_text_color", "var(--muted)"),
        **both("block_info_text_color", "var(--muted)"),
        **both("panel_background_fill", "transparent"),
        **both("panel_border_width", "0px"),
        **both("input_background_fill", "var(--field)"),
        **both("input_background_fill_focus", "var(--field)"),
        **both("input_border_color", "var(--line)"),
        **both("input_border_color_focus", "var(--accent)"),
        **both("input_border_width", "1px"),
        **both("input_placeholder_color", "var(--muted)"),
        **both("checkbox_background_color", "var(--field)"),
        **both("checkbox_background_color_selected", "var(--accent)"),
        **both("checkbox_border_color", "var(--line-strong)"),
        **both("checkbox_border_color_selected", "var(--accent)"),
        **both("checkbox_label_background_fill", "transparent"),
        **both("checkbox_label_background_fill_hover", "var(--sunk)"),
        **both("checkbox_label_background_fill_selected", "var(--accent-soft)"),
        **both("checkbox_label_border_color", "var(--line)"),
        **both("checkbox_label_border_color_selected", "var(--accent)"),
        **both("checkbox_label_text_color", "var(--ink)"),
        **both("checkbox_label_text_color_selected", "var(--ink)"),
        **both("button_primary_background_fill", "var(--accent)"),
        **both("button_primary_background_fill_hover", "var(--accent-strong)"),
        **both("button_primary_text_color", "#ffffff"),
        **both("button_primary_text_color_hover", "#ffffff"),
        **both("button_primary_border_color", "transparent"),
        **both("button_secondary_background_fill", "var(--field)"),
        **both("button_secondary_background_fill_hover", "var(--sunk)"),
        **both("button_secondary_text_color", "var(--ink)"),
        **both("button_secondary_text_color_hover", "var(--ink)"),
        **both("button_secondary_border_color", "var(--line-strong)"),
        **both("table_border_color", "var(--line)"),
        **both("table_even_background_fill", "transparent"),
        **both("table_odd_background_fill", "transparent"),
        **both("table_text_color", "var(--ink)"),
        **both("slider_color", "var(--accent)"),
        **both("loader_color", "var(--accent)"),
        block_padding="0px",
        layout_gap="16px",
        form_gap_width="0px",
        block_radius="6px",
        container_radius="6px",
        block_title_text_weight="500",
        block_title_text_size="*text_sm",
        block_label_text_size="*text_sm",
        checkbox_label_padding="4px 10px",
        checkbox_label_gap="6px",
    )


def stylesheet() -> str:
    """All of assets/*.css, base.css first."""
    paths = sorted(ASSETS.glob("*.css"), key=lambda path: (path.name != "base.css", path.name))
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def script() -> str:
    """What the page runs when it opens: assets/*.js as one function, figures.js first: others add drawings to it."""
    paths = sorted(ASSETS.glob("*.js"), key=lambda path: (path.name != "figures.js", path.name))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return f"() => {{\n{sources}\n}}"
