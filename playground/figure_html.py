"""A component that shows a figure: see playground.views.figure and assets/figures.js."""

import gradio as gr

# The library may be loaded after the component.
DRAW = """
const draw = () => window.figures ? window.figures.draw(element, props.value, (data) => trigger('select', data))
                                  : setTimeout(draw, 20);
watch('value', draw);
draw();
"""


def figure_html(value: str, elem_id: str) -> gr.HTML:
    """value: of `views.figure.spec`; "" draws nothing. Its select event carries what the drawing sends."""
    return gr.HTML(value, html_template='<div class="figure"></div>', js_on_load=DRAW, elem_id=elem_id)
