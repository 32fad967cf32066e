import hashlib
import json
import subprocess
import sys

import pytest

from models.card import LARGEST_BYTES, Card, read_card
from tests.models.test_bundle import OFFSET, card


def test_an_inconsistent_card_is_refused():
    with pytest.raises(ValueError, match="channels must be unique"):
        card(channels=("red", "red", "blue", "nir", "mask"))
    with pytest.raises(ValueError, match="offset holds 4 numbers for 5 channels"):
        card(offset=OFFSET[:4])
    with pytest.raises(ValueError, match="Did you mean 'unet'"):
        card(architecture="unett").spec()
    with pytest.raises(ValueError, match="frozen"):
        card().name = "other"


def test_a_card_survives_its_file_and_its_digest_follows_its_content():
    first = card(weights_sha256="ab" * 32, metrics={"mIoU": 0.5, "precision": float("nan")})
    again = read_card(first.model_dump_json().encode())
    assert again.digest() == first.digest()
    assert again.metrics["mIoU"] == 0.5
    assert again.metrics["precision"] != again.metrics["precision"]
    assert card(weights_sha256="cd" * 32).digest() != card(weights_sha256="ab" * 32).digest()
    assert card(weights_sha256="ab" * 32, scale=(2.0,) * 5).digest() != card(weights_sha256="ab" * 32).digest()
    with pytest.raises(ValueError, match="no weights_sha256"):
        card().digest()


def test_what_is_no_card_is_refused():
    values = json.loads(card().model_dump_json())
    for broken in (
        b"{}",
        b"not json",
        json.dumps(values | {"format": 2}).encode(),
        json.dumps(values | {"x": 1}).encode(),
    ):
        with pytest.raises(ValueError, match="not a card of format 1"):
            read_card(broken)
    assert isinstance(read_card(json.dumps(values).encode()), Card)


def test_reading_a_card_does_not_import_torch():
    code = "import sys, models.card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fields_that_came_later_do_not_change_what_older_cards_are():
    """Both numbers were computed by the version before `temperature` and `origin` existed."""
    old = card(weights_sha256="ab" * 32, created_with={"torch": "2.15.0"})
    assert old.digest() == "0a1bcd49df1eec930c67697da1f420ac34b1d9a0bc68705b9d62bfc07ea6a086"
    assert hashlib.sha256(old.model_dump_json(indent=2).encode()).hexdigest() == (
        "90a46596689264827869476307e1058084131c7008d5faad28a0005b69cf2509"
    )
    assert (old.temperature, old.origin) == (1.0, {})
    for changed in ({"temperature": 1.5}, {"origin": {"stem": "as saved"}}):
        new = old.model_copy(update=changed)
        assert new.digest() != old.digest()
        again = read_card(new.model_dump_json().encode())
        assert (again.temperature, again.origin, again.digest()) == (new.temperature, new.origin, new.digest())
    with pytest.raises(ValueError, match="temperature"):
        card(temperature=0.0)


@pytest.mark.parametrize("name", ["../x", "/x", "a\\b", "..", ".", "", "a\nb", "\x1b[2J", "a\0", "x" * 201])
def test_a_name_stands_in_file_names_and_reports(name):
    with pytest.raises(ValueError, match="name"):
        card(name=name)
    if not name or not name.isprintable() or len(name) > 200:
        with pytest.raises(ValueError, match="classes"):
            card(classes=(name,))
    assert card(name="산단 a.b-1 (x)").name == "산단 a.b-1 (x)"


@pytest.mark.parametrize(
    "change", [{"scale": (0.0,) * 5}, {"scale": (float("inf"),) * 5}, {"offset": (float("nan"),) * 5}]
)
def test_scaling_is_by_finite_numbers_above_nought(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        card(**change)


def test_an_endless_card_is_told_shortly():
    with pytest.raises(ValueError, match="more than a card's"):
        read_card(b"{}" + b" " * LARGEST_BYTES)
    wrong = card(weights_sha256="ab" * 32).model_dump(mode="json") | {"channels": [1] * 1000}
    with pytest.raises(ValueError, match="is not a card of format 1") as error:
        read_card(json.dumps(wrong).encode())
    assert len(str(error.value)) < 1000
