"""Which files of a repository reach the artifact at all: `ignore`, `.sourceignore`, `sparseCheckout`.

Source: fluxcd/pkg sourceignore (default patterns, then `.sourceignore`, then `spec.ignore`; later ones win),
source-controller's cone-mode sparse checkout (files at the root always come along).
"""

import re

import pathspec

from fluxtrail.trail.scope import normal_path

VCS_PATTERNS = (".git/", ".gitignore", ".gitmodules", ".gitattributes")
FILE_PATTERNS = ("*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip")
CI_PATTERNS = (
    ".github/",
    ".circleci/",
    ".travis.yml",
    ".gitlab-ci.yml",
    "appveyor.yml",
    ".drone.yml",
    "cloudbuild.yaml",
    "codeship-services.yml",
    "codeship-steps.yml",
)
EXTRA_PATTERNS = ("**/.goreleaser.yml", "**/.sops.yaml", "**/.flux.yaml")
DEFAULT_PATTERNS = VCS_PATTERNS + FILE_PATTERNS + CI_PATTERNS + EXTRA_PATTERNS


class ArtifactPaths:
    """Decides whether a path of the repository is part of what Flux fetches."""

    def __init__(
        self, *, ignore: str | None = None, source_ignore: str | None = None, sparse_checkout: tuple[str, ...] = ()
    ) -> None:
        lines = [*DEFAULT_PATTERNS, *(source_ignore or "").splitlines(), *(ignore or "").splitlines()]
        self._spec = pathspec.GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(line))
        cones = {normal_path(path) for path in sparse_checkout}
        self._cones = () if "" in cones else tuple(f"{path}/" for path in cones if path)

    def has(self, path: str) -> bool:
        if self._cones and "/" in path and not path.startswith(self._cones):
            return False
        return not self._spec.match_file(path)


def _is_pattern(line: str) -> bool:
    """True unless nothing can be made of the line; to leave it out errs on the side of a larger scope."""
    try:
        pathspec.GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):
        return False
    return True
