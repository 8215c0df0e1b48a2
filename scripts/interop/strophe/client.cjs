// Runs page.js in headless Chromium over one transport: `node client.cjs ws` or `node client.cjs bosh`. NODE_PATH names the packages.
'use strict';
const { createServer } = require('node:http');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { chromium } = require('playwright-core');

const transport = process.argv[2];
const { INTEROP_DOMAIN: domain, INTEROP_HOST: host, INTEROP_HTTP_PORT: port, INTEROP_HTTPS_PORT: tlsPort } = process.env;
const service = { ws: `wss://${host}:${tlsPort}/ws`, bosh: `http://${host}:${port}/bosh` }[transport];
const library = join(process.env.NODE_PATH, 'strophe.js', 'dist', 'strophe.umd.cjs');

const files = {
  '/': ['text/html', '<!doctype html><meta charset=utf-8><link rel=icon href=data:,><script src=/strophe.js></script><script src=/page.js></script>'],
  '/strophe.js': ['text/javascript', readFileSync(library)],
  '/page.js': ['text/javascript', readFileSync(join(__dirname, 'page.js'))],
};
const pages = createServer((request, response) => {
  const [type, body] = files[request.url] ?? [];
  response.writeHead(body ? 200 : 404, { 'content-type': `${type ?? 'text/plain'}; charset=utf-8` });
  response.end(body);
});

async function main() {
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
      '--disable-background-networking', '--disable-component-update'],
  });
  let failed = 0;
  try {
    const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
    page.on('console', (line) => console.error(line.text()));
    page.on('pageerror', (fault) => console.error(fault));
    await page.exposeFunction('report', (what, fault) => {
      if (fault) failed += 1;
      console.log(fault ? `FAILED strophe-${transport}: ${what}: ${fault}` : `ok strophe-${transport}: ${what}`);
    });
    await page.goto(`http://127.0.0.1:${pages.address().port}/`);
    await page.evaluate((given) => window.run(given), { service, domain, transport });
  } finally {
    await browser.close();
    pages.close();
  }
  process.exitCode = failed ? 1 : 0;
}

main().catch((fault) => {
  console.error(fault);
  process.exit(1);
});
