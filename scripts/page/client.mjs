// An XMPP client of a few lines over WebSocket (RFC 7395), to have something for a console to show. Node 18 has no WebSocket of its own.
import { createRequire } from "node:module";

const { WebSocket } = createRequire(`${process.env.NODE_MODULES}/`)("ws");

export class Client {
  constructor(url) {
    this.socket = new WebSocket(url, "xmpp");
    [this.frames, this.waiting, this.isOpen] = [[], [], true];
    this.socket.addEventListener("message", ({ data }) => {
      this.frames.push(String(data));
      this.waiting.splice(0).forEach((look) => look());
    });
    this.socket.addEventListener("close", () => {
      this.isOpen = false;
      this.waiting.splice(0).forEach((look) => look());
    });
  }

  /** The first frame from now on that begins like this. */
  async next(start) {
    for (;;) {
      const at = this.frames.findIndex((frame) => start.test(frame));
      if (at >= 0) return this.frames.splice(0, at + 1).at(-1);
      if (!this.isOpen) throw new Error(`closed before ${start}`);
      await new Promise((resolve) => this.waiting.push(resolve));
    }
  }

  send(text) {
    this.socket.send(text);
  }

  /** Signs in and binds; false if the password is wrong. */
  async enter(name, password, resource) {
    await new Promise((resolve, reject) => {
      this.socket.addEventListener("open", resolve);
      this.socket.addEventListener("error", ({ message }) => reject(new Error(`no WebSocket: ${message}`)));
    });
    const open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";
    this.send(open);
    await this.next(/^<(stream:)?features/);
    const plain = Buffer.from(`\0${name}\0${password}`).toString("base64");
    this.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain}</auth>`);
    if (!(await this.next(/^<(success|failure)/)).startsWith("<success")) return false;
    this.send(open);
    await this.next(/^<(stream:)?features/);
    this.send(`<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind></iq>`);
    await this.next(/^<iq/);
    this.send("<presence xmlns='jabber:client'/>");
    await this.next(/^<presence/);
    return true;
  }

  close() {
    this.socket.close();
  }
}
