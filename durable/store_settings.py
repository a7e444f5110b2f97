"""How an object store is reached: time-outs, endpoint and credentials, from the environment and from files.

obstore reads the environment and asks a machine's metadata service; ~/.aws, where most people have their keys, is read
here. No message quotes a value: it may be a key.
"""

import configparser
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from x2static.durable.errors import X2StaticError

# Short, since no signal is heard while a request lasts; but a part of 8 MiB must pass in it, as it does at 2.2 Mbit/s.
REQUEST_RETRIES = 4
REQUEST_RETRY_TIME = timedelta(seconds=20)
REQUEST_TIMEOUT = timedelta(seconds=30)

LOOPBACK = re.compile(r"http://(localhost|127\.[0-9.]+|\[::1\])(:\d+)?(/|$)")
ENDPOINT = re.compile(r"https?://[^/\s]+(/\S*)?")

# Other ways to credentials that obstore knows, of containers and of Kubernetes; or that none are wanted.
OTHER_CREDENTIALS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
LOOKED = "neither the environment, nor files, nor the machine's metadata service has any"
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS to the file of a service account",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or another credential",
}
SCHEMES = tuple(f"{scheme}://" for scheme in CREDENTIALS)  # what addresses begin with


def client(url: str, patient: bool = True) -> Any:
    """Return obstore's store for a URL; one that is not patient gives up in some seconds, for a first look."""
    from obstore.store import AzureStore, GCSStore, S3Store

    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.strip("/").partition("/")
    settings: dict[str, Any] = {
        "prefix": prefix or None,
        "client_options": {
            "timeout": REQUEST_TIMEOUT if patient else timedelta(seconds=5),
            "connect_timeout": timedelta(seconds=5 if patient else 2),
        },
        "retry_config": {
            "max_retries": REQUEST_RETRIES if patient else 2,
            "retry_timeout": REQUEST_RETRY_TIME if patient else timedelta(seconds=4),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
        },
    }
    if scheme == "gs":
        return GCSStore(bucket, **settings)
    if scheme == "az":
        return AzureStore(bucket, **settings)
    return S3Store(bucket, **settings, **_s3_settings(settings["client_options"]))


def _endpoint() -> str | None:
    """Return where S3 is asked, if not at Amazon: by the environment, else by ~/.aws/config."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next((os.environ[name] for name in names if os.environ.get(name)), None) or _profile().get("endpoint_url")


def endpoint_host() -> str:
    """Return " at HOST:PORT" for a message, without what else an endpoint's address may hold; "" for Amazon's own."""
    host = urlsplit(_endpoint() or "").netloc.rpartition("@")[2]
    return f" at {host}" if host else ""


def _profile() -> dict[str, str]:
    """Return what ~/.aws/config and ~/.aws/credentials, which obstore does not read, have for the profile in use."""
    environment = os.environ
    profile = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or "default"
    settings: dict[str, str] = {}
    for variable, usual, section in (
        ("AWS_CONFIG_FILE", "~/.aws/config", profile if profile == "default" else f"profile {profile}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", profile),
    ):
        file = Path(environment.get(variable) or usual).expanduser()
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(file, encoding="utf-8")  # nothing, where there is no file
        except (configparser.Error, OSError, UnicodeDecodeError) as error:  # its text may quote a line with a key
            raise X2StaticError(f"{file}: cannot be read ({type(error).__name__}); mend it") from None
        if parser.has_section(section):
            settings.update(parser.items(section))
    if not settings and profile != "default":
        raise X2StaticError(f"AWS_PROFILE={profile}: no such profile in ~/.aws/config and ~/.aws/credentials")
    return settings


def _s3_settings(client_options: dict[str, Any]) -> dict[str, Any]:
    """Return obstore's settings of S3 from files, where the environment, which it reads itself, has none.

    Raises X2StaticError: there are no credentials, and no instance to ask, or the files have a kind that needs a login.
    """
    environment, settings, profile = os.environ, dict[str, Any](), _profile()
    has_keys = bool(environment.get("AWS_ACCESS_KEY_ID") and environment.get("AWS_SECRET_ACCESS_KEY"))
    if endpoint := _endpoint():
        if not ENDPOINT.fullmatch(endpoint):  # obstore would panic; not shown, it may be anything
            raise X2StaticError("AWS_ENDPOINT_URL: not the address of a server; write https://HOST:PORT")
        settings["endpoint"] = endpoint
        if LOOPBACK.match(endpoint) or environment.get("AWS_ALLOW_HTTP", "").lower() == "true":
            client_options["allow_http"] = True
    if not environment.get("AWS_REGION") and not environment.get("AWS_DEFAULT_REGION") and profile.get("region"):
        settings["region"] = profile["region"]
    elsewhere = any(environment.get(name) for name in OTHER_CREDENTIALS)
    if has_keys or elsewhere:
        return settings
    if profile.get("aws_access_key_id") and profile.get("aws_secret_access_key"):
        settings["access_key_id"] = profile["aws_access_key_id"]
        settings["secret_access_key"] = profile["aws_secret_access_key"]
        if token := profile.get("aws_session_token"):
            settings["session_token"] = token
    elif any(name.startswith(("sso_", "role_arn", "credential_process")) for name in profile):
        remedy = 'eval "$(aws configure export-credentials --format env)" makes keys of it'
        raise X2StaticError(f"~/.aws/config: the profile has a login or a role, but no keys; {remedy}")
    elif environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise X2StaticError(f"no credentials for S3 ({LOOKED}); set {CREDENTIALS['s3']}")
    return settings
