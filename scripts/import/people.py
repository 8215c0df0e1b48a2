"""Makes accounts on somebody else's server, with what its export must hold: people.py PORT."""

import base64
import socket
import sys
from xml.etree.ElementTree import XMLPullParser

CLIENT = "{jabber:client}"
ROSTER = "<query xmlns='jabber:iq:roster'>%s</query>"
BOB = "<item jid='bob@localhost' name='Bob'><group>Friends</group><group>Work &amp; Co</group></item>"
KEPT = (
    "<vCard xmlns='vcard-temp'><FN>Alice Liddell</FN><NICKNAME>al</NICKNAME></vCard>",
    "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference name='Tea' jid='tea@rooms.example'/>"
    "</storage></query>",
    "<block xmlns='urn:xmpp:blocking'><item jid='eve@localhost'/></block>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='http://jabber.org/protocol/nick'><item id='current'>"
    "<nick xmlns='http://jabber.org/protocol/nick'>al</nick></item></publish></pubsub>",
    ROSTER % BOB,
)


class Person:
    """One connection. Sends, and waits for what must come of it."""

    def __init__(self, name, port):
        self.jid = f"{name}@localhost"
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.open()
        user = f"<username>{name}</username><password>{name}-secret</password>"
        self.ask(f"<query xmlns='jabber:iq:register'>{user}</query>")
        plain = base64.b64encode(f"\0{name}\0{name}-secret".encode()).decode()
        self.write(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>")
        self.until(lambda one: one.tag.endswith("}success"))
        self.open()
        self.ask("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind>")
        self.ask("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>")
        self.ask(ROSTER % "", "get")
        self.write("<presence/>")
        self.until(lambda one: one.tag == CLIENT + "presence")

    def open(self):
        self.parser, self.come, self.depth = XMLPullParser(["start", "end"]), [], 0
        self.write("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>")
        self.until(lambda one: one.tag.endswith("}features"))

    def write(self, text):
        self.socket.sendall(text.encode())

    def until(self, is_wanted):
        while True:
            while self.come:
                one = self.come.pop(0)
                if is_wanted(one):
                    return one
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(f"{self.jid} was dropped")
            self.parser.feed(data)
            for event, element in self.parser.read_events():
                self.depth += 1 if event == "start" else -1
                if event == "end" and self.depth == 1:
                    self.come.append(element)

    def ask(self, payload, kind="set"):
        self.write(f"<iq type='{kind}' id='q'>{payload}</iq>")
        answer = self.until(lambda one: one.tag == CLIENT + "iq" and one.get("id") == "q")
        if answer.get("type") != "result":
            raise ValueError(f"{payload} was refused")

    def presence(self, to, kind):
        self.write(f"<presence to='{to.jid}' type='{kind}'/>")
        to.until(lambda one: one.tag == CLIENT + "presence" and one.get("type") == kind)

    def chat(self, to, body):
        self.write(f"<message to='{to.jid}' type='chat' id='{len(body)}'><body>{body}</body></message>")

    def leave(self):
        self.write("</stream:stream>")
        while self.socket.recv(65536):
            pass


def main(port):
    alice, bob, carol = (Person(name, port) for name in ("alice", "bob", "carol"))
    for kept in KEPT:
        alice.ask(kept)
    for one, other in ((alice, bob), (bob, alice)):
        one.presence(other, "subscribe")
        other.presence(one, "subscribed")
    alice.presence(carol, "subscribe")  # who never answers
    alice.chat(bob, "curiouser")
    bob.until(lambda one: one.tag == CLIENT + "message")
    bob.leave()
    carol.leave()
    alice.chat(bob, "first &lt;late&gt;")
    alice.chat(bob, "second &amp; last")
    alice.ask("<query xmlns='http://jabber.org/protocol/disco#info'/>", "get")  # all before it was handled
    alice.leave()


main(int(sys.argv[1]))
