// What a person does in a day, with Strophe.js in a page: Alice has a phone and a laptop, Bob one device.
'use strict';
const PATIENCE = 10000;
const NS = {
  roster: 'jabber:iq:roster', register: 'jabber:iq:register', delay: 'urn:xmpp:delay', carbons: 'urn:xmpp:carbons:2',
  forward: 'urn:xmpp:forward:0', mam: 'urn:xmpp:mam:2', ping: 'urn:xmpp:ping', info: 'http://jabber.org/protocol/disco#info',
  rsm: 'http://jabber.org/protocol/rsm', form: 'jabber:x:data', blocking: 'urn:xmpp:blocking', vcard: 'vcard-temp',
};

function check(claim, otherwise) {
  if (!claim) throw new Error(otherwise);
}

function within(promise, what) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`waited in vain for ${what}`)), PATIENCE));
  return Promise.race([promise, late]);
}

const bodyOf = (message) => [...message.children].find((child) => child.localName === 'body')?.textContent;
const child = (element, ns, name) => [...element.children].find((c) => c.namespaceURI === ns && c.localName === name);

/** A connection that registers its account with the stream's features and stops there (XEP-0077). */
class Registration extends Strophe.Connection {
  _connect_cb(request, callback, raw) {
    this.do_authentication = false;
    super._connect_cb(request, callback, raw);
    const id = this.getUniqueId('register');
    this._addSysHandler((answer) => {
      this.answered(answer.getAttribute('type'));
      return false;
    }, null, 'iq', null, id);
    this.send($iq({ type: 'set', id }).c('query', { xmlns: NS.register })
      .c('username', {}, this.account.name).c('password', {}, this.account.password));
  }

  static async of(given, account) {
    const connection = new Registration(given.service);
    connection.account = account;
    const answer = new Promise((resolve) => { connection.answered = resolve; });
    connection.connect(account.bare, account.password, () => {});
    const type = await within(answer, 'the answer to the registration');
    check(type === 'result', `the registration was answered by ${type}`);
    connection.disconnect('registered');
  }
}

/** One device of an account: keeps every stanza and can wait for one. */
class Device {
  constructor(given, account, resource) {
    this.given = given;
    this.account = account;
    this.bare = account.bare;
    this.full = `${account.bare}/${resource}`;
    this.stanzas = [];
    this.waiting = [];
  }

  async connected(password = this.account.password) {
    this.connection = new Strophe.Connection(this.given.service);
    this.ended = new Promise((resolve) => { this.end = resolve; });
    const status = await within(new Promise((resolve) => {
      this.connection.connect(this.full, password, (now) => {
        if (now === Strophe.Status.CONNECTED) {
          this.connection.addHandler((stanza) => this.remember(stanza), null, null);
          resolve('connected');
        }
        if (now === Strophe.Status.AUTHFAIL) resolve('refused');
        if (now === Strophe.Status.DISCONNECTED) this.end();
      });
    }), `the login of ${this.full}`);
    return status;
  }

  remember(stanza) {
    this.stanzas.push(stanza);
    if (stanza.localName === 'iq' && stanza.getAttribute('type') === 'get') this.answer(stanza);
    this.waiting.forEach((look) => look());
    return true;
  }

  /** RFC 6120 §8.2.3: a request gets an answer. Strophe itself gives none; to the server's pings it acknowledges what came before. */
  answer(request) {
    const reply = { to: request.getAttribute('from'), id: request.getAttribute('id') };
    if (child(request, NS.ping, 'ping')) {
      this.connection.send($iq({ ...reply, type: 'result' }));
    } else {
      this.connection.send($iq({ ...reply, type: 'error' }).c('error', { type: 'cancel' })
        .c('service-unavailable', { xmlns: 'urn:ietf:params:xml:ns:xmpp-stanzas' }));
    }
  }

  async online() {
    check(await this.connected() === 'connected', `${this.full} was refused`);
    check(this.connection.jid === this.full, `bound as ${this.connection.jid}`);
    await this.roster();
    this.connection.send($pres());
    await this.settled();
    return this;
  }

  async offline() {
    this.connection.disconnect('done');
    await within(this.ended, `the end of ${this.full}`);
  }

  iq(stanza) {
    return new Promise((resolve, reject) => {
      const refused = (answer) => reject(new Error(answer ? `refused: ${answer.outerHTML}` : 'no answer to an iq'));
      this.connection.sendIQ(stanza, resolve, refused, PATIENCE);
    });
  }

  /** A ping behind what was sent: the server has handled all of it. */
  settled(to = this.given.domain) {
    return this.iq($iq({ type: 'get', to }).c('ping', { xmlns: NS.ping }));
  }

