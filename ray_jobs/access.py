"""Keep the access folder: create, revoke and list API keys, and check keys, policies, cohorts and the patient table."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, Field

from ray_jobs.job import Folder, main
from serving.access.caller import Scope
from serving.access.folder import read_rules
from serving.access.keys import KEYS, create_key, read_keys, revoke_key


class KeySettings(BaseModel):
    """The key to create, or to revoke."""

    id: str = ""
    """Of the key to revoke: what stands between the underscores."""
    policy: str = ""
    """Of the key to create: a name in policies.yaml."""
    scopes: list[Scope] = Field(default=["read"], min_length=1)
    days: float = Field(default=365, gt=0)
    """After so many the key expires."""


class AccessJobSettings(BaseModel):
    access: Folder
    action: Literal["create", "revoke", "list", "check"] = "check"
    key: KeySettings = KeySettings()


def run(settings: AccessJobSettings) -> None:
    folder, key = settings.access.path, settings.key
    now = datetime.now(UTC)
    match settings.action:
        case "create":
            if key.policy not in read_rules(folder).policies:
                raise ValueError(f"key.policy: {folder / 'policies.yaml'} has no policy {key.policy!r}")
            print(create_key(folder, key.scopes, key.policy, now + timedelta(days=key.days)))
            print("this key is kept nowhere else: give it to its holder now", flush=True)
        case "revoke":
            revoke_key(folder, key.id)
            print(f"key {key.id} is revoked in {folder / KEYS}; services refuse it within 5 seconds")
        case "list":
            for each in read_keys(folder).values():
                state = "revoked" if each.revoked else "expired" if each.expires <= now else "valid"
                print(
                    f"{each.id}  {state}  until {each.expires:%Y-%m-%d}  {','.join(sorted(each.scopes))}  {each.policy}"
                )
        case "check":
            rules = read_rules(folder)
            for name, patients in sorted(rules.policies.items()):
                print(f"policy {name}: {'every patient' if patients is None else f'{len(patients):,} patients'}")
            gone = sorted({each.policy for each in rules.keys.values() if not each.revoked} - rules.policies.keys())
            print(f"{len(rules.keys)} keys, {len(rules.cohorts)} cohorts, no mistake found in {folder}")
            if gone:
                raise ValueError(f"{folder / KEYS}: keys name policies that are not there: {', '.join(gone)}")


if __name__ == "__main__":
    main(AccessJobSettings, run, on_ray=False)
