"""Secrets are taken out of texts, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.redact import HIDDEN, redact, redacted

WORDS = st.text("abcdefgh ./_-0123456789", max_size=60)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("GET https://user:pa55@host/a.tif failed", f"GET https://{HIDDEN}@host/a.tif failed"),
        ("s3://bucket/key", "s3://bucket/key"),
        (
            "https://h/a?X-Amz-Signature=abc123&X-Amz-Date=2024&X-Amz-Credential=me%2Fx",
            f"https://h/a?X-Amz-Signature={HIDDEN}&X-Amz-Date=2024&X-Amz-Credential={HIDDEN}",
        ),
        ("https://h/a?se=2024&sig=abc%3D", f"https://h/a?se=2024&sig={HIDDEN}"),
        ("password=hunter2, user=me", f"password={HIDDEN}, user=me"),
        ("{'aws_secret_access_key': 'abc/def+'}", f"{{'aws_secret_access_key': '{HIDDEN}'}}"),
        ("api_key: 12345", f"api_key: {HIDDEN}"),
        ("--set infer.overlap_px=96 scenes/tokenless/a.tif", "--set infer.overlap_px=96 scenes/tokenless/a.tif"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text, told):
    assert redact(text, {}) == told


def test_the_values_of_secret_variables_are_hidden_wherever_they_stand(tmp_path):
    file = tmp_path / "credentials"
    file.write_text("x")
    variables = {
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
        "HOME": "/home/me",
        "MY_TOKEN": "abc",
        "CREDENTIALS": str(file),
    }
    text = f"a wJalrXUtnFEMI b /home/me c abc {file}"
    assert redact(text, variables) == f"a <AWS_SECRET_ACCESS_KEY> b /home/me c abc {file}"


@given(WORDS, st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ+=", min_size=8, max_size=30), WORDS)
def test_no_secret_variable_survives(before, secret, after):
    assert secret not in redact(before + secret + after, {"DB_PASSWORD": secret})


@given(WORDS)
def test_plain_words_are_left_alone(text):
    assert redact(text, {}) == text


def test_nested_data_keep_their_form():
    data = {"a": ["https://u:p@h", 3, None, {"b": "token=x"}], "c": (1.5, "plain")}
    hidden = {"a": [f"https://{HIDDEN}@h", 3, None, {"b": f"token={HIDDEN}"}], "c": [1.5, "plain"]}
    assert redacted(data) == hidden
