"""How hard the property tests try: with `--hypothesis-profile=long` they go on until they are stopped."""

from hypothesis import settings

settings.register_profile("long", max_examples=100_000)
