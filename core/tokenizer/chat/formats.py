"""Chat formats that are known by name, written from their published descriptions.

ChatML (OpenAI 2023) · Llama 2 (Touvron et al. 2023) · Llama 3 (Meta's model card, 2024) · Zephyr (Tunstall et al. 2023)
· Gemma (Google's documentation of its formatting, 2024) · Phi-3 (Microsoft's model card, 2024). What the assistant
wrote stands within {% generation %}, which changes nothing in the text.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatFormat:
    """template: the Jinja program; bos, eos: the text of the special tokens that it asks for."""

    template: str
    bos: str = ""
    eos: str = ""


_CHATML = """\
{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['role'] == 'assistant' %}
{% generation %}
{{- message['content'] + '<|im_end|>' -}}
{% endgeneration %}
{{- '\\n' -}}
{% else %}
{{- message['content'] + '<|im_end|>\\n' -}}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' -}}
{% endif %}"""

_LLAMA_2 = """\
{% if messages[0]['role'] == 'system' %}
{% set start = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}
{% set turns = messages[1:] %}
{% else %}
{% set start = '' %}
{% set turns = messages %}
{% endif %}
{% for message in turns %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Llama 2 wants user and assistant in turn, beginning with user, after an optional system.') -}}
{% endif %}
{% if message['role'] == 'user' %}
{{- bos_token + '[INST] ' + (start if loop.first else '') + message['content'] | trim + ' [/INST]' -}}
{% elif message['role'] == 'assistant' %}
{% generation %}
{{- ' ' + message['content'] | trim + ' ' + eos_token -}}
{% endgeneration %}
{% endif %}
{% endfor %}"""

_LLAMA_3 = """\
{{- bos_token -}}
{% for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' -}}
{% if message['role'] == 'assistant' %}
{% generation %}
{{- message['content'] | trim + '<|eot_id|>' -}}
{% endgeneration %}
{% else %}
{{- message['content'] | trim + '<|eot_id|>' -}}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
{% endif %}"""

_ZEPHYR = """\
{% for message in messages %}
{{- '<|' + message['role'] + '|>\\n' -}}
{% if message['role'] == 'assistant' %}
{% generation %}
{{- message['content'] + eos_token -}}
{% endgeneration %}
{{- '\\n' -}}
{% else %}
{{- message['content'] + eos_token + '\\n' -}}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{- '<|assistant|>\\n' -}}
{% endif %}"""

_GEMMA = """\
{{- bos_token -}}
{% if messages[0]['role'] == 'system' %}
{{- raise_exception('Gemma has no role for the system: put it into the first message of the user.') -}}
{% endif %}
{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Gemma wants user and assistant in turn, beginning with user.') -}}
{% endif %}
{% if message['role'] == 'assistant' %}
{{- '<start_of_turn>model\\n' -}}
{% generation %}
{{- message['content'] | trim + '<end_of_turn>' -}}
{% endgeneration %}
{{- '\\n' -}}
{% else %}
{{- '<start_of_turn>' + message['role'] + '\\n' + message['content'] | trim + '<end_of_turn>\\n' -}}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{- '<start_of_turn>model\\n' -}}
{% endif %}"""

_PHI_3 = """\
{% for message in messages %}
{{- '<|' + message['role'] + '|>\\n' -}}
{% if message['role'] == 'assistant' %}
{% generation %}
{{- message['content'] + '<|end|>' -}}
{% endgeneration %}
{{- '\\n' -}}
{% else %}
{{- message['content'] + '<|end|>\\n' -}}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{- '<|assistant|>\\n' -}}
{% endif %}"""

TEMPLATES = {
    "ChatML": ChatFormat(_CHATML),
    "Llama 2": ChatFormat(_LLAMA_2, "<s>", "</s>"),
    "Llama 3": ChatFormat(_LLAMA_3, "<|begin_of_text|>", "<|eot_id|>"),
    "Zephyr": ChatFormat(_ZEPHYR, "<s>", "</s>"),
    "Gemma": ChatFormat(_GEMMA, "<bos>", "<eos>"),
    "Phi-3": ChatFormat(_PHI_3, "<s>", "<|end|>"),
}
