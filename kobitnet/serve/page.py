"""The chat page as one HTML document with a policy that lets only its own style and script run."""

import base64
import hashlib
from functools import cache
from importlib.resources import files


@cache
def page() -> tuple[bytes, str]:
    """(the page, its Content-Security-Policy). It talks to the server it came from and to nobody else."""
    folder = files("kobitnet.serve").joinpath("chat")
    html, css, js = (
        folder.joinpath(f"chat.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    made = html.replace("/*STYLE*/", css).replace("/*SCRIPT*/", js)
    policy = (
        f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(js)}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return made.encode(), policy


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
