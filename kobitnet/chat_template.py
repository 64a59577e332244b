"""The chat template that stands in a model folder: chat_template.jinja, else tokenizer_config.json."""

import re
from pathlib import Path

from kodata.run.errors import UserError
from kodata.run.files import read_json_object

# The mark of learned text, known to transformers only, with the white space a renderer would take away beside it
# (`-` takes all; transformers renders with lstrip_blocks and trim_blocks, which `+` switches off).
GENERATION = re.compile(
    r"(?:\s*\{%-|(?:^[ \t]*)?\{%(?!\+)|\{%\+)\s*(?:end)?generation\s*(?:-%\}\s*|\+%\}|%\}\n?)", re.MULTILINE
)


def chat_template(folder: Path) -> str | None:
    """The jinja template of a model folder, None when it has none.

    Raises:
        UserError: a file that cannot be read.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"읽을 수 없습니다 (cannot read): {error}", file=file) from None
    settings = folder / "tokenizer_config.json"
    found = read_json_object(settings).get("chat_template") if settings.is_file() else None
    if isinstance(found, list):  # several by name, as transformers wrote them before 4.50
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("default")
    return found if isinstance(found, str) and found else None


def without_generation(template: str) -> str:
    """The template without `{% generation %}` and `{% endgeneration %}`: it renders the same text elsewhere."""
    return GENERATION.sub("", template)
