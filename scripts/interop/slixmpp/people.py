"""Who takes part: Alice has a phone and a laptop, Bob has one device. The tests follow one another and share the logins."""

import secrets
from dataclasses import dataclass, field

from device import Account, Device

RUN = secrets.token_hex(3)


def account(name):
    return Account(f"slixmpp-{name}-{RUN}", secrets.token_urlsafe(12))


def check(claim, otherwise):
    if not claim:
        raise AssertionError(otherwise)


@dataclass
class People:
    alices: Account = field(default_factory=lambda: account("alice"))
    bobs: Account = field(default_factory=lambda: account("bob"))
    phone: Device = None
    laptop: Device = None
    bob: Device = None
    said: list = field(default_factory=list)

    async def come_online(self):
        self.phone = await Device(self.alices, "phone").online()
        self.laptop = await Device(self.alices, "laptop").online()
        self.bob = await Device(self.bobs, "desk").online()

    async def leave(self):
        for device in (self.phone, self.laptop, self.bob):
            if device:
                await device.offline()
