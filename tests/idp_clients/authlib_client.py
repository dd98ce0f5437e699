"""Authlib against a running gateway: metadata, code with PKCE, ID token, userinfo, refresh, introspection, revocation.

    python authlib_client.py ISSUER CLIENT_ID CLIENT_SECRET REDIRECT_URI EMAIL PASSWORD
"""

import os
import re
import sys
import time
from urllib.parse import parse_qs, urlsplit

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # a loop-back address

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc import jwt
from joserfc.jwk import KeySet

issuer, client_id, client_secret, redirect_uri, email, password = sys.argv[1:]


def sign_in(browser, url):
    """What the person does; gives the address that they are sent back to."""

    def fields(page):
        return dict(re.findall(r'name="(csrf|request)" value="([^"]*)"', page.text))

    def follow(answer):
        while answer.status_code == 303:
            where = answer.headers["Location"]
            if where.startswith(redirect_uri):
                return where
            answer = browser.get(issuer + where, allow_redirects=False)
        return answer

    page = follow(browser.get(url, allow_redirects=False))
    if not isinstance(page, str) and 'type="password"' in page.text:
        form = {**fields(page), "email": email, "password": password}
        page = follow(browser.post(f"{issuer}/api/oauth/login", data=form, allow_redirects=False))
    if not isinstance(page, str):
        form = {**fields(page), "decision": "allow"}
        page = follow(browser.post(f"{issuer}/api/oauth/authorize/consent", data=form, allow_redirects=False))
    assert isinstance(page, str), page.text
    return page


metadata = OpenIDProviderMetadata(requests.get(f"{issuer}/.well-known/openid-configuration").json())
complaints = []
for name in dir(metadata):
    if name.startswith("validate_"):
        try:
            getattr(metadata, name)()
        except ValueError as complaint:
            complaints.append(str(complaint))
# ES256 is what the platform signs with; OpenID Connect Discovery asks for RS256 beside it.
assert complaints == ['"RS256" MUST be included in "id_token_signing_alg_values_supported"'], complaints
keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"]).json())

browser = requests.Session()
for method in ["client_secret_basic", "client_secret_post"]:
    session = OAuth2Session(
        client_id,
        client_secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        scope="openid profile email",
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
    )
    verifier, nonce = generate_token(48), generate_token(20)
    url, state = session.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
    )
    back = sign_in(browser, url)
    assert parse_qs(urlsplit(back).query)["iss"] == [issuer]
    token = session.fetch_token(
        metadata["token_endpoint"], authorization_response=back, code_verifier=verifier, state=state
    )
    decoded = jwt.decode(token["id_token"], keys, algorithms=["ES256"])
    options = {
        "iss": {"essential": True, "value": issuer},
        "aud": {"essential": True, "value": client_id},
        "nonce": {"essential": True, "value": nonce},
    }
    params = {"nonce": nonce, "client_id": client_id, "access_token": token["access_token"]}
    CodeIDToken(decoded.claims, decoded.header, options, params).validate(now=int(time.time()))
    assert decoded.claims["sub"] == "customer:42"

    told = session.get(metadata["userinfo_endpoint"]).json()
    assert (told["sub"], told["email"]) == ("customer:42", email), told

    newer = session.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
    assert newer["refresh_token"] != token["refresh_token"]
    seen = session.introspect_token(metadata["introspection_endpoint"], token=newer["access_token"]).json()
    assert (seen["active"], seen["sub"]) == (True, "customer:42"), seen
    revoked = session.revoke_token(metadata["revocation_endpoint"], token=newer["refresh_token"])
    assert revoked.status_code == 200
    seen = session.introspect_token(metadata["introspection_endpoint"], token=newer["access_token"]).json()
    assert seen == {"active": False}, seen
    header = {"Authorization": f"Bearer {newer['access_token']}"}
    assert requests.get(metadata["userinfo_endpoint"], headers=header).status_code == 401
    print(f"Authlib {method}: ok")
