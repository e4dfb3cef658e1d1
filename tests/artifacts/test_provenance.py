"""Where a result comes from: dashdeploy's own commit, and nobody else's."""

import shutil
import subprocess
from pathlib import Path

import pytest

import dashdeploy
from dashdeploy.artifacts.provenance import Provenance, commit_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

OURS = '[project]\nname = "dashdeploy"\n'
THEIRS = '[project]\nname = "their-project"\n'


def git(folder, *words):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def repository(folder, files):
    """A repository in `folder` that holds `files`, text by path; its commit."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "One")
    return git(folder, "rev-parse", "--short", "HEAD")


def test_a_checkout_of_our_own(tmp_path):
    commit = repository(tmp_path, {"pyproject.toml": OURS, "dashdeploy/artifacts/provenance.py": "pass\n"})
    source = tmp_path / "dashdeploy" / "artifacts" / "provenance.py"
    assert commit_of(source) == commit
    source.write_text("changed = 1\n")
    assert commit_of(source) == f"{commit}+"


def test_an_environment_within_a_repository_of_the_users(tmp_path):
    repository(tmp_path, {"pyproject.toml": THEIRS, "main.py": "pass\n", ".gitignore": ".venv\n"})
    source = tmp_path / ".venv" / "site-packages" / "dashdeploy" / "artifacts" / "provenance.py"
    source.parent.mkdir(parents=True)
    source.write_text("pass\n")
    assert commit_of(source) is None


def test_a_copy_that_a_user_keeps_in_their_own_repository(tmp_path):
    repository(tmp_path, {"pyproject.toml": THEIRS, "vendored/dashdeploy/artifacts/provenance.py": "pass\n"})
    assert commit_of(tmp_path / "vendored" / "dashdeploy" / "artifacts" / "provenance.py") is None
    (tmp_path / "pyproject.toml").write_text("no TOML")
    assert commit_of(tmp_path / "vendored" / "dashdeploy" / "artifacts" / "provenance.py") is None


def test_an_environment_within_our_own_checkout(tmp_path):
    files = {"pyproject.toml": OURS, "dashdeploy/artifacts/provenance.py": "pass\n"}
    repository(tmp_path, {**files, ".gitignore": ".venv\n"})
    installed = tmp_path / ".venv" / "site-packages" / "dashdeploy" / "artifacts" / "provenance.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("pass\n")
    assert commit_of(installed) is None


def test_no_repository_at_all(tmp_path):
    (tmp_path / "provenance.py").write_text("pass\n")
    assert commit_of(tmp_path / "provenance.py") is None


def test_a_hook_of_git_does_not_lead_away(tmp_path, monkeypatch):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    commit = repository(ours, {"pyproject.toml": OURS, "provenance.py": "pass\n"})
    repository(theirs, {"pyproject.toml": THEIRS})
    monkeypatch.setenv("GIT_DIR", str(theirs / ".git"))
    assert commit_of(ours / "provenance.py") == commit


def test_this_process_names_its_commit_where_it_runs_from_a_checkout():
    root = Path(dashdeploy.__file__).resolve().parents[1]
    found = Provenance.now().commit
    if (root / ".git").exists():
        assert found is not None and found.rstrip("+") == git(root, "rev-parse", "--short", "HEAD")
    assert found is None or (root / ".git").exists()
