"""Pure functions from what core returns to HTML, table rows and Plotly figures. No torch, no gradio."""
