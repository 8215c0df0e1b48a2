"""What the server keeps and says for an account: discovery, documents, block list, password, and its end."""

from datetime import datetime, timezone

from slixmpp.exceptions import IqError
from slixmpp.plugins.xep_0048.stanza import Bookmarks
from slixmpp.plugins.xep_0082 import parse

from device import DOMAIN, Account, Device
from people import RUN, account, check


async def pings(people):
    await people.phone.settled()
    await people.phone.plugin["xep_0199"].send_ping(people.phone.bare, timeout=10)
    await people.phone.plugin["xep_0199"].send_ping(people.laptop.full, timeout=10)


async def discovers(people):
    disco = people.phone.plugin["xep_0030"]
    server = (await disco.get_info(jid=DOMAIN, cached=False))["disco_info"]
    check(any(i[:2] == ("server", "im") for i in server["identities"]), f"identities {server['identities']}")
    features = ("http://jabber.org/protocol/disco#info", "urn:xmpp:ping", "urn:xmpp:carbons:2", "urn:xmpp:blocking",
                "jabber:iq:version", "urn:xmpp:time", "jabber:iq:last", "vcard-temp", "jabber:iq:private",
                "jabber:iq:register", "msgoffline")
    missing = [feature for feature in features if feature not in server["features"]]
    check(not missing, f"the server does not offer {missing}")
    own = (await disco.get_info(jid=people.phone.bare, cached=False))["disco_info"]
    check(any(i[:2] == ("account", "registered") for i in own["identities"]), f"{own['identities']}")
    for feature in ("urn:xmpp:mam:2", "urn:xmpp:mam:2#extended", "urn:xmpp:sid:0"):
        check(feature in own["features"], f"the account does not offer {feature}")


async def reads_the_servers_caps(people):
    caps = people.phone.plugin["xep_0115"]
    announced = people.phone.features_seen.get("caps")
    check(announced is not None, "the stream features have no caps")
    info = (await people.phone.plugin["xep_0030"].get_info(
        jid=DOMAIN, node=f"{announced['node']}#{announced['ver']}", cached=False))["disco_info"]
    ver = caps.generate_verstring(info, announced["hash"])
    check(ver == announced["ver"], f"announced {announced['ver']}, disco gives {ver}")


async def knows_a_contacts_caps(people):
    bob = people.bob.full
    sent = people.phone.presences(bob, "available")[-1]["caps"]
    info = (await people.phone.plugin["xep_0030"].get_info(
        jid=bob, node=f"{sent['node']}#{sent['ver']}", cached=False))["disco_info"]
    ver = people.phone.plugin["xep_0115"].generate_verstring(info, "sha-1")
    check(sent["ver"] and ver == sent["ver"], f"the presence said {sent['ver']}, disco gives {ver}")


async def asks_version_time_and_uptime(people):
    phone = people.phone
    version = (await phone.plugin["xep_0092"].get_version(DOMAIN))["software_version"]
    check(version["name"] == "Starling" or version["name"] == "Prosody", f"name {version['name']}")
    check(version["version"], "no version")
    time = (await phone.plugin["xep_0202"].get_entity_time(DOMAIN))["entity_time"]
    stamp = parse(time.xml.findtext("{urn:xmpp:time}utc"))  # slixmpp's own reader appends a second Z
    off = abs((datetime.now(timezone.utc) - stamp).total_seconds())
    check(off < 60, f"the server's time is off by {off} s")
    uptime = (await phone.plugin["xep_0012"].get_last_activity(DOMAIN))["last_activity"]
    check(0 <= uptime["seconds"] < 3600, f"up for {uptime['seconds']} s")


async def asks_a_contacts_last_activity(people):
    seconds = (await people.bob.plugin["xep_0012"].get_last_activity(people.phone.bare))["last_activity"]["seconds"]
    check(seconds == 0, f"a contact who is there was away for {seconds} s")
    stranger = await Device(account("stranger"), "first", register=True).connected()
    try:
        answer = await stranger.plugin["xep_0012"].get_last_activity(people.phone.bare)
        raise AssertionError(f"a stranger was told: {answer}")
    except IqError as refused:
        check(refused.condition in ("forbidden", "service-unavailable"), f"a stranger got {refused.condition}")
    await stranger.plugin["xep_0077"].cancel_registration()


async def keeps_private_xml(people):
    bookmarks = Bookmarks()
    bookmarks.add_conference("room@conference.example.org", "Alice", name="Birds", autojoin=True)
    await people.phone.plugin["xep_0048"].set_bookmarks(bookmarks, method="xep_0049")
    got = await people.laptop.plugin["xep_0048"].get_bookmarks(method="xep_0049")
    rooms = [(room["jid"], room["nick"]) for room in got["private"]["bookmarks"]["conferences"]]
    check(rooms == [("room@conference.example.org", "Alice")], f"the other device got {rooms}")
    of_bob = await people.bob.plugin["xep_0048"].get_bookmarks(method="xep_0049")
    check(not of_bob["private"]["bookmarks"]["conferences"], "Bob got Alice's")


