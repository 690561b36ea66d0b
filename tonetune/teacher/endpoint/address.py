"""Where requests go and with which key: addresses, keys and proxies, each fault in one line that names its knob."""

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies

from tonetune.core.errors import UserError
from tonetune.core.teacher_params import OPENAI, TeacherSettings, address_fault

ADDRESS = re.compile(r"localhost\b|[\w.-]+:\d|\d+(?:\.\d+){3}|(?:[\w-]+\.)+[a-z]{2,}(?:[:/]|$)|\[|\w+://", re.I)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Knobs:
    """The names in params.yaml of what a request is made of, for whoever asks: the teacher, a rival or a judge."""

    address: str = "teacher.base_url"
    model: str = "teacher.model"
    limit: str = "answers.max_tokens"


def endpoint_url(settings: TeacherSettings) -> str:
    """Where requests go."""
    return settings.base_url or OPENAI


def host_of(settings: TeacherSettings) -> str:
    """The endpoint's host name."""
    return urlsplit(endpoint_url(settings)).hostname or ""


def check_key(settings: TeacherSettings, knobs: Knobs | None = None) -> str:
    """The API key of the endpoint's host, by `teacher.api_key_env`; a `UserError` if it is missing or may not be sent.

    A host that is not listed there gets none.
    """
    knobs = knobs or Knobs()
    url = urlsplit(endpoint_url(settings))
    host = host_of(settings)
    named = settings.api_key_env
    name = named.get(url.netloc.lower()) or named.get(host)
    if name is None:
        if settings.base_url is None:
            raise UserError(f"teacher.api_key_env: names no variable for {host}; write {host}: OPENAI_API_KEY there")
        return ""
    if not VARIABLE.fullmatch(name):  # not repeated: it may be the key itself
        raise UserError(f"teacher.api_key_env: {host}: is the name of an environment variable, not a key")
    key = os.environ.get(name, "").strip()
    if not key:
        raise UserError(
            f"{name} is not set; {knobs.address} {endpoint_url(settings)} needs it by teacher.api_key_env"
            + (", or set a teacher.base_url that wants no key" if settings.base_url is None else "")
        )
    if url.scheme == "http" and not is_this_machine(host) and host not in settings.allow_http:
        raise UserError(
            f"{knobs.address}: {settings.base_url} would get {name} unencrypted; use https, take {host} out of "
            f"teacher.api_key_env, or list {host} in teacher.allow_http"
        )
    if not key.isascii() or not key.isprintable():
        raise UserError(f"{name} holds characters that no key has; set it again")
    return key


def key_name(settings: TeacherSettings) -> str:
    """The variable that holds the endpoint's key, or what to write where none is named."""
    host = host_of(settings)
    name = settings.api_key_env.get(urlsplit(endpoint_url(settings)).netloc.lower()) or settings.api_key_env.get(host)
    return name or f"teacher.api_key_env (names no variable for {host}; write {host}: THE_VARIABLE)"


def is_this_machine(host: str) -> bool:
    """Whether a host name is this machine's own."""
    host = host.rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified  # 0.0.0.0: whoever connects to it stays here


def proxy_of(settings: TeacherSettings) -> str | None:
    """The environment variable by which requests to the endpoint would go through a proxy."""
    if is_this_machine(host_of(settings)):
        return None
    scheme = urlsplit(endpoint_url(settings)).scheme
    proxies = getproxies()
    return next((f"{kind}_proxy".upper() for kind in (scheme, "all") if proxies.get(kind)), None)


def with_version(url: str) -> str | None:
    """The address with the /v1 that it lacks; None if it has a version."""
    address = urlsplit(url)
    if re.search(r"/v\d", address.path):
        return None
    return f"{address.scheme}://{address.netloc}{address.path.rstrip('/')}/v1"


def split_name(name: str, prefix: str, key: str) -> tuple[str, str | None]:
    """Model and address of `endpoint:<model>[@<base URL>]`; a model's own name may hold an @."""
    form = f"{prefix}<model> or {prefix}<model>@<base URL>"
    found = re.fullmatch(r"(.+?)@(https?://.*)", rest := name.removeprefix(prefix), re.I)
    model, at, tail = rest.rpartition("@")
    # Without an address of a known form the model would be OpenAI's, and it would be sent the texts and the key.
    lost = found is None and at != "" and (ADDRESS.match(tail) is not None or "/" in tail)
    if not name.startswith(prefix) or not rest or (lost and not model):
        raise UserError(f"{key}: {name!r} must be {form}")
    if found is None:
        if lost:
            scheme = "https" if tail.strip().lower().startswith("https:") else "http"
            tail = re.sub(r"^\s*(?:https?:)?/*", "", tail, flags=re.I)
            raise UserError(
                f"{key}: {name!r}: the address does not begin with http:// or https://; write {prefix}{model.strip()}@{scheme}://{tail}"
            )
        return rest, None
    model, url = found.groups()
    if fault := address_fault(url):
        raise UserError(f"{key}: {prefix}{model}: the address {fault}")
    return model, url
