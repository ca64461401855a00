"""The switch of the simulated primary: the file EINBOX_HOME/primary.switch holds "on" or "off" (absent: on)."""

from pathlib import Path


def path(home: Path) -> Path:
    return home / "primary.switch"


def is_on(home: Path) -> bool:
    try:
        return path(home).read_text(encoding="ascii").strip() != "off"
    except OSError:
        return True


def turn(home: Path, *, on: bool) -> None:
    """Set the switch; the running primary follows within a quarter of a second."""
    partial = path(home).with_suffix(".new")
    partial.write_text("on\n" if on else "off\n", encoding="ascii")
    partial.replace(path(home))
