"""`.env.example` names every setting there is."""

from pathlib import Path

from deploy.local import env_example
from shared.settings import Settings

ROOT = Path(__file__).parents[2]


def test_the_committed_file_is_what_the_settings_say() -> None:
    committed = (ROOT / ".env.example").read_text().splitlines()
    assert committed == env_example.render().splitlines(), "run `make env`"


def test_every_setting_says_what_it_means() -> None:
    blocks = env_example.render().split("\n\n")
    assert [block for block in blocks if block.startswith("#WARREN")] == []


def test_no_group_of_settings_is_forgotten() -> None:
    assert {settings for _, settings in env_example.GROUPS} >= {
        settings for settings in Settings.__subclasses__() if not settings.__module__.startswith("tests.")
    }
