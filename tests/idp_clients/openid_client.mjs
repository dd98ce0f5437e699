// A certified OpenID client library against a running gateway: discovery, code with PKCE, ID token, userinfo,
// refresh, introspection, revocation. The person's part (pages, cookies) is done with plain fetch.
//
//   node openid_client.mjs ISSUER CLIENT_ID CLIENT_SECRET REDIRECT_URI EMAIL PASSWORD
//
// NODE_PATH does not count for modules: MODULES names the folder that has openid-client.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.env.MODULES}/`);
const client = await import(pathToFileURL(require.resolve('openid-client')));
const [issuer, id, secret, redirect_uri, email, password] = process.argv.slice(2);
const insecure = { execute: [client.allowInsecureRequests] };

/** A browser: cookies, redirects, forms. */
class Browser {
  cookies = new Map();

  async go(url, form) {
    for (let hops = 0; hops < 10; hops++) {
      if (!url.startsWith(issuer)) return { url };
      const headers = { cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ') };
      const body = form && new URLSearchParams(form);
      const answer = await fetch(url, { method: form ? 'POST' : 'GET', headers, body, redirect: 'manual' });
      for (const line of answer.headers.getSetCookie()) {
        const [name, value] = line.split(';')[0].split('=');
        this.cookies.set(name, value);
      }
      if (answer.status !== 303) return { url, status: answer.status, html: await answer.text() };
      url = new URL(answer.headers.get('location'), url).href;
      form = undefined;
    }
    throw new Error('redirects without end');
  }

  async signIn(url) {
    const fields = (page) =>
      Object.fromEntries([...page.html.matchAll(/name="(csrf|request)" value="([^"]*)"/g)].map((m) => [m[1], m[2]]));
    let page = await this.go(url);
    if (page.html?.includes('type="password"')) {
      page = await this.go(`${issuer}/api/oauth/login`, { ...fields(page), email, password });
    }
    if (page.html?.includes('name="decision"')) {
      page = await this.go(`${issuer}/api/oauth/authorize/consent`, { ...fields(page), decision: 'allow' });
    }
    assert.equal(page.html, undefined, page.html);
    return new URL(page.url);
  }
}

const browser = new Browser();
for (const [name, authentication] of [
  ['client_secret_basic', client.ClientSecretBasic(secret)],
  ['client_secret_post', client.ClientSecretPost(secret)],
]) {
  const config = await client.discovery(new URL(issuer), id, {}, authentication, insecure);
  const metadata = config.serverMetadata();
  assert.equal(metadata.issuer, issuer);
  assert.equal(metadata.supportsPKCE(), true);
  assert.equal(metadata.authorization_response_iss_parameter_supported, true);

  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const expectedNonce = client.randomNonce();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri,
    scope: 'openid profile email',
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    nonce: expectedNonce,
    max_age: '3600',
  });
  const back = await browser.signIn(url.href);
  const checks = { pkceCodeVerifier, expectedState, expectedNonce, maxAge: 3600, idTokenExpected: true };
  const tokens = await client.authorizationCodeGrant(config, back, checks);
  const claims = tokens.claims();
  assert.equal(claims.sub, 'customer:42');
  assert.equal(tokens.token_type, 'bearer');
  assert.ok(tokens.expiresIn() > 3500);

  const told = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
  assert.equal(told.email, email);
  assert.equal(told.name, 'Rahim Uddin');

  const newer = await client.refreshTokenGrant(config, tokens.refresh_token);
  assert.equal(newer.claims().sub, 'customer:42');
  assert.notEqual(newer.refresh_token, tokens.refresh_token);

  const active = await client.tokenIntrospection(config, newer.access_token);
  assert.equal(active.active, true);
  assert.equal(active.sub, 'customer:42');
  await client.tokenRevocation(config, newer.refresh_token);
  assert.equal((await client.tokenIntrospection(config, newer.access_token)).active, false);
  await assert.rejects(client.fetchUserInfo(config, newer.access_token, claims.sub));
  await assert.rejects(client.refreshTokenGrant(config, newer.refresh_token), (error) => {
    assert.equal(error.error, 'invalid_grant');
    return true;
  });

  const out = client.buildEndSessionUrl(config, {
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: redirect_uri.replace('callback', 'goodbye'),
  });
  const left = await browser.go(out.href);
  assert.equal(left.url, redirect_uri.replace('callback', 'goodbye'));
  console.log(`openid-client ${name}: ok`);
}
