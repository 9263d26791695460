"""Which server and which keys a command uses, and what a damaged file does."""

from __future__ import annotations

import codecs
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronally.cli.credentials import Profile, access, credentials_path, profile_name, profiles, store
from cronally.cli.failure import Failure
from cronally.client import DEFAULT_URL

ONE = Profile("https://one.example.com", "key-one", "c2VjcmV0")
ONE_PARTS = (ONE.url, ONE.api_key, ONE.api_secret)
TWO = Profile("https://two.example.com", "key-two", "b3RoZXI=")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path)}


@pytest.fixture
def path(environ: dict[str, str]) -> Path:
    return credentials_path(environ)


def test_path__is_in_the_config_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    inside = tmp_path / ".config" / "cronally" / "credentials"
    assert credentials_path({}) == credentials_path({"XDG_CONFIG_HOME": ""}) == inside
    assert credentials_path({"XDG_CONFIG_HOME": "relative"}) == inside
    assert credentials_path({"XDG_CONFIG_HOME": "/xdg"}) == Path("/xdg/cronally/credentials")


def test_access__without_anything_says_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(Failure, match="none in the profile default") as caught:
        access(None, environ)
    assert caught.value.hint is not None
    assert "cronally signup EMAIL" in caught.value.hint


def test_access__the_environment_takes_the_place_of_the_profile(environ: dict[str, str], path: Path) -> None:
    store(path, "default", ONE, replace=False)
    assert access(None, environ) == ONE
    keys = {"CRONALLY_API_KEY": "key", "CRONALLY_API_SECRET": "c2VjcmV0"}
    assert access(None, {**environ, **keys}) == Profile(ONE.url, "key", "c2VjcmV0")
    other = {**environ, "CRONALLY_URL": "https://other"}
    assert access(None, other) == Profile("https://other", "key-one", "c2VjcmV0")
    assert access(None, {**keys, "XDG_CONFIG_HOME": "/nowhere"}) == Profile(DEFAULT_URL, "key", "c2VjcmV0")


