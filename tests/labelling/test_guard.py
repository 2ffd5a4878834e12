"""Who may ask, without a server: names, addresses and tokens."""

import socket

import pytest

from recgpt.errors import ConfigError
from recgpt.labelling.guard import TOKEN_ENV, hostname, is_loopback, names_for, token_for


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("127.0.0.1:8750", "127.0.0.1"),
        ("LocalHost", "localhost"),
        ("[::1]:80", "::1"),
        ("shop.example:1", "shop.example"),
        ("", ""),
        ("a@127.0.0.1", ""),
        ("127.0.0.1/evil", ""),
        ("127.0.0.1:port", ""),
        ("[::1", ""),
        ("127.0.0.1?x", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert hostname(header) == name


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_loopback_has_no_token_of_its_own_and_only_its_own_names(host: str) -> None:
    assert is_loopback(host)
    assert token_for(host, {}) == (None, False)
    names, addresses = names_for(host)
    assert {"127.0.0.1", "::1", "localhost", host.lower()} == names
    assert not addresses


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "shop.example", "localhost.example"])
def test_elsewhere_a_token_is_made_and_addresses_will_do(host: str) -> None:
    assert not is_loopback(host)
    token, made = token_for(host, {})
    assert made
    assert token is not None
    assert len(token) >= 32
    assert token_for(host, {})[0] != token
    names, addresses = names_for(host)
    assert addresses
    assert {host, socket.gethostname().lower()} <= names


def test_behind_a_proxy_its_name_is_taken_and_a_token_made() -> None:
    token, made = token_for("127.0.0.1", {}, "Label.shop.example")
    assert (token is None, made) == (False, True)
    names, addresses = names_for("127.0.0.1", "Label.shop.example")
    assert ("label.shop.example" in names, addresses) == (True, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_environments_token_is_asked_for_everywhere_and_not_told(host: str) -> None:
    assert token_for(host, {TOKEN_ENV: "a long enough token"}) == ("a long enough token", False)
    with pytest.raises(ConfigError, match=rf"{TOKEN_ENV} has 15 characters; give it at least 16"):
        token_for(host, {TOKEN_ENV: "x" * 15})
