"""`helm test`: signs in by each way in, sends messages to itself, and looks that each comes once and in order.

Needs Python and nothing else. Says what it saw; ends with 1 if a message is missing. Variables: HOST, DOMAIN, MESSAGES, WAYS
(`starttls:5222,tls:5223`), and ACCOUNT and PASSWORD of a user: without them one is registered, and removed at the end.
"""

import base64
import hashlib
import hmac
import os
import secrets
import socket
import ssl
import sys
from xml.etree.ElementTree import XMLPullParser
from xml.sax.saxutils import escape, quoteattr

CLIENT, SASL = "{jabber:client}", "{urn:ietf:params:xml:ns:xmpp-sasl}"
WITHIN = 20  # seconds for one answer


class Failed(Exception):
    pass


def b64(data):
    return base64.b64encode(data).decode()


class Client:
    """One connection, encrypted. Certificates are not looked at: self-signed ones pass, and SCRAM tells nobody the password."""

    def __init__(self, host, domain, way, port):
        self.domain = domain
        self.socket = socket.create_connection((host, port), WITHIN)
        if way == "tls":
            self.encrypt(["xmpp-client"])
        self.features = self.open()
        if way == "starttls":
            self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            self.expect("{urn:ietf:params:xml:ns:xmpp-tls}proceed")
            self.encrypt()
            self.features = self.open()

    def encrypt(self, protocols=()):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(protocols)
        self.socket = context.wrap_socket(self.socket, server_hostname=self.domain)

    def open(self):
        self.parser, self.depth = XMLPullParser(["start", "end"]), 0
        self.send(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
            f"to={quoteattr(self.domain)} version='1.0'>"
        )
        return self.expect("{http://etherx.jabber.org/streams}features")

    def send(self, text):
        self.socket.sendall(text.encode())

    def next(self):
        """The next whole element below the stream."""
        while True:
            for event, element in self.parser.read_events():
                self.depth += 1 if event == "start" else -1
                if event == "end" and self.depth == 1:
                    return element
            received = self.socket.recv(65536)
            if not received:
                raise Failed("the server closed the connection")
            self.parser.feed(received)

    def expect(self, tag, attributes=()):
        """The next one of that kind; others on the way are not looked at, errors end it."""
        while True:
            got = self.next()
            if got.tag == tag and all(got.get(key) == value for key, value in attributes):
                return got
            if got.tag in ("{http://etherx.jabber.org/streams}error", SASL + "failure"):
                raise Failed(f"{got.tag} " + " ".join(child.tag for child in got))

    def iq(self, content, to=""):
        self.send(f"<iq type='set' id='q' {to}>{content}</iq>")
        answer = self.expect(CLIENT + "iq", [("id", "q")])
        if answer.get("type") != "result":
            raise Failed("refused: " + " ".join(one.tag for error in answer.iter(CLIENT + "error") for one in error))
        return answer

    def sign_in(self, user, password, resource):
        """SCRAM-SHA-256 (RFC 7677), then a resource."""
        first = f"n=,r={secrets.token_urlsafe(24)}".replace("n=,", f"n={user.replace('=', '=3D').replace(',', '=2C')},")
        self.send(f"<auth xmlns='{SASL[1:-1]}' mechanism='SCRAM-SHA-256'>{b64(b'n,,' + first.encode())}</auth>")
        challenge = base64.b64decode(self.expect(SASL + "challenge").text).decode()
        fields = dict(field.split("=", 1) for field in challenge.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        bare = f"c=biws,r={fields['r']}"
        signature = hmac.digest(hashlib.sha256(key).digest(), f"{first},{challenge},{bare}".encode(), "sha256")
        proof = b64(bytes(a ^ b for a, b in zip(key, signature)))
        self.send(f"<response xmlns='{SASL[1:-1]}'>{b64(f'{bare},p={proof}'.encode())}</response>")
        self.expect(SASL + "success")
        self.open()
        bound = self.iq(f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind>")
        return bound.find(".//{urn:ietf:params:xml:ns:xmpp-bind}jid").text

    def register(self, user, password):
        self.iq(
            f"<query xmlns='jabber:iq:register'><username>{escape(user)}</username>"
            f"<password>{escape(password)}</password></query>"
        )

    def close(self):
        try:
            self.send("</stream:stream>")
        finally:
            self.socket.close()


def exchange(connect, user, password, count):
    """`count` messages from one session of the account to another of its sessions."""
    tag = secrets.token_hex(4)
    receiver, sender = connect(), connect()
    to = receiver.sign_in(user, password, f"test-in-{tag}")
    sender.sign_in(user, password, f"test-out-{tag}")
    sent = [f"{tag}-{number}" for number in range(count)]
    for one in sent:
        sender.send(f"<message to={quoteattr(to)} id='{one}' type='chat'><body>{one}</body></message>")
    got = []
    while len(got) < count:
        body = receiver.expect(CLIENT + "message").findtext(CLIENT + "body") or ""
        if body.startswith(tag):
            got.append(body)
    for client in (sender, receiver):
        client.close()
    if got != sent:
        raise Failed(f"sent {sent}, got {got}")


def main():
    host, domain, count = os.environ["HOST"], os.environ["DOMAIN"], int(os.environ["MESSAGES"])
    ways = [way.split(":") for way in os.environ["WAYS"].split(",")]
    user, password = os.environ.get("ACCOUNT", "").partition("@")[0], os.environ.get("PASSWORD", "")
    is_guest = not password
    if is_guest:
        user, password = f"helm-test-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
        client = Client(host, domain, ways[0][0], int(ways[0][1]))
        client.register(user, password)
        client.close()
    try:
        for way, port in ways:
            exchange(lambda: Client(host, domain, way, int(port)), user, password, count)
            print(f"{way} at {host}:{port}: {count} messages sent, {count} received, in order", flush=True)
    finally:
        if is_guest:
            client = Client(host, domain, ways[0][0], int(ways[0][1]))
            client.sign_in(user, password, "gone")
            client.iq("<query xmlns='jabber:iq:register'><remove/></query>")
            client.close()


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError) as error:
        sys.exit(f"failed: {error}")