def test_access__the_version_of_signatures(
    environ: dict[str, str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(path, "default", ONE, replace=False)
    path.write_text(path.read_text() + "signature_version = v1\n")
    assert profiles(path) == {"default": Profile(*ONE_PARTS, "v1")}
    assert access(None, environ).signature_version == "v1"
    keys = {"CRONALLY_API_KEY": "key", "CRONALLY_API_SECRET": "c2VjcmV0"}
    assert access(None, {**environ, **keys}).signature_version is None, (
        "it belongs to the keys of the profile"
    )
    version = {"CRONALLY_SIGNATURE_VERSION": "v2"}
    assert access(None, {**environ, **version}).signature_version == "v2"
    assert access(None, {**environ, **keys, **version}).signature_version == "v2"
    assert access("default", {**environ, **version}).signature_version == "v1"
    assert capsys.readouterr().err == "note: --profile default goes before CRONALLY_SIGNATURE_VERSION\n"
    # A setting of the server's is none of the client's.
    access(None, {**environ, "CRONALLY_SIGNATURE_SKEW": "5m"})
    assert capsys.readouterr().err == ""


def test_access__a_profile_asked_for_by_name_is_used_as_it_is(environ: dict[str, str], path: Path) -> None:
    store(path, "default", ONE, replace=False)
    store(path, "two", TWO, replace=False)
    set_aside = {"CRONALLY_API_KEY": "x", "CRONALLY_API_SECRET": "x", "CRONALLY_URL": "https://x"}
    assert access("two", {**environ, **set_aside}) == TWO
    assert access(None, {**environ, "CRONALLY_PROFILE": "two"}) == TWO
    with pytest.raises(Failure, match="there is no profile three"):
        access("three", environ)


def test_access__what_is_passed_over_is_said(
    environ: dict[str, str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(path, "two", TWO, replace=False)
    elsewhere = {**environ, "CRONALLY_URL": "http://other.example", "CRONALLY_API_KEY": "k"}
    assert access("two", elsewhere) == TWO
    assert capsys.readouterr().err == "note: --profile two goes before CRONALLY_URL and CRONALLY_API_KEY\n"
    same = {
        "CRONALLY_URL": f"{TWO.url}/",
        "CRONALLY_API_KEY": TWO.api_key,
        "CRONALLY_API_SECRET": TWO.api_secret,
    }
    access("two", {**environ, **same})  # type: ignore[dict-item]
    assert capsys.readouterr().err == "", "nothing is passed over"
    access("two", {**environ, **same, "CRONALLY_API_SECRET": "other"})  # type: ignore[dict-item]
    assert capsys.readouterr().err == "note: --profile two goes before CRONALLY_API_KEY\n"
    chosen = {**environ, "CRONALLY_PROFILE": "two"}
    assert access(None, {**chosen, "CRONALLY_URL": "http://other.example"}).url == "http://other.example"
    assert capsys.readouterr().err == "note: CRONALLY_URL goes before the server of the profile two\n"
    assert access(None, {**chosen, "CRONALLY_URL": f"{TWO.url}/"}).api_key == TWO.api_key
    assert capsys.readouterr().err == ""


def test_access__a_misspelt_variable_is_said(
    environ: dict[str, str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(path, "default", ONE, replace=False)
    # The server's settings may stand beside it.
    access(
        None,
        {**environ, "CRONALLY_APIKEY": "canary", "CRONALLY_HOST": "x", "CRONALLY_SNS_SECRET_ACCESS_KEY": "y"},
    )
    assert capsys.readouterr().err == "warning: CRONALLY_APIKEY is not read; do you mean CRONALLY_API_KEY?\n"


@pytest.mark.parametrize("name", ["CRONALLY_API_KEY", "CRONALLY_API_SECRET"])
def test_access__half_a_pair_of_keys_is_refused(environ: dict[str, str], path: Path, name: str) -> None:
    store(path, "default", ONE, replace=False)
    with pytest.raises(Failure, match="belong together"):
        access(None, {**environ, name: "canary"})


@pytest.mark.parametrize("name", ["a b", "a]", "a\nb", "[a", "a" * 65, "ä", "../a"])
def test_profile_name__that_cannot_be_a_section(name: str) -> None:
    with pytest.raises(Failure, match="the name of a profile"):
        profile_name(name, {})
    with pytest.raises(Failure, match="the name of a profile"):
        profile_name(None, {"CRONALLY_PROFILE": name})


@pytest.mark.parametrize(
    "text",
    [
        "canary",
        "[default]\ncanary",
        "[default]\napi_key = a\napi_key = canary",
        "[default]\n[default]\ncanary = 1",
        "[canary",
    ],
)
def test_profiles__a_damaged_file_is_not_shown(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    for use in (lambda: profiles(path), lambda: store(path, "a", ONE, replace=True)):
        with pytest.raises(Failure, match="is not an INI file of profiles") as caught:
            use()
        assert "canary" not in caught.value.message
        assert caught.value.__cause__ is None
    assert path.read_text() == text


def test_profiles__a_byte_order_mark_is_no_part_of_the_file(path: Path) -> None:
    store(path, "a", ONE, replace=True)
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert profiles(path) == {"a": ONE}
    store(path, "b", ONE, replace=True)
    assert profiles(path).keys() == {"a", "b"}


def test_profiles__what_cannot_be_read(path: Path) -> None:
    assert profiles(path) == {}
    path.parent.mkdir()
    path.write_bytes(b"[default]\nurl = \xff\n")
    for use in (lambda: profiles(path), lambda: store(path, "a", ONE, replace=True)):
        with pytest.raises(Failure, match="it is not UTF-8"):
            use()
    path.unlink()
    path.mkdir()
    with pytest.raises(Failure, match=r"cannot read .*: Is a directory"):
        profiles(path)


def test_profiles__a_file_that_others_may_read_warns(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(path, "default", ONE, replace=False)
    profiles(path)
    assert capsys.readouterr().err == ""
    path.chmod(0o640)
    assert profiles(path) == {"default": ONE}
    assert f"chmod 600 {path}" in capsys.readouterr().err


def test_store__a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    dotfiles = tmp_path / "dotfiles"
    dotfiles.mkdir()
    (dotfiles / "credentials").write_text("")
    path.parent.mkdir()
    path.symlink_to(dotfiles / "credentials")
    store(path, "default", ONE, replace=False)
    assert path.is_symlink()
    assert profiles(path) == {"default": ONE}


def test_store__refuses_what_would_be_more_than_one_value(path: Path) -> None:
    for profile in (
        Profile("https://a\n[b]", "k", "s"),
        Profile("https://a", "k ", "s"),
        Profile("https://a", "k", None),
    ):
        with pytest.raises(Failure, match="is not one line of visible ASCII characters"):
            store(path, "default", profile, replace=False)
    assert not path.exists()


def test_store__a_failed_write_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(path, "default", ONE, replace=False)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cronally.cli.credentials.os.fsync", full)
    with pytest.raises(Failure, match="No space left on device"):
        store(path, "two", TWO, replace=False)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_store__many_at_once_lose_nothing(path: Path) -> None:
    threads = [
        threading.Thread(target=store, args=(path, f"p{number}", ONE), kwargs={"replace": False})
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert profiles(path) == {f"p{number}": ONE for number in range(8)}


values = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
names = st.from_regex(r"[A-Za-z0-9_.@-]{1,64}", fullmatch=True)


@settings(max_examples=25)  # each writes through to the disk
@given(st.dictionaries(names, st.builds(Profile, values, values, values), max_size=5), st.data())
def test_store__what_is_stored_is_read(
    tmp_path_factory: pytest.TempPathFactory, given_profiles: dict[str, Profile], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("credentials") / "credentials"
    for name, profile in given_profiles.items():
        store(path, name, profile, replace=False)
    if given_profiles:
        replaced = data.draw(st.sampled_from(sorted(given_profiles)))
        store(path, replaced, ONE, replace=True)
        given_profiles = {**given_profiles, replaced: ONE}
    assert profiles(path) == given_profiles
