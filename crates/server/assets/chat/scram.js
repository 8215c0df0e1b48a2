// SCRAM-SHA-256 (RFC 5802, RFC 7677) by the browser's own crypto: the password never leaves the page.

const utf8 = new TextEncoder();
// RFC 7677 §4 wants at least 4096 rounds; the upper bound keeps a hostile server from freezing the page.
const FEWEST_ROUNDS = 4096;
const MOST_ROUNDS = 2_000_000;

export class Scram {
  #username;
  #password;
  #nonce;
  #bare;
  #expected = null;

  constructor(username, password, nonce = freshNonce()) {
    this.#username = prepare(username);
    this.#password = prepare(password);
    this.#nonce = nonce;
    this.#bare = `n=${escapeName(this.#username)},r=${this.#nonce}`;
  }

  /** `n,,`: a page cannot see the TLS session beneath it, so there is no channel binding. */
  first() {
    return toBase64(utf8.encode(`n,,${this.#bare}`));
  }

  /** The answer to the server's first message, and what its last one will have to be. */
  async final(challenge) {
    const serverFirst = new TextDecoder().decode(fromBase64(challenge));
    const fields = parse(serverFirst);
    const rounds = Number(fields.i);
    if (fields.m !== undefined || !fields.r || !fields.s) throw new Error("The server's challenge cannot be read.");
    if (!fields.r.startsWith(this.#nonce) || fields.r.length === this.#nonce.length) {
      throw new Error("The server answered somebody else's challenge.");
    }
    if (!Number.isInteger(rounds) || rounds < FEWEST_ROUNDS || rounds > MOST_ROUNDS) {
      throw new Error("The server asks for an unreasonable number of hashing rounds.");
    }

    const withoutProof = `c=${toBase64(utf8.encode("n,,"))},r=${fields.r}`;
    const authMessage = utf8.encode(`${this.#bare},${serverFirst},${withoutProof}`);
    const salted = await stretch(this.#password, fromBase64(fields.s), rounds);
    const clientKey = await hmac(salted, utf8.encode("Client Key"));
    const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
    const signature = await hmac(storedKey, authMessage);
    const proof = clientKey.map((byte, index) => byte ^ signature[index]);
    this.#expected = await hmac(await hmac(salted, utf8.encode("Server Key")), authMessage);
    return toBase64(utf8.encode(`${withoutProof},p=${toBase64(proof)}`));
  }

  /** Whether the server, too, knew the password (RFC 5802 §3). Without this a stranger could play the server. */
  verifies(success) {
    if (!this.#expected || !success) return false;
    const { v } = parse(new TextDecoder().decode(fromBase64(success)));
    return v === toBase64(this.#expected);
  }
}

async function stretch(password, salt, iterations) {
  const key = await crypto.subtle.importKey("raw", utf8.encode(password), "PBKDF2", false, ["deriveBits"]);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations }, key, 256));
}

async function hmac(key, data) {
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, data));
}

/** The part of SASLprep (RFC 4013) that ordinary passwords meet: other spaces become a space, then NFKC. */
function prepare(text) {
  const mapped = text.replace(/[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/g, " ").replace(/[\u00ad\u200b-\u200d\u2060\ufeff]/g, "");
  return mapped.normalize("NFKC");
}

function escapeName(name) {
  return name.replaceAll("=", "=3D").replaceAll(",", "=2C");
}

function parse(message) {
  const fields = {};
  for (const part of message.split(",")) {
    if (part[1] === "=") fields[part[0]] = part.slice(2);
  }
  return fields;
}

function freshNonce() {
  return toBase64(crypto.getRandomValues(new Uint8Array(18)));
}

function toBase64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

function fromBase64(text) {
  return Uint8Array.from(atob(text.trim()), (char) => char.charCodeAt(0));
}
