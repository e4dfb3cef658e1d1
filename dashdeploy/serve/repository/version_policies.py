"""Which versions of the models are served, and how Triton's model configuration says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from dashdeploy.errors import InputError
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.repository.bundle_slots import BundleSlot
from dashdeploy.serve.settings import EVERY_MODEL, VersionPolicy

PolicyOf = Callable[[str], VersionPolicy]
"""The policy of a model, by its name."""


def policy_of(policies: Mapping[str, VersionPolicy], name: str) -> VersionPolicy:
    """A model's own policy, or that of all models."""
    return policies.get(name) or policies.get(EVERY_MODEL) or VersionPolicy()


def selected_slots(slots: Sequence[BundleSlot], policy: PolicyOf) -> list[BundleSlot]:
    """The slots whose models are to be served, of all `slots`."""
    known = [slot for slot in slots if slot.version and not slot.unloaded]
    versions: dict[str, list[int]] = {}
    for slot in known:
        versions.setdefault(slot.name, []).append(int(slot.version))
    chosen = {name: policy(name).select(there) for name, there in versions.items()}
    return [slot for slot in known if int(slot.version) in chosen[slot.name]]


def check_selection(slots: Sequence[BundleSlot], policy: PolicyOf, names: Sequence[str] = ()) -> None:
    """Refuse a policy that serves no version of a model, or is for a model that is not there.

    Args:
        slots: every slot.
        policy: of each model.
        names: models that policies were given for.

    Raises:
        InputError: there is such a policy.
    """
    served = {slot.name for slot in selected_slots(slots, policy)}
    found = {slot.name for slot in slots if slot.version and not slot.unloaded}
    for name in (*names, *sorted(found)):
        versions = ", ".join(slot.version for slot in slots if slot.name == name)
        if name not in found:
            raise InputError(
                f"`version_policies`: model {name!r} is unknown; use one of {', '.join(sorted(found))}"
            )
        if name not in served:
            wanted = ", ".join(map(str, policy(name).specific))
            raise InputError(
                f"`version_policies`: model {name!r} has no version {wanted}; it has {versions or 'none'}"
            )


def as_config(policy: VersionPolicy) -> dict[str, Any]:
    """The field ``version_policy`` of Triton's model configuration."""
    if policy.specific:
        return {"specific": {"versions": list(policy.specific)}}
    return {"all": {}} if policy.latest is None else {"latest": {"num_versions": policy.latest}}


def from_config(text: str, name: str) -> VersionPolicy:
    """The policy in a configuration with which a client loads a model, the one field that it may set.

    Args:
        text: the configuration as JSON, such as ``{"version_policy": {"specific": {"versions": [1]}}}``.
        name: the model's name, for the messages.

    Raises:
        RequestError: 400, it is not JSON, sets other fields, or is not a policy.
    """
    try:
        config = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestError(
            400, f"failed to load '{name}': the parameter 'config' is not JSON: {error}"
        ) from error
    problem = RequestError(
        400,
        f"failed to load '{name}': the parameter 'config' may set 'version_policy' alone, to "
        '{"all": {}}, {"latest": {"num_versions": N}} or {"specific": {"versions": [N, ...]}}',
    )
    if (
        not isinstance(config, dict)
        or set(config) - {"name", "version_policy"}
        or config.get("name", name) != name
    ):
        raise problem
    policy = config.get("version_policy", {"all": {}})
    if not isinstance(policy, dict) or len(policy) != 1:
        raise problem
    ((kind, content),) = policy.items()
    content = content if isinstance(content, dict) else {"": None}
    try:
        if kind == "all" and not content:
            return VersionPolicy()
        # An int64 in the JSON of Protocol Buffers is a string.
        if kind == "latest" and set(content) <= {"num_versions"}:
            return VersionPolicy(latest=int(content.get("num_versions", 1)))
        if kind == "specific" and set(content) == {"versions"} and isinstance(content["versions"], list):
            return VersionPolicy(specific=tuple(map(int, content["versions"])))
    except (TypeError, ValueError, InputError) as error:
        raise problem from error
    raise problem
