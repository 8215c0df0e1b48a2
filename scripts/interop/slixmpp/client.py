"""slixmpp against the server: what a chat client of a person does in a day, each step checked on both sides."""

import asyncio
import secrets
import sys

from device import DOMAIN, Account, Device

RUN = secrets.token_hex(3)
ALICE = Account(f"slixmpp-alice-{RUN}", secrets.token_urlsafe(12))
BOB = Account(f"slixmpp-bob-{RUN}", secrets.token_urlsafe(12))


class Report:
    def __init__(self):
        self.failed = 0

    async def test(self, what, steps):
        try:
            await asyncio.wait_for(steps, 30)
        except Exception as fault:  # whatever it is, it is this test's result, and the next one shall run
            self.failed += 1
            print(f"FAILED slixmpp: {what}: {type(fault).__name__}: {fault}".replace("\n", " "), flush=True)
        else:
            print(f"ok slixmpp: {what}", flush=True)


def check(claim, otherwise):
    if not claim:
        raise AssertionError(otherwise)


class Day:
    """Alice has a phone and a laptop, Bob has one device. The tests follow one another and share the logins."""

    async def registers(self):
        for account in (ALICE, BOB):
            device = await Device(account, "first", register=True).connected()
            check(device.boundjid.bare == account.bare, f"bound as {device.boundjid}")
            await device.offline()

    async def logs_in(self):
        self.phone = await Device(ALICE, "phone").online()
        self.laptop = await Device(ALICE, "laptop").online()
        self.bob = await Device(BOB, "desk").online()
        for device in (self.phone, self.laptop, self.bob):
            check(device.boundjid.full == device.full, f"bound as {device.boundjid}")
            mechanism = device.plugin["feature_mechanisms"].mech.name
            check(mechanism.startswith("SCRAM-"), f"logged in by {mechanism}")

    async def logs_in_by_direct_tls(self):
        device = await Device(BOB, "tls", direct_tls=True).connected()
        await device.settled()
        await device.offline()

    async def wrong_password(self):
        device = Device(Account(BOB.name, "not this"), "thief")
        device.connect(*device._address)
        await device.until(lambda: device.refused, "the refusal")
        check("bind" not in device.features, "was let in")
        await device.offline()

    async def pings(self):
        await self.phone.settled()
        await self.phone.plugin["xep_0199"].send_ping(self.phone.bare, timeout=10)

    async def discovers(self):
        disco = self.phone.plugin["xep_0030"]
        server = (await disco.get_info(jid=DOMAIN, cached=False))["disco_info"]
        check(any(i[:2] == ("server", "im") for i in server["identities"]), f"identities {server['identities']}")
        for feature in ("http://jabber.org/protocol/disco#info", "urn:xmpp:ping", "urn:xmpp:carbons:2"):
            check(feature in server["features"], f"the server does not offer {feature}")
        account = (await disco.get_info(jid=self.phone.bare, cached=False))["disco_info"]
        check(any(i[:2] == ("account", "registered") for i in account["identities"]), f"{account['identities']}")
        check("urn:xmpp:mam:2" in account["features"], "the account does not offer urn:xmpp:mam:2")

    async def roster_set_and_get(self):
        friend = f"carol@{DOMAIN}"
        await self.phone.update_roster(friend, name="Carol", groups=["Friends", "Chess"])
        push = (await self.laptop.until(lambda: self.laptop.pushes(friend), "the roster push"))[-1]
        check(push["name"] == "Carol" and set(push["groups"]) == {"Friends", "Chess"}, f"pushed {push}")
        items = await self.laptop.roster_items()
        check(items[friend]["name"] == "Carol", f"got {items}")
        check(items[friend]["subscription"] == "none", f"got {items}")
        await self.phone.del_roster_item(friend)
        removed = lambda: [p for p in self.laptop.pushes(friend) if p["subscription"] == "remove"]
        await self.laptop.until(removed, "the push of the removal")
        items = await self.phone.roster_items()
        check(friend not in items, "the removed item is still there")

    async def subscribes(self, asker, answerer):
        asker.send_presence_subscription(pto=answerer.bare, ptype="subscribe")
        await answerer.until(lambda: answerer.presences(asker.bare, "subscribe"), "the request")
        answerer.send_presence_subscription(pto=asker.bare, ptype="subscribed")
        await asker.until(lambda: asker.presences(answerer.bare, "subscribed"), "the approval")
        await asker.until(lambda: asker.presences(answerer.full, "available"), "presence after the approval")

    async def subscribes_both_ways(self):
        await self.subscribes(self.phone, self.bob)
        await self.subscribes(self.bob, self.phone)
        for device, other in ((self.laptop, self.bob), (self.bob, self.phone)):
            is_both = lambda d=device, o=other: [p for p in d.pushes(o.bare) if p["subscription"] == "both"]
            await device.until(is_both, f"the push of {other.bare} as both")
            item = (await device.roster_items())[other.bare]
            check(item["subscription"] == "both", f"{device.full} has {item}")

    async def sees_presence(self, watched, watcher):
        watched.send_presence(pshow="away", pstatus="lunch with a & b")
        await watcher.until(lambda: watcher.presences(watched.full, "away"), "away")
        check(watcher.presences(watched.full, "away")[-1]["status"] == "lunch with a & b", "another status")
        before = len(watcher.presences(watched.full, "available"))
        watched.send_presence()
        await watcher.until(lambda: len(watcher.presences(watched.full, "available")) > before, "available again")

    async def sees_presence_both_ways(self):
        await self.sees_presence(self.phone, self.bob)
        await self.sees_presence(self.bob, self.laptop)
        guest = await Device(BOB, "guest").online()
        await self.phone.until(lambda: self.phone.presences(guest.full, "available"), "the new device")
        await guest.offline()
        await self.phone.until(lambda: self.phone.presences(guest.full, "unavailable"), "the device's end")

    async def chats_both_ways(self):
        self.said = [f"{RUN} one <>&'\" \U0001f426", f"{RUN} two\nsecond line"]
        self.phone.chat(self.bob.full, self.said[0])
        heard = (await self.bob.until(lambda: self.bob.messages(self.said[0]), "a chat"))[0]
        check(heard["from"] == self.phone.full, f"from {heard['from']}")
        check(heard["type"] == "chat", f"type {heard['type']}")
        self.bob.chat(self.phone.full, self.said[1])
        heard = (await self.phone.until(lambda: self.phone.messages(self.said[1]), "the answer"))[0]
        check(heard["from"] == self.bob.full, f"from {heard['from']}")

    async def carbons(self):
        await self.phone.plugin["xep_0280"].enable()
        await self.laptop.plugin["xep_0280"].enable()
        sent, received, everywhere = (f"{RUN} {word}" for word in ("sent", "received", "everywhere"))
        self.phone.chat(self.bob.bare, sent)
        copy = (await self.laptop.until(lambda: self.laptop.carbons(sent, "carbon_sent"), "the sent copy"))[0]
        check(copy["from"] == self.phone.full and copy["to"] == self.bob.bare, f"copied {copy}")
        await self.bob.until(lambda: self.bob.messages(sent), "the message itself")
        self.bob.chat(self.phone.full, received)
        copies = lambda: self.laptop.carbons(received, "carbon_received")
        copy = (await self.laptop.until(copies, "the received copy"))[0]
        check(copy["from"] == self.bob.full and copy["to"] == self.phone.full, f"copied {copy}")
        self.bob.chat(self.phone.bare, everywhere)
        for device in (self.phone, self.laptop):
            seen = lambda d=device: d.messages(everywhere) + d.carbons(everywhere, "carbon_received")
            await device.until(seen, "the message to the bare address")
            await device.settled()
            check(len(seen()) == 1, f"{device.full} has it {len(seen())} times")
        own = self.phone.carbons(sent, "carbon_sent") + self.phone.carbons(received, "carbon_received")
        check(not own, "the device that has the message got a copy of it too")
        self.said += [sent, received, everywhere]

    async def offline_message(self):
        body = f"{RUN} while you were out"
        before = len(self.phone.presences(self.bob.full, "unavailable"))
        await self.bob.offline()
        gone = lambda: len(self.phone.presences(self.bob.full, "unavailable")) > before
        await self.phone.until(gone, "Bob's end")
        self.phone.chat(self.bob.bare, body)
        await self.phone.settled()
        self.bob = await Device(BOB, "desk").online()
        heard = (await self.bob.until(lambda: self.bob.messages(body), "the offline message"))[0]
        check(heard.get_plugin("delay", check=True) is not None, "it has no delay")
        check(heard["from"] == self.phone.full, f"from {heard['from']}")
        await self.bob.settled()
        check(len(self.bob.messages(body)) == 1, f"it came {len(self.bob.messages(body))} times")
        await self.bob.offline()
        self.bob = await Device(BOB, "desk").online()
        await self.bob.settled()
        check(not self.bob.messages(body), "it came again at the next login")
        self.said.append(body)

    async def archive(self, device, other):
        mam = device.plugin["xep_0313"]
        page = await mam.retrieve(with_jid=other.bare, rsm={"max": 50})
        found = [r["mam_result"]["forwarded"]["stanza"]["body"] for r in page["mam"]["results"]]
        check(found == self.said, f"{device.full} found {found}, not {self.said}")
        for result in page["mam"]["results"]:
            check(result["mam_result"]["forwarded"]["delay"]["stamp"], "a result has no delay")
        ids = [r["mam_result"]["id"] for r in page["mam"]["results"]]
        check(len(set(ids)) == len(ids), "two results share an id")
        paged = [m["mam_result"]["id"] async for m in mam.iterate(with_jid=other.bare, rsm={"max": 2})]
        check(paged == ids, "pages of two differ from the whole")
        none = await mam.retrieve(with_jid=f"nobody@{DOMAIN}", rsm={"max": 50})
        check(not none["mam"]["results"], "the archive answers with another contact's messages")

    async def archive_on_both_sides(self):
        await self.archive(self.phone, self.bob)
        await self.archive(self.bob, self.phone)

    async def resumes(self):
        robust = await Device(ALICE, "robust", stream_management=True).online()
        await self.bob.until(lambda: self.bob.presences(robust.full, "available"), "the device's presence")
        check(robust.plugin["xep_0198"].sm_id, "the server gave no resumption id")
        lost, after = f"{RUN} said before the cut", f"{RUN} sent after the cut"
        missed = [f"{RUN} sent in the cut, {number}" for number in range(5)]
        robust.chat(self.bob.full, lost)
        await asyncio.sleep(0)
        down = asyncio.ensure_future(robust.wait_until("disconnected", 10))
        await asyncio.sleep(0)
        robust.transport.abort()
        await down
        for body in missed:
            self.bob.chat(robust.full, body)
        await self.bob.settled()
        await robust.resumed()
        await robust.until(lambda: robust.messages(missed[-1]), "the last message sent in the cut")
        await self.bob.until(lambda: self.bob.messages(lost), "what was sent just before the cut")
        self.bob.chat(robust.full, after)
        await robust.until(lambda: robust.messages(after), "a message after the resumption")
        await robust.settled()
        await self.bob.settled()
        heard = [body for body in robust.bodies() if body in missed]
        check(heard == missed, f"of those sent in the cut came {heard}")
        check(len(self.bob.messages(lost)) == 1, f"Bob has it {len(self.bob.messages(lost))} times")
        check(not self.bob.presences(robust.full, "unavailable"), "Bob saw it go away")
        await robust.offline()
        await self.bob.until(lambda: self.bob.presences(robust.full, "unavailable"), "the end of a closed stream")

    async def ends(self):
        for name in ("phone", "laptop", "bob"):
            if device := getattr(self, name, None):
                await device.offline()


async def main():
    day, report = Day(), Report()
    await report.test("registers in-band", day.registers())
    await report.test("logs in by SCRAM over STARTTLS", day.logs_in())
    await report.test("logs in over direct TLS", day.logs_in_by_direct_tls())
    await report.test("pings the server and the own account", day.pings())
    await report.test("discovers the server and the account", day.discovers())
    await report.test("sets, gets and removes a roster item, pushed to the other device", day.roster_set_and_get())
    await report.test("subscribes both ways", day.subscribes_both_ways())
    await report.test("sees presence both ways", day.sees_presence_both_ways())
    await report.test("chats both ways", day.chats_both_ways())
    await report.test("gets carbons on the second device", day.carbons())
    await report.test("gets an offline message once, with its delay", day.offline_message())
    await report.test("finds the chat in both archives, by contact and by page", day.archive_on_both_sides())
    await report.test("resumes a cut stream and loses and doubles nothing", day.resumes())
    await report.test("is refused with a wrong password", day.wrong_password())
    await day.ends()
    return 1 if report.failed else 0


sys.exit(asyncio.run(main()))
