"""All targets by name. Importing it imports the code under test, so an engine that watches code imports it last."""

from tests.fuzz import commands, content, growth, mail, markup, peers, typed
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (commands, content, mail, markup, peers, typed, growth)
    for target in module.TARGETS
}
