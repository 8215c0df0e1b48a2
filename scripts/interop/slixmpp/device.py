"""One device of an account: a slixmpp client that remembers every stanza it receives and can wait for one."""

import asyncio
import os
import ssl
from dataclasses import dataclass

from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError
from slixmpp.stanza import Iq, Message, Presence, StreamFeatures

DOMAIN = os.environ["INTEROP_DOMAIN"]
HOST = os.environ["INTEROP_HOST"]
PORT = int(os.environ["INTEROP_PORT"])
TLS_PORT = int(os.environ["INTEROP_TLS_PORT"])
PATIENCE = 10
PLUGINS = ["0012", "0030", "0048", "0049", "0054", "0059", "0077", "0092", "0115", "0191", "0199", "0202", "0203", "0280", "0313",
           "0352", "0359", "0441"]


@dataclass(frozen=True)
class Account:
    name: str
    password: str

    @property
    def bare(self):
        return f"{self.name}@{DOMAIN}"


class Device(ClientXMPP):
    def __init__(self, account, resource, *, register=False, direct_tls=False, stream_management=False,
                 mechanism=None):
        super().__init__(f"{account.bare}/{resource}", account.password, sasl_mech=mechanism)
        self.full = f"{account.bare}/{resource}"
        self.bare = account.bare
        self.stanzas = []
        self.refused = False  # no mechanism was left to try
        self.ended = False  # the connection is gone
        self.registration_error = None
        self.features_seen = {}
        self._news = asyncio.Event()
        # The server's certificate is its own.
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        self.enable_direct_tls = direct_tls
        self.enable_starttls = not direct_tls
        self.enable_plaintext = False
        self.address = (HOST, TLS_PORT if direct_tls else PORT)
        self.roster.auto_authorize = self.roster.auto_subscribe = None
        self.client_roster.auto_authorize = self.client_roster.auto_subscribe = None
        plugins = PLUGINS
        if register:
            self.add_event_handler("register", self._register)
        if stream_management:
            plugins = [*PLUGINS, "0198"]
        for number in plugins:
            self.register_plugin(f"xep_{number}")
        self.plugin["xep_0199"].keepalive = False
        self.add_filter("in", self._remember)
        self.add_event_handler("failed_all_auth", lambda _: self._note(refused=True))
        self.add_event_handler("disconnected", lambda _: self._note(ended=True))
        self.add_event_handler("connected", lambda _: self._note(ended=False))

    async def _register(self, _form):
        iq = self.Iq()
        iq["type"] = "set"
        iq["register"]["username"] = self.boundjid.user
        iq["register"]["password"] = self.password
        try:
            await iq.send()
        except IqError as refused:
            self._note(registration_error=refused.condition)

    def _note(self, **news):
        self.__dict__.update(news)
        self._news.set()

    def _remember(self, stanza):
        if isinstance(stanza, StreamFeatures):
            if stanza.get_plugin("caps", check=True) is not None:
                self.features_seen["caps"] = stanza["caps"]
        if isinstance(stanza, (Iq, Message, Presence)):
            self.stanzas.append(stanza)
            self._news.set()
        return stanza

    async def until(self, condition, what):
        """Waits until `condition()` holds and returns its value; it is looked at again with each stanza."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            self._news.clear()
            value = condition()
            if value:
                return value
            left = deadline - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except asyncio.TimeoutError:
                raise AssertionError(f"{self.full} waited in vain for {what}") from None

    async def connected(self):
        """Logs in (and registers first, if so made); no presence yet."""
        started = asyncio.ensure_future(self.wait_until("session_start", PATIENCE))
        await asyncio.sleep(0)
        self.connect(*self.address)
        await started
        return self

    async def online(self):
        """Logged in, the roster fetched, available, and the server has seen it."""
        await self.connected()
        await self.get_roster()
        self.send_presence()
        await self.settled()
        return self

    async def settled(self):
        """A ping behind what was sent: the server has handled all of it, and what it owed before is here."""
        await self.plugin["xep_0199"].send_ping(DOMAIN, timeout=PATIENCE)

    async def cut(self):
        """The socket is gone, as when a phone loses its network. What was written before is on its way."""
        await self.waiting_queue.join()
        self.transport.abort()
        await self.until(lambda: self.ended, "the end of a cut connection")

    async def resumed(self):
        """Connects again and resumes the former stream."""
        done = asyncio.ensure_future(self.wait_until("session_resumed", PATIENCE))
        await asyncio.sleep(0)
        self.connect(*self.address)
        await done

    async def connected_again(self):
        """Connects again and resumes or, if that is not possible, binds anew."""
        names = ("session_resumed", "session_start")
        waiting = [asyncio.ensure_future(self.wait_until(name, PATIENCE)) for name in names]
        await asyncio.sleep(0)
        self.connect(*self.address)
        done, late = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in late:
            one.cancel()
        await done.pop()

    async def acknowledged(self):
        """Waits until the server has acknowledged all that was sent (XEP-0198)."""
        management = self.plugin["xep_0198"]
        self.add_event_handler("stanza_acked", lambda _: self._news.set())
        await self.settled()  # what slixmpp still held back is written, else the request would overtake it
        management.request_ack()
        await self.until(lambda: not management.unacked_queue, "the server's ack")

    async def offline(self):
        if self.transport:
            await self.disconnect()

    async def roster_query(self, version=None):
        iq = self.make_iq_get()
        iq.enable("roster")
        if version is not None:
            iq["roster"]["ver"] = version
        return await iq.send(timeout=PATIENCE)

    async def roster_items(self):
        """The whole roster, whatever version of it this device has."""
        return (await self.roster_query())["roster"]["items"]

    def chat(self, to, body):
        message = self.make_message(mto=to, mbody=body, mtype="chat")
        message.send()

    def messages(self, body):
        """Those addressed to this device itself (no carbons, no archive results) with this body."""
        return [s for s in self.stanzas if isinstance(s, Message) and s["body"] == body]

    def bodies(self):
        """The bodies of all messages addressed to this device itself, as they came."""
        return [s["body"] for s in self.stanzas if isinstance(s, Message) and s["body"]]

    def carbons(self, body, kind):
        """The carbon copies with this body; kind is carbon_sent or carbon_received."""
        found = []
        for stanza in self.stanzas:
            if isinstance(stanza, Message) and stanza.get_plugin(kind, check=True) is not None:
                if stanza[kind]["body"] == body:
                    found.append(stanza[kind])
        return found

    def presences(self, sender, kind):
        """Presence from a full or bare JID; kind is a type, or `available`, or what <show/> says."""
        return [s for s in self.stanzas if isinstance(s, Presence) and s["type"] == kind and s["from"] == sender]

    def pushes(self, jid):
        """Roster pushes about `jid`, in order."""
        sets = [s for s in self.stanzas if isinstance(s, Iq) and s["type"] == "set"]
        items = [s["roster"]["items"] for s in sets if s.get_plugin("roster", check=True) is not None]
        return [item[jid] for item in items if jid in item]

    def sets(self, payload):
        """What the server pushed with this payload, by slixmpp's name of it."""
        return [s for s in self.stanzas if isinstance(s, Iq) and s["type"] == "set" and s.get_plugin(payload, check=True)]

    def errors(self, sender):
        """Messages that came back from `sender` as errors."""
        return [s for s in self.stanzas if isinstance(s, Message) and s["type"] == "error" and s["from"] == sender]
