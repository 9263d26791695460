"""The credentials file: profiles of server, API key and API secret, and which of them a command uses.

The file is `cronally/credentials` in the user's config folder (XDG_CONFIG_HOME, else `~/.config`), an INI file
with a section for each profile.

Invariant: the file is readable by its owner alone from the moment it exists, is replaced as a whole or not at
all, and a profile is overwritten only where the user asks for it. No error shows a line of the file.
"""

from __future__ import annotations

import configparser
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cronally import variables
from cronally.cli.failure import Failure
from cronally.cli.output import complain

DEFAULT_PROFILE: Final = "default"

_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_VALUE: Final = re.compile(r"[!-~]{1,500}")
_MAX_FILE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Profile:
    """A server and the keys of an account on it."""

    url: str
    api_key: str | None = None
    api_secret: str | None = field(default=None, repr=False)
    signature_version: str | None = None
    """Of requests; None: the client's own."""


def credentials_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the profiles are. A relative XDG_CONFIG_HOME does not count (XDG Base Directory Specification)."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    base = Path(folder) if os.path.isabs(folder) else Path.home() / ".config"
    return base / "cronally" / "credentials"


def profile_name(option: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The profile that `--profile`, CRONALLY_PROFILE or the default names."""
    name = option or environ.get(variables.PROFILE) or DEFAULT_PROFILE
    if not _NAME.fullmatch(name):
        raise Failure("the name of a profile is 1 to 64 letters, digits, `_`, `.`, `@` or `-`")
    return name


def profiles(path: Path) -> dict[str, Profile]:
    """All profiles that are stored. Warns when others may read the file."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_MAX_FILE).decode("utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read {path}: {_cause(error)}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        complain("warning", f"others may read your API secret: chmod 600 {path}")
    return _parse(path, text)


def access(option: str | None, environ: Mapping[str, str] = os.environ) -> Profile:
    """The server and the keys that a command uses.

    A profile named by `--profile` is used as it is. Else CRONALLY_URL, CRONALLY_SIGNATURE_VERSION, and
    CRONALLY_API_KEY with CRONALLY_API_SECRET, take the place of what the profile says. What is passed over is said on
    stderr.
    """
    from cronally.client.connection import DEFAULT_URL

    for misspelt, meant in variables.misspelt(environ).items():
        complain("warning", f"{misspelt} is not read; do you mean {meant}?")
    name = profile_name(option, environ)
    stored = profiles(credentials_path(environ)).get(name)
    if option:
        if stored is None:
            raise Failure(f"there is no profile {name}", f"cronally signup EMAIL --profile {name}")
        # What says the same is not passed over.
        url, key = environ.get(variables.URL), environ.get(variables.API_KEY)
        differing = {
            variables.URL: bool(url) and not _same_server(str(url), stored.url),
            variables.API_KEY: bool(key)
            and (key, environ.get(variables.API_SECRET)) != (stored.api_key, stored.api_secret),
            variables.SIGNATURE_VERSION: (environ.get(variables.SIGNATURE_VERSION) or None)
            not in (None, stored.signature_version),
        }
        passed_over = [variable for variable, differs in differing.items() if differs]
        if passed_over:
            complain("note", f"--profile {name} goes before {' and '.join(passed_over)}")
        return stored
    url = environ.get(variables.URL) or (stored.url if stored else DEFAULT_URL)
    if environ.get(variables.PROFILE) and stored and not _same_server(url, stored.url):
        complain("note", f"{variables.URL} goes before the server of the profile {name}")
    version = environ.get(variables.SIGNATURE_VERSION) or None
    key, secret = environ.get(variables.API_KEY), environ.get(variables.API_SECRET)
    if bool(key) != bool(secret):
        raise Failure("CRONALLY_API_KEY and CRONALLY_API_SECRET belong together; set both or none")
    if key:
        return Profile(url, key, secret, version)
    if stored is None or stored.api_key is None:
        raise Failure(
            f"there are no keys in the environment and none in the profile {name}",
            "`cronally signup EMAIL`, or set CRONALLY_API_KEY and CRONALLY_API_SECRET",
        )
    return Profile(url, stored.api_key, stored.api_secret, version or stored.signature_version)


def _same_server(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def store(path: Path, name: str, profile: Profile, *, replace: bool) -> None:
    """Add a profile, or with `replace` put it in the place of the one of that name.

    Raises Failure if there is one already, if the file cannot be written, or if a value cannot be in it.
    """
    lines = [f"[{name}]"]
    for key, value in (
        ("url", profile.url),
        ("api_key", profile.api_key),
        ("api_secret", profile.api_secret),
    ):
        if value is None or not _VALUE.fullmatch(value):
            raise Failure(f"the {key} is not one line of visible ASCII characters")
        lines.append(f"{key} = {value}")
    section = "\n".join(lines) + "\n"
    try:
        with _locked_folder(path.parent):
            text = _text(path)
            if name in _parse(path, text):
                if not replace:
                    raise Failure(
                        f"the profile {name} exists already in {path}", "--profile NAME, or --force"
                    )
                text = _without_section(text, name)
            _replace_file(path, f"{text.rstrip()}\n\n{section}".lstrip())
    except OSError as error:
        raise Failure(f"cannot write {path}: {_cause(error)}") from None


def _parse(path: Path, text: str) -> dict[str, Profile]:
    from cronally.client.connection import DEFAULT_URL

    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(text)
    except configparser.Error:
        # Its message would show the line, which may be the secret.
        raise Failure(f"{path} is not an INI file of profiles; mend it or move it away") from None
    return {
        name: Profile(
            section.get("url") or DEFAULT_URL,
            section.get("api_key") or None,
            section.get("api_secret") or None,
            section.get("signature_version") or None,
        )
        for name, section in parser.items()
        if name
    }


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise Failure(f"cannot read {path}: {_cause(error)}") from None


def _without_section(text: str, name: str) -> str:
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line.strip() == f"[{name}]"
        if not inside:
            kept.append(line)
    return "\n".join(kept)


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Keep other runs from writing between our reading and our writing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace_file(path: Path, text: str) -> None:
    target = path.resolve()  # a link into a folder of dotfiles stays one
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".credentials-")  # 0600 from the start
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _cause(error: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else (error.strerror or str(error))
