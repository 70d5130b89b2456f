from __future__ import annotations

import pytest

from fluxtrail.model.errors import AuthError, FluxtrailError, NotFoundError, RateLimitedError, StoreError, UpstreamError
from fluxtrail.remotes.git.failures import CorruptCloneError, LockedCloneError, MovedError, translate_failure

SAID: list[tuple[str, type[FluxtrailError], bool]] = [
    ("fatal: Authentication failed for 'https://github.com/acme/shop/'", AuthError, False),
    ("fatal: could not read Username for 'https://github.com': terminal prompts disabled", AuthError, False),
    ("git@github.com: Permission denied (publickey).\nfatal: Could not read from remote repository.", AuthError, False),
    ("Host key verification failed.\nfatal: Could not read from remote repository.", AuthError, False),
    ("fatal: unable to access 'https://x/': The requested URL returned error: 403", AuthError, False),
    ("remote: Repository not found.\nfatal: repository 'https://github.com/acme/x/' not found", NotFoundError, False),
    ("fatal: '/srv/x.git' does not appear to be a git repository", NotFoundError, False),
    ("fatal: remote error: upload-pack: not our ref 1212", NotFoundError, False),
    ("remote: TF401035: The object '1212' does not exist.", NotFoundError, False),
    ("error: Server does not allow request for unadvertised object 1212", NotFoundError, False),
    ("fatal: unable to access 'https://x/': The requested URL returned error: 429", RateLimitedError, True),
    ("fatal: unable to access 'https://x/': The requested URL returned error: 503", UpstreamError, True),
    ("fatal: unable to access 'https://x/': The requested URL returned error: 301", MovedError, False),
    ("fatal: unable to access 'https://x/': Could not resolve host: x", UpstreamError, True),
    ("fatal: the remote end hung up unexpectedly\nfatal: early EOF", UpstreamError, True),
    ("fatal: write error: No space left on device\nfatal: fetch-pack: invalid index-pack output", StoreError, True),
    ("error: unable to create temporary file: Read-only file system", StoreError, True),
    ("fatal: Unable to create '/x/packed-refs.lock': File exists.", LockedCloneError, True),
    ("fatal: not a git repository: '/x/y.git'", CorruptCloneError, True),
    ("error: packfile ./objects/pack/pack-1.pack cannot be accessed", CorruptCloneError, True),
    ("fatal: missing object 12ab for refs/heads/main", CorruptCloneError, True),
    ("error: object file ./objects/12/ab is empty", CorruptCloneError, True),
    ("", UpstreamError, True),
]


@pytest.mark.parametrize(("said", "error", "retryable"), SAID, ids=[said[:60] for said, *_ in SAID])
def test_what_stderr_means(said: str, error: type[FluxtrailError], retryable: bool) -> None:
    found = translate_failure(said, subject="https://github.com/acme/shop")
    assert type(found) is error
    assert found.retryable is retryable
    assert found.subject == "https://github.com/acme/shop"


def test_the_lock_is_named() -> None:
    found = translate_failure("fatal: Unable to create '/x/packed-refs.lock': File exists.", subject="x")
    assert isinstance(found, LockedCloneError)
    assert found.lock == "/x/packed-refs.lock"


def test_secrets_do_not_pass() -> None:
    said = "fatal: unable to access 'https://me:hunter22@git.example.com/a/b': weird my-own-secret"
    text = str(translate_failure(said, subject="x", secrets=("my-own-secret",)))
    assert "hunter22" not in text
    assert "my-own-secret" not in text
    assert "git.example.com/a/b" in text
