// The whole sign-in in a real browser, in both colour schemes and at the width of a phone: signing in with a
// mistake, granting, being sent back, seeing and withdrawing what was granted, signing out. By keyboard where
// it says so. Screenshots go to SHOTS.
//
//   node browser.mjs AUTHORIZE_URL REDIRECT_URI EMAIL PASSWORD
//
// MODULES names the folder that has puppeteer-core, CHROMIUM the browser.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import http from 'node:http';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.env.MODULES}/`);
const { default: puppeteer } = await import(pathToFileURL(require.resolve('puppeteer-core')));
const [authorize, redirect, email, password] = process.argv.slice(2);
const base = new URL(authorize).origin + '/api/oauth';

// The client's website: a page that says where it was opened.
const site = http.createServer((request, answer) => {
  answer.setHeader('content-type', 'text/html');
  answer.end(`<title>client</title><p>${request.url.replaceAll('<', '')}`);
});
await new Promise((ready) => site.listen(new URL(redirect).port, '127.0.0.1', ready));

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
});
try {
  for (const scheme of ['light', 'dark']) {
    for (const [size, width, height] of [['desktop', 1280, 900], ['phone', 390, 844]]) {
      await walk(scheme, size, { width, height });
      console.log(`Chromium ${scheme} ${size}: ok`);
    }
  }
} finally {
  await browser.close();
  site.close();
}

async function walk(scheme, size, viewport) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    // What a page of ours may not do, or cannot find.
    if (/Content Security Policy|404/.test(message.text())) complaints.push(message.text());
  });
  await page.setViewport(viewport);
  await page.setJavaScriptEnabled(false);
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  const seen = async (name) => {
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}-${scheme}-${size}.png`, fullPage: true });
    await readable(page, name, viewport.width);
  };
  const press = async (selector) => {
    await Promise.all([page.waitForNavigation(), page.click(selector)]);
  };

  await page.goto(authorize);
  await seen('login');
  // By keyboard alone: the first field has the focus, Tab goes on, Enter sends.
  await page.keyboard.type(email);
  await page.keyboard.press('Tab');
  await page.keyboard.type('a wrong password');
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  assert.match(await page.title(), /^Error: Sign in/);
  assert.match(await text(page, '[role=alert]'), /Wrong email address or password/);
  await seen('wrong');
  await page.keyboard.type(password);
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  assert.match(await text(page, 'h1'), /wants to know who you are/);
  assert.ok((await text(page, 'main')).includes(email));
  await seen('consent');
  await press('button[value=allow]');
  assert.ok(page.url().startsWith(`${redirect}?code=sx_ic_`), page.url());

  await page.goto(authorize + '&prompt=select_account');
  await seen('choose');
  await press('button[name=go_on]');
  assert.ok(page.url().startsWith(`${redirect}?code=sx_ic_`), 'consent was remembered');

  await page.goto(`${base}/apps`);
  await seen('apps');
  await press('form[action$="/apps/withdraw"] button');
  assert.match(await text(page, 'main'), /have not signed in to any app/);
  await page.goto(authorize);
  assert.match(await text(page, 'h1'), /wants to know/, 'asked again after the withdrawal');
  await press('button[value=deny]');
  assert.match(page.url(), /error=access_denied/);

  // The form's answer leads to the client's own origin, which the page's policy has to allow.
  const goodbye = redirect.replace('callback', 'goodbye');
  const client = new URL(authorize).searchParams.get('client_id');
  const back = new URLSearchParams({ client_id: client, post_logout_redirect_uri: goodbye, state: 's' });
  await page.goto(`${base}/logout?${back}`);
  await seen('sign-out');
  await press('button.primary');
  assert.equal(page.url(), `${goodbye}?state=s`);
  await page.goto(`${base}/logout`);
  assert.match(await text(page, 'h1'), /You are signed out/);
  await seen('signed-out');
  await page.goto(`${base}/apps`);
  assert.match(await text(page, 'h1'), /Sign in/, 'signed out');
  await page.goto(`${base}/authorize?client_id=x`);
  await seen('problem');
  assert.deepEqual(complaints, []);
  await context.close();
}

async function text(page, selector) {
  return page.$eval(selector, (element) => element.textContent.trim());
}

/** What every page owes to its readers; JavaScript is off for the page, not for us. */
async function readable(page, name, width) {
  const facts = await page.evaluate(() => {
    const color = (text) => text.match(/[\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((part) => {
        const share = part / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const contrast = (one, other) => {
      const [a, b] = [luminance(one), luminance(other)];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    const ground = (element) => {
      for (let up = element; up; up = up.parentElement) {
        const own = color(getComputedStyle(up).backgroundColor);
        if (own.length === 3 || own[3] > 0) return own;
      }
      return [255, 255, 255];
    };
    const faint = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || ['STYLE', 'OPTION'].includes(element.tagName)) continue;
      const ratio = contrast(color(getComputedStyle(element).color), ground(element));
      if (ratio < 4.5) faint.push(`${walker.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
    }
    const small = [...document.querySelectorAll('button, .button, input:not([type=hidden])')]
      .filter((element) => element.type !== 'radio')
      .map((element) => [element.textContent || element.id, element.getBoundingClientRect().height])
      .filter(([, tall]) => tall < 44);
    const unlabelled = [...document.querySelectorAll('input:not([type=hidden])')].filter((input) => !input.labels.length);
    return {
      faint,
      small,
      unlabelled: unlabelled.length,
      wide: document.documentElement.scrollWidth,
      headings: document.querySelectorAll('h1').length,
      language: document.documentElement.lang,
      scripts: document.scripts.length,
    };
  });
  assert.deepEqual(facts.faint, [], `${name}: text that is hard to read`);
  assert.deepEqual(facts.small, [], `${name}: too small to touch`);
  assert.equal(facts.unlabelled, 0, `${name}: a field without a label`);
  assert.ok(facts.wide <= width, `${name}: ${facts.wide} pixels wide`);
  assert.equal(facts.headings, 1, name);
  assert.equal(facts.language, 'en', name);
  assert.equal(facts.scripts, 0, name);
}