async def shows_a_vcard(people):
    phone, bob = people.phone.plugin["xep_0054"], people.bob.plugin["xep_0054"]
    card = phone.make_vcard()
    card["FN"] = "Alice <of> Wonderland & elsewhere"
    card["NICKNAME"] = "Al"
    await phone.publish_vcard(card)
    seen = (await bob.get_vcard(people.phone.bare, local=False))["vcard_temp"]
    check(seen["FN"] == "Alice <of> Wonderland & elsewhere", f"Bob sees {seen}")
    try:  # XEP-0054 §3.3
        none = await phone.get_vcard(people.bob.bare, local=False)
        raise AssertionError(f"Bob never made one, but has {none}")
    except IqError as refused:
        check(refused.condition in ("item-not-found", "service-unavailable"), f"got {refused.condition}")


async def blocks_and_unblocks(people):
    phone, laptop, bob = people.phone, people.laptop, people.bob
    blocking = phone.plugin["xep_0191"]
    await laptop.plugin["xep_0191"].get_blocked()
    away = len(bob.presences(phone.full, "unavailable"))
    await blocking.block(bob.bare)
    await laptop.until(lambda: laptop.sets("block"), "the push of the block")
    await bob.until(lambda: len(bob.presences(phone.full, "unavailable")) > away, "Alice's unavailable")
    check({str(jid) for jid in await blocking.get_blocked_jids()} == {bob.bare}, "the block list is another")
    blocked, back = f"{RUN} blocked", f"{RUN} heard again"
    bob.chat(phone.bare, blocked)
    error = (await bob.until(lambda: bob.errors(phone.bare), "the refusal"))[-1]
    check(error["error"]["condition"] == "service-unavailable", f"Bob got {error['error']['condition']}")
    phone.chat(bob.bare, blocked)
    error = (await phone.until(lambda: phone.errors(bob.bare), "the refusal"))[-1]
    check(error["error"]["condition"] == "not-acceptable", f"Alice got {error['error']['condition']}")
    check(error.xml.find("{*}error/{urn:xmpp:blocking:errors}blocked") is not None, "it does not say `blocked`")
    here = len(bob.presences(phone.full, "available"))
    await blocking.unblock(bob.bare)
    await laptop.until(lambda: laptop.sets("unblock"), "the push of the end of it")
    await bob.until(lambda: len(bob.presences(phone.full, "available")) > here, "Alice's presence")
    bob.chat(phone.full, back)
    await phone.until(lambda: phone.messages(back), "a message after it")
    check(not phone.messages(blocked) + laptop.messages(blocked) + bob.messages(blocked), "a blocked message came")
    people.said.append(back)


async def rests_while_inactive(people):
    phone, bob = people.phone, people.bob
    phone.plugin["xep_0352"].send_inactive()
    await phone.settled()
    body = f"{RUN} wake up"
    bob.chat(phone.full, body)
    await phone.until(lambda: phone.messages(body), "a message while inactive")
    for status in ("one", "two", "three"):
        bob.send_presence(pstatus=status)
    await bob.settled()
    phone.plugin["xep_0352"].send_active()
    latest = lambda: [p for p in phone.presences(bob.full, "available") if p["status"] == "three"]
    await phone.until(latest, "the latest presence once active")
    people.said.append(body)


async def changes_the_password(people):
    former = account("carol")
    device = await Device(former, "first", register=True).connected()
    changed = Account(former.name, f"{former.password} & <more>")
    await device.plugin["xep_0077"].change_password(changed.password)
    refused = Device(former, "second")
    refused.connect(*refused.address)
    await refused.until(lambda: refused.refused, "the refusal of the former password")
    other = await Device(changed, "third").connected()
    await other.settled()
    for one in (device, refused, other):
        await one.offline()


async def removes_the_account(people):
    bob = people.bob
    going = account("dora")
    device = await Device(going, "first", register=True).online()
    other = await Device(going, "other").online()
    bob.send_presence_subscription(pto=device.bare, ptype="subscribe")
    await device.until(lambda: device.presences(bob.bare, "subscribe"), "the request")
    device.send_presence_subscription(pto=bob.bare, ptype="subscribed")
    await bob.until(lambda: bob.presences(device.full, "available"), "the presence of who will go")
    await device.plugin["xep_0077"].cancel_registration()
    await other.until(lambda: other.ended, "the end of the other session")
    await bob.until(lambda: bob.presences(device.full, "unavailable"), "the unavailable of who went")
    await bob.until(lambda: bob.presences(device.bare, "unsubscribed"), "the end of the subscription")
    refused = Device(going, "first")
    refused.connect(*refused.address)
    await refused.until(lambda: refused.refused, "the refusal of the removed account")
    await refused.offline()
    again = await Device(going, "first", register=True).online()
    check(not await again.roster_items(), "a new account of that name has the former's roster")
    await again.plugin["xep_0077"].cancel_registration()


TESTS = {
    "pings the server, the own account and another device": pings,
    "discovers the server and the account": discovers,
    "reads the server's caps off the stream features": reads_the_servers_caps,
    "knows a contact's caps": knows_a_contacts_caps,
    "asks the server for version, time and uptime": asks_version_time_and_uptime,
    "asks a contact's last activity, which no stranger is told": asks_a_contacts_last_activity,
    "keeps bookmarks in private XML": keeps_private_xml,
    "shows a vCard": shows_a_vcard,
    "blocks and unblocks a contact": blocks_and_unblocks,
    "gets messages at once and presence later while inactive": rests_while_inactive,
    "changes the password": changes_the_password,
    "removes the account": removes_the_account,
}