  async roster() {
    const answer = await this.iq($iq({ type: 'get' }).c('query', { xmlns: NS.roster }));
    return [...answer.getElementsByTagName('item')];
  }

  until(condition, what) {
    return within(new Promise((resolve) => {
      const look = () => {
        const value = condition();
        if (Array.isArray(value) ? value.length : value) {
          this.waiting = this.waiting.filter((other) => other !== look);
          resolve(value);
        }
      };
      this.waiting.push(look);
      look();
    }), `${what} at ${this.full}`);
  }

  chat(to, body) {
    this.connection.send($msg({ to, type: 'chat', id: this.connection.getUniqueId() }).c('body').t(body));
  }

  presence(to, type) {
    this.connection.send($pres({ to, type }));
  }

  messages(body) {
    return this.stanzas.filter((stanza) => stanza.localName === 'message' && bodyOf(stanza) === body);
  }

  carbons(body, kind) {
    const copies = this.stanzas.map((stanza) => child(stanza, NS.carbons, kind)).filter(Boolean);
    const inner = copies.map((copy) => child(copy, NS.forward, 'forwarded').getElementsByTagName('message')[0]);
    return inner.filter((message) => bodyOf(message) === body);
  }

  presences(from, type) {
    return this.stanzas.filter((stanza) => stanza.localName === 'presence' && stanza.getAttribute('from') === from
      && (stanza.getAttribute('type') ?? 'available') === type);
  }

  errors(from) {
    return this.stanzas.filter((stanza) => stanza.localName === 'message' && stanza.getAttribute('from') === from
      && stanza.getAttribute('type') === 'error');
  }

  pushes(jid, subscription) {
    const sets = this.stanzas.filter((stanza) => stanza.localName === 'iq' && stanza.getAttribute('type') === 'set');
    return sets.flatMap((set) => [...set.getElementsByTagName('item')])
      .filter((item) => item.getAttribute('jid') === jid && item.getAttribute('subscription') === subscription);
  }

  /** One page of the archive with a contact: what it holds, and the id to go on from if there is more. */
  async page(contact, max, after) {
    const queryid = this.connection.getUniqueId('archive');
    const query = $iq({ type: 'set' }).c('query', { xmlns: NS.mam, queryid }).c('x', { xmlns: NS.form, type: 'submit' })
      .c('field', { var: 'FORM_TYPE', type: 'hidden' }).c('value', {}, NS.mam).up()
      .c('field', { var: 'with' }).c('value', {}, contact).up()
      .up().c('set', { xmlns: NS.rsm }).c('max', {}, String(max));
    if (after) query.c('after', {}, after);
    const fin = child(await this.iq(query), NS.mam, 'fin');
    check(fin, 'the answer has no <fin/>');
    const results = this.stanzas.map((stanza) => child(stanza, NS.mam, 'result')).filter(Boolean);
    const found = results.filter((result) => result.getAttribute('queryid') === queryid)
      .map((result) => child(result, NS.forward, 'forwarded'));
    const last = child(fin, NS.rsm, 'set')?.getElementsByTagName('last')[0]?.textContent;
    return { found, next: fin.getAttribute('complete') === 'true' ? undefined : last };
  }

  async archive(contact, max = 50) {
    const all = [];
    let after;
    do {
      const { found, next } = await this.page(contact, max, after);
      check(found.length <= max, `a page of ${max} has ${found.length}`);
      all.push(...found);
      after = next;
    } while (after);
    return all;
  }

  /** XEP-0077 with an account that has signed in. */
  register(fields) {
    const query = $iq({ type: 'set', to: this.given.domain }).c('query', { xmlns: NS.register });
    for (const [name, value] of Object.entries(fields)) query.c(name, {}, value);
    return this.iq(query);
  }
}

