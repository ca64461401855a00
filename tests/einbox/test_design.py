"""The tokens of app.css: both dark copies are equal, and every pair of the design language has its contrast."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

STATIC = Path(__file__).resolve().parents[2] / "einbox" / "static" / "einbox"
TEXT, MARK = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11
PAIRS = [
    *((text, "surface", TEXT) for text in ("ink", "ink-2", "ink-3", "accent")),
    *((text, "hold-tint", TEXT) for text in ("ink", "ink-2", "hold")),
    *((text, "ok-tint", TEXT) for text in ("ink", "ink-2", "ok")),
    *((text, "danger-tint", TEXT) for text in ("ink", "ink-2", "danger")),
    ("ink-2", "sunken", TEXT), ("ink-3", "sunken", TEXT), ("ink-2", "raised", TEXT), ("ink-3", "ground", TEXT),
    ("on-accent", "accent", TEXT), ("accent", "accent-tint", TEXT), ("ink-2", "accent-tint", TEXT),
    ("ink-3", "accent-tint", TEXT), ("hold", "chip-hold", TEXT), ("ok", "chip-ok", TEXT),
    ("danger", "chip-danger", TEXT), ("edge", "surface", MARK), ("edge", "ground", MARK),
    *((f"{name}-mark", ground, MARK) for name in ("hold", "ok", "danger") for ground in ("surface", f"{name}-tint")),
]  # fmt: skip


def blocks() -> list[dict[str, str]]:
    """The token blocks in the order of the file: light, dark by the system, dark by the switch."""
    css = (STATIC / "app.css").read_text()
    found = [dict(re.findall(r"--([\w-]+):\s*(#[0-9A-Fa-f]{6})\b", body)) for body in re.findall(r"\{([^{}]*)\}", css)]
    return [block for block in found if "ground" in block]


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_there_are_three_blocks_with_the_same_names_and_both_dark_ones_are_equal() -> None:
    light, system, switch = blocks()
    assert system == switch
    assert set(light) == set(system)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "ground", "least"), PAIRS)
def test_contrast(scheme: str, front: str, ground: str, least: float) -> None:
    tokens = blocks()[0 if scheme == "light" else 1]
    assert contrast(tokens[front], tokens[ground]) >= least


def test_style_sheets_ask_nothing_from_elsewhere_and_name_no_colour_of_their_own() -> None:
    for sheet in STATIC.glob("*.css"):
        css = re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.S)
        assert "url(" not in css
        assert "@import" not in css
        if sheet.name != "app.css":
            assert set(re.findall(r"#[0-9A-Fa-f]{3,8}\b", css)) <= {"#FFF"}, sheet.name  # paper of HTML mail


def test_every_icon_a_template_names_is_drawn() -> None:
    root = STATIC.parents[2]
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (STATIC / "icons.svg").read_text()))
    used = {
        name
        for page in root.glob("*/templates/**/*.html")
        for name in re.findall(r"\{% icon ['\"]([\w-]+)['\"]", page.read_text())
    }
    assert used <= drawn
