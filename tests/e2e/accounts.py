"""Local users of every test host: one per role, and two that are no subjects at first."""
ROLES = ["pool-admin", "pool-operator", "vm-power-admin", "vm-admin", "vm-operator", "read-only"]
ACCOUNTS = [(f"t-{role}", f"pw {role} \u00e4") for role in ROLES] + [
    ("t-nobody", "pw nobody"),
    ("t-grouped", "pw grouped", "t-group"),
]
PASSWORD = {a[0]: a[1] for a in ACCOUNTS}
