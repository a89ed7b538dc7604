"""Which URLs may be called, by the operator's word and by run data's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.broker.protocol import UrlRefusedError
from services.broker.providers.urls import check_base_url, check_run_url

ALLOWED_BASES = [
    "https://api.openai.com/v1",
    "https://api.anthropic.com",
    "https://gateway.example:8443/llm/v1",
    "https://10.0.0.5/v1",
    "https://[2001:db8::5]/v1",
    "http://127.0.0.1:11434/v1",
    "http://localhost:8080/v1",
    "http://LOCALHOST:8080/v1",
    "http://llm.localhost/v1",
    "http://[::1]:8080/v1",
    "http://192.168.1.7:8000/v1",
    "http://10.1.2.3/v1",
    "http://172.31.0.9/v1",
    "http://100.101.102.103:8000/v1",
    "http://[fd12:3456::1]/v1",
    "http://ollama:11434/v1",
    "http://host.docker.internal:11434/v1",
    "http://gpu-box.local/v1",
    "http://gpu_1.lan/v1",
]
UNENCRYPTED = [
    "http://api.openai.com/v1",
    "http://8.8.8.8/v1",
    "http://172.32.0.1/v1",
    "http://[2001:db8::1]/v1",
    "http://localhost.example.com/v1",
    "http://127.0.0.1.nip.io/v1",
    "http://[::ffff:8.8.8.8]/v1",
]
UNROUTABLE = [
    "http://169.254.169.254/latest",
    "https://169.254.169.254/latest",
    "https://169.254.0.1/v1",
    "http://[fe80::1]/v1",
    "http://[fd00:ec2::254]/v1",
    "http://[::ffff:169.254.169.254]/v1",
    "http://[64:ff9b::a9fe:a9fe]/v1",
    "http://[2002:a9fe:a9fe::1]/v1",
    "https://metadata.google.internal/computeMetadata",
    "https://METADATA.google.internal./x",
    "http://metadata/v1",
    "http://100.100.100.200/latest",
    "http://0.0.0.0:8000/v1",
    "http://[::]/v1",
    "https://224.0.0.1/v1",
]
DISGUISED = [
    "http://2130706433/v1",
    "http://0x7f000001/v1",
    "http://0x7f.1/v1",
    "http://0177.0.0.1/v1",
    "http://127.1/v1",
    "http://127.0.0.1.0/v1",
    "https://1.2.3.4.5/",
    "https://0xa9fea9fe/",
    "https://169.254.169.0376/",
    "https://[::1%25eth0]/v1",
    "https://exa%6dple.com/",
    "https://-example.com/",
    "https://a..b/",
    "https://a,b/",
]
MALFORMED = [
    "",
    "api.openai.com/v1",
    "ftp://host/v1",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://",
    "https:///v1",
    "https://host:99999/v1",
    "https://host:0/v1",
    "https://host:x/v1",
    "https://[::1/v1",
    "https://ho st/v1",
    "https://host/v1\n",
    "https://host\\@evil.com/v1",
    "https://hóst/v1",
    "https://host/\x00",
    "https://host/" + "a" * 2000,
    "https://user:secret@host/v1",
    "https://secret@host/v1",
]


@pytest.mark.parametrize("url", ALLOWED_BASES)
def test_base_url_of_the_operator_is_allowed(url):
    assert check_base_url(url) == url
    assert check_base_url(url + "/") == url


@pytest.mark.parametrize("url", UNENCRYPTED)
def test_key_is_never_sent_unencrypted_to_a_public_host(url):
    with pytest.raises(UrlRefusedError, match="unencrypted; use https"):
        check_base_url(url)


@pytest.mark.parametrize("url", UNROUTABLE)
def test_metadata_and_link_local_addresses_are_refused_to_all(url):
    for check in (check_base_url, check_run_url):
        with pytest.raises(UrlRefusedError, match="link-local, metadata or unroutable"):
            check(url)


@pytest.mark.parametrize("url", [*DISGUISED, *MALFORMED])
def test_url_that_is_none_is_refused_in_one_line(url):
    for check in (check_base_url, check_run_url):
        with pytest.raises(UrlRefusedError) as caught:
            check(url)
        assert caught.value.detail.isprintable()
        assert len(caught.value.detail) < 400
        assert "secret" not in caught.value.detail


@pytest.mark.parametrize("url", ["https://host/v1?key=1", "https://host/v1?", "https://host/v1#top", "https://host/#"])
def test_base_url_has_no_query_and_no_fragment(url):
    with pytest.raises(UrlRefusedError, match="query or a fragment"):
        check_base_url(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/a?b=c#d", "http://example.com", "https://8.8.8.8/x", "https://[2606:4700::1]/"]
)
def test_public_url_of_run_data_is_allowed(url):
    assert check_run_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *ALLOWED_BASES[3:],
        "https://localhost/",
        "https://intranet/",
        "https://db.internal/",
        "https://192.0.2.1/",
        "https://240.0.0.1/",
        "https://198.18.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://[2002:7f00:1::]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2001:0:7f00:1::]/",
        "https://[::127.0.0.1]/",
    ],
)
def test_private_url_of_run_data_is_refused(url):
    with pytest.raises(UrlRefusedError, match="came with run data"):
        check_run_url(url)


def judge(check, text):
    try:
        return check(text)
    except UrlRefusedError as error:
        return error.detail


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"https?://[0-9a-fx.:\[\]@%]{1,40}(/.*)?", fullmatch=True))
def test_any_text_is_allowed_or_refused_and_never_crashes(text):
    for check in (check_base_url, check_run_url):
        told = judge(check, text)
        assert told.isprintable()
        assert len(told) < 400


@settings(max_examples=200, deadline=None)
@given(st.ip_addresses(v=4).filter(lambda address: not address.is_global))
def test_no_spelling_of_a_private_address_passes_as_run_data(address):
    number = int(address)
    octal = ".".join(f"0{int(part):o}" for part in str(address).split("."))
    for host in (str(address), str(number), hex(number), octal, f"[::ffff:{address}]", f"[64:ff9b::{address}]"):
        with pytest.raises(UrlRefusedError):
            check_run_url(f"https://{host}/")