const day = {
  async 'registers in-band'() {
    await Registration.of(this.given, this.alice);
    await Registration.of(this.given, this.bobs);
  },

  async 'logs in by SCRAM'() {
    this.phone = await new Device(this.given, this.alice, 'phone').online();
    this.laptop = await new Device(this.given, this.alice, 'laptop').online();
    this.bob = await new Device(this.given, this.bobs, 'desk').online();
    const mechanism = this.phone.connection._sasl_mechanism.mechname;
    check(mechanism.startsWith('SCRAM-'), `logged in by ${mechanism}`);
  },

  async 'pings the server and the own account'() {
    await this.phone.settled();
    await this.phone.settled(this.phone.bare);
  },

  async 'discovers the server and the account'() {
    const features = async (to) => {
      const answer = await this.phone.iq($iq({ type: 'get', to }).c('query', { xmlns: NS.info }));
      return [...answer.getElementsByTagName('feature')].map((feature) => feature.getAttribute('var'));
    };
    const server = await features(this.given.domain);
    for (const wanted of [NS.info, NS.ping, NS.carbons]) check(server.includes(wanted), `the server lacks ${wanted}`);
    check((await features(this.phone.bare)).includes(NS.mam), 'the account lacks its archive');
  },

  async 'sets, gets and removes a roster item, pushed to the other device'() {
    const jid = `carol@${this.given.domain}`;
    const set = (attributes) => $iq({ type: 'set' }).c('query', { xmlns: NS.roster }).c('item', { jid, ...attributes });
    await this.phone.iq(set({ name: 'Carol' }).c('group', {}, 'Friends'));
    await this.laptop.until(() => this.laptop.pushes(jid, 'none'), 'the push');
    const item = (await this.laptop.roster()).find((one) => one.getAttribute('jid') === jid);
    check(item?.getAttribute('name') === 'Carol' && item.textContent === 'Friends', `got ${item?.outerHTML}`);
    await this.phone.iq(set({ subscription: 'remove' }));
    await this.laptop.until(() => this.laptop.pushes(jid, 'remove'), 'the push of the removal');
    check(!(await this.phone.roster()).some((one) => one.getAttribute('jid') === jid), 'the item is still there');
  },

  async 'subscribes both ways'() {
    for (const [asker, answerer] of [[this.phone, this.bob], [this.bob, this.phone]]) {
      asker.presence(answerer.bare, 'subscribe');
      await answerer.until(() => answerer.presences(asker.bare, 'subscribe'), 'the request');
      answerer.presence(asker.bare, 'subscribed');
      await asker.until(() => asker.presences(answerer.bare, 'subscribed'), 'the approval');
      await asker.until(() => asker.presences(answerer.full, 'available'), 'presence after the approval');
    }
    await this.laptop.until(() => this.laptop.pushes(this.bob.bare, 'both'), 'Bob as both');
    await this.bob.until(() => this.bob.pushes(this.phone.bare, 'both'), 'Alice as both');
  },

  async 'sees presence both ways'() {
    for (const [watched, watcher] of [[this.phone, this.bob], [this.bob, this.laptop]]) {
      watched.connection.send($pres().c('show', {}, 'away').c('status', {}, 'lunch with a & b'));
      const isAway = () => watcher.presences(watched.full, 'available')
        .filter((one) => one.getElementsByTagName('show')[0]?.textContent === 'away');
      const [seen] = await watcher.until(isAway, 'away');
      check(seen.getElementsByTagName('status')[0].textContent === 'lunch with a & b', `status ${seen.outerHTML}`);
      watched.connection.send($pres());
    }
    const guest = await new Device(this.given, this.bobs, 'guest').online();
    await this.phone.until(() => this.phone.presences(guest.full, 'available'), 'the new device');
    await guest.offline();
    await this.phone.until(() => this.phone.presences(guest.full, 'unavailable'), "the device's end");
  },

  async 'chats both ways'() {
    this.said = [`${this.run} one <>&'" \u{1f426}`, `${this.run} two\nsecond line`];
    for (const [from, to, body] of [[this.phone, this.bob, this.said[0]], [this.bob, this.phone, this.said[1]]]) {
      from.chat(to.full, body);
      const [heard] = await to.until(() => to.messages(body), 'a chat');
      check(heard.getAttribute('from') === from.full && heard.getAttribute('type') === 'chat', heard.outerHTML);
    }
  },

  async 'gets carbons on the second device'() {
    for (const device of [this.phone, this.laptop]) {
      await device.iq($iq({ type: 'set' }).c('enable', { xmlns: NS.carbons }));
    }
    const [sent, received] = [`${this.run} sent`, `${this.run} received`];
    this.phone.chat(this.bob.bare, sent);
    await this.laptop.until(() => this.laptop.carbons(sent, 'sent'), 'the sent copy');
    await this.bob.until(() => this.bob.messages(sent), 'the message itself');
    this.bob.chat(this.phone.full, received);
    await this.laptop.until(() => this.laptop.carbons(received, 'received'), 'the received copy');
    await this.phone.until(() => this.phone.messages(received), 'the message itself');
    await this.phone.settled();
    check(!this.phone.carbons(sent, 'sent').length && !this.phone.carbons(received, 'received').length,
      'the device that has the message got a copy of it too');
    this.said.push(sent, received);
  },

  async 'gets an offline message once, with its delay'() {
    const body = `${this.run} while you were out`;
    const ends = () => this.phone.presences(this.bob.full, 'unavailable').length;
    const before = ends();
    await this.bob.offline();
    await this.phone.until(() => ends() > before, "Bob's end");
    this.phone.chat(this.bob.bare, body);
    await this.phone.settled();
    this.bob = await new Device(this.given, this.bobs, 'desk').online();
    const [heard] = await this.bob.until(() => this.bob.messages(body), 'the offline message');
    check(child(heard, NS.delay, 'delay'), 'it has no delay');
    await this.bob.settled();
    check(this.bob.messages(body).length === 1, `it came ${this.bob.messages(body).length} times`);
    await this.bob.offline();
    this.bob = await new Device(this.given, this.bobs, 'desk').online();
    await this.bob.settled();
    check(!this.bob.messages(body).length, 'it came again at the next login');
    this.said.push(body);
  },

  async 'finds the chat in both archives, by contact'() {
    for (const [device, other] of [[this.phone, this.bob], [this.bob, this.phone]]) {
      const found = await device.archive(other.bare);
      const bodies = found.map((forwarded) => bodyOf(forwarded.getElementsByTagName('message')[0]));
      check(JSON.stringify(bodies) === JSON.stringify(this.said), `${device.full} found ${JSON.stringify(bodies)}`);
      check(found.every((forwarded) => child(forwarded, NS.delay, 'delay')), 'a result has no delay');
    }
    check(!(await this.phone.archive(`nobody@${this.given.domain}`)).length, "another contact's messages came");
  },

  async 'pages an archive by two'() {
    const found = await this.phone.archive(this.bob.bare, 2);
    const bodies = found.map((forwarded) => bodyOf(forwarded.getElementsByTagName('message')[0]));
    check(JSON.stringify(bodies) === JSON.stringify(this.said), `found ${JSON.stringify(bodies)}`);
  },

  async 'blocks and unblocks a contact'() {
    const item = { jid: this.bob.bare };
    await this.phone.iq($iq({ type: 'set' }).c('block', { xmlns: NS.blocking }).c('item', item));
    this.bob.chat(this.phone.bare, `${this.run} blocked`);
    const refusal = () => this.bob.messages(`${this.run} blocked`).concat(this.bob.errors(this.phone.bare));
    const [refused] = await this.bob.until(refusal, 'the refusal');
    check(refused.getElementsByTagName('service-unavailable').length, refused.outerHTML);
    await this.phone.iq($iq({ type: 'set' }).c('unblock', { xmlns: NS.blocking }).c('item', item));
    this.bob.chat(this.phone.full, `${this.run} heard again`);
    await this.phone.until(() => this.phone.messages(`${this.run} heard again`), 'a message after it');
    check(!this.phone.messages(`${this.run} blocked`).length, 'the blocked message came');
  },

  async 'shows a vCard'() {
    await this.phone.iq($iq({ type: 'set' }).c('vCard', { xmlns: NS.vcard }).c('FN', {}, 'Alice & <more>'));
    const card = await this.bob.iq($iq({ type: 'get', to: this.phone.bare }).c('vCard', { xmlns: NS.vcard }));
    check(card.getElementsByTagName('FN')[0]?.textContent === 'Alice & <more>', card.outerHTML);
  },

  async 'changes the password'() {
    const password = `${this.bobs.password} & more`;
    await this.bob.register({ username: this.bobs.name, password });
    check(await new Device(this.given, this.bobs, 'former').connected() === 'refused', 'the former one is good');
    this.bobs.password = password;
    const other = await new Device(this.given, this.bobs, 'changed').online();
    await other.offline();
  },

  async 'is refused with a wrong password'() {
    check(await new Device(this.given, this.bobs, 'thief').connected('not this') === 'refused', 'was let in');
  },

  async 'removes the account'() {
    // Over BOSH the answer comes in the body that ends the session, of which Strophe reads nothing else.
    const answer = this.bob.register({ remove: '' });
    await Promise.race([answer, this.bob.ended]);
    await within(this.bob.ended, 'the end of the connection');
    check(await new Device(this.given, this.bobs, 'desk').connected() === 'refused', 'was let in');
    await this.phone.until(() => this.phone.presences(this.bob.bare, 'unsubscribed'), "the end of Bob's approval");
    this.bob = undefined;
  },
};

window.run = async (given) => {
  Strophe.setLogLevel(Strophe.LogLevel.WARN);
  const run = crypto.randomUUID().slice(0, 6);
  const account = (name) => ({
    name: `strophe-${given.transport}-${name}-${run}`,
    bare: `strophe-${given.transport}-${name}-${run}@${given.domain}`,
    password: crypto.randomUUID(),
  });
  const state = { given, run, alice: account('alice'), bobs: account('bob') };
  for (const [what, steps] of Object.entries(day)) {
    const fault = await steps.call(state).then(() => null, (reason) => String(reason).replaceAll('\n', ' '));
    await window.report(what, fault);
  }
  for (const device of [state.phone, state.laptop, state.bob]) await device?.offline().catch(() => {});
};
