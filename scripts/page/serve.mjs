// Serves the chat page alone, for work on it against any server: serve.mjs <port> [<ws-origin>].
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";

const [port = "15290", origin = ""] = process.argv.slice(2);
const assets = new URL("../../crates/server/assets/chat/", import.meta.url);
const names = ["index.html", "chat.css", "chat.js", "people.js", "scram.js", "xmpp.js"];
const types = { html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8" };
const policy = `default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ${origin}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

createServer(async (request, response) => {
  const name = new URL(request.url, "http://localhost").pathname.slice(1) || "index.html";
  if (!names.includes(name)) {
    response.writeHead(404).end();
    return;
  }
  const body = await readFile(new URL(name, assets));
  response.writeHead(200, { "content-type": types[name.split(".").pop()], "content-security-policy": policy, "cache-control": "no-store" });
  response.end(body);
}).listen(Number(port), "127.0.0.1", () => console.log(`http://localhost:${port}/`));
