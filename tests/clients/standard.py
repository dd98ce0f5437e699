"""Authlib and requests-oauthlib against the standard endpoint: both ways of authentication, the token on a route,
introspection, revocation, the metadata. Prints what it saw as one JSON object."""

import json
import os

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

base = "http://" + os.environ["HOST"]
client_id, secret, store = os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"], os.environ["STORE"]
metadata = requests.get(base + "/.well-known/oauth-authorization-server", timeout=20).json()
endpoint = metadata["token_endpoint"]
seen = {"issuer": metadata["issuer"] == base}

for method in ("client_secret_basic", "client_secret_post"):
    session = AuthlibSession(client_id, secret, token_endpoint_auth_method=method, scope="read:orders")
    token = session.fetch_token(endpoint, grant_type="client_credentials", store_id=store)
    answer = session.get(base + "/standard/orders", timeout=20)
    told = session.introspect_token(metadata["introspection_endpoint"], token=token["access_token"]).json()
    session.revoke_token(metadata["revocation_endpoint"], token=token["access_token"])
    after = session.get(base + "/standard/orders", timeout=20)
    seen[method] = {
        "type": token["token_type"], "scope": token["scope"], "status": answer.status_code,
        "active": told["active"], "client": told["client_id"] == client_id, "after": after.status_code,
    }

session = OAuth2Session(client=BackendApplicationClient(client_id=client_id))
session.fetch_token(endpoint, auth=HTTPBasicAuth(client_id, secret), store_id=store)
seen["requests_oauthlib"] = session.get(base + "/standard/orders", timeout=20).status_code
session = OAuth2Session(client=BackendApplicationClient(client_id=client_id))
session.fetch_token(endpoint, client_secret=secret, include_client_id=True, store_id=store)
seen["requests_oauthlib_body"] = session.get(base + "/standard/orders", timeout=20).status_code

try:
    AuthlibSession(client_id, "wrong").fetch_token(endpoint, grant_type="client_credentials", store_id=store)
except OAuthError as error:
    seen["wrong_secret"] = error.error
try:
    AuthlibSession(client_id, secret, scope="write:everything").fetch_token(
        endpoint, grant_type="client_credentials", store_id=store)
except OAuthError as error:
    seen["wrong_scope"] = error.error
print(json.dumps(seen))
