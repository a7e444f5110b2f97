"""What all pages have in common: one HTML file that needs nothing beside itself and asks no network."""

import base64
from html import escape

# Whatever got past escaping could load nothing and run nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1200px;
  margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1rem; }
img { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; max-height: 80vh; overflow-y: auto; border: 1px solid #ddd; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; width: 100%; }
th, td { padding: .3rem .7rem; text-align: right; } .left { text-align: left; }
th { position: sticky; top: 0; background: #f4f4f4; }
tbody tr:nth-child(even) { background: #fafafa; }
code { font-size: .9em; }
"""


def document(title: str, parts: list[str], style: str = "") -> str:
    """Return a page.

    Args:
        title: its title, as plain text.
        parts: HTML of its body.
        style: CSS beyond what all pages have.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def image(name: str, data: bytes) -> str:
    """Return a PNG file as part of a page; the name is told to who cannot see it."""
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def definitions(facts: dict[str, str]) -> str:
    """Return a list of facts, each after what it is."""
    said = "".join(f"<dt>{escape(what)}</dt><dd>{escape(fact)}</dd>" for what, fact in facts.items())
    return f"<dl>{said}</dl>"
