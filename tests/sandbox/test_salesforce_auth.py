"""Ways into the fake org, by simple-salesforce, in every flow that Salesforce has."""

import base64
import json
import re

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceExpiredSession

from connectors.sandbox.salesforce import Credentials, serve
from connectors.sandbox.world import World
from tests.sandbox.salesforce_client import Raw, login, session_to


def pem_pair():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def test_client_credentials_get_in_and_the_answer_has_the_documented_keys(org, session, sf):
    assert sf.query("SELECT COUNT() FROM User")["totalSize"] > 0
    answer = session.post(
        "https://acme.my.salesforce.com/services/oauth2/token",
        data={
            "grant_type": "client_credentials",
            "client_id": org.credentials.consumer_key,
            "client_secret": org.credentials.consumer_secret,
        },
    ).json()
    assert {"access_token", "instance_url", "id", "token_type", "issued_at", "signature"} <= set(answer)
    assert "expires_in" not in answer
    assert answer["token_type"] == "Bearer"
    assert re.fullmatch(r"https://login\.salesforce\.com/id/00D\w{15}/005\w{15}", answer["id"])


@pytest.mark.parametrize(
    ("change", "code"),
    [({"consumer_secret": "wrong"}, "invalid_client"), ({"consumer_key": "wrong"}, "invalid_client_id")],
)
def test_wrong_client_credentials_are_refused(org, session, change, code):
    with pytest.raises(SalesforceAuthenticationFailed) as caught:
        login(org, session, **change)
    assert caught.value.code == code


def test_oauth_password_gets_in_and_a_wrong_one_does_not(org, session):
    known = org.credentials
    sf = login(org, session, username=known.username, password=known.password, domain="login")
    assert sf.limits()["DailyApiRequests"]["Max"] == 100_000
    with pytest.raises(SalesforceAuthenticationFailed, match="authentication failure"):
        login(org, session, username=known.username, password="no", domain="login")


def test_soap_login_gets_in_and_wrong_passwords_are_told_in_xml(org, session):
    known = org.credentials
    arguments = {"username": known.username, "password": known.password, "session": session, "version": "59.0"}
    sf = Salesforce(security_token=known.security_token, **arguments)
    assert sf.sf_instance == "acme.my.salesforce.com"
    assert sf.query("SELECT Id FROM Organization")["totalSize"] == 1
    with pytest.raises(SalesforceAuthenticationFailed) as caught:
        Salesforce(security_token="wrong", **arguments)
    assert caught.value.code == "INVALID_LOGIN"


def test_soap_login_is_gone_from_version_65_on(org, session):
    known = org.credentials
    with pytest.raises(SalesforceAuthenticationFailed) as caught:
        login(
            org,
            session,
            username=known.username,
            password=known.password,
            security_token=known.security_token,
            version="65.0",
        )
    assert caught.value.code == "UNSUPPORTED_API_VERSION"


@pytest.mark.filterwarnings("ignore:(?s).*connected app policy")
def test_jwt_bearer_is_checked_against_the_public_key():
    private, public = pem_pair()
    other, _ = pem_pair()
    with serve(World(deals=5), credentials=Credentials(public_key=public)) as org, session_to(org) as session:
        known = org.credentials
        arguments = {
            "username": known.username,
            "consumer_key": known.consumer_key,
            "session": session,
            "version": "66.0",
        }
        sf = Salesforce(privatekey=private, **arguments)
        assert sf.query("SELECT COUNT() FROM User")["totalSize"] > 0
        with pytest.raises(SalesforceAuthenticationFailed) as caught:
            Salesforce(privatekey=other, **arguments)
        assert caught.value.code == "invalid_grant"
        with pytest.raises(SalesforceAuthenticationFailed):
            Salesforce(privatekey=private, **(arguments | {"username": "somebody@else"}))


@pytest.mark.parametrize(
    ("claim", "value"), [("aud", "https://evil.example"), ("sub", "x"), ("iss", "x"), ("exp", "soon")]
)
def test_every_claim_of_an_assertion_counts(org, session, claim, value):
    known = org.credentials
    claims = {
        "iss": known.consumer_key,
        "sub": known.username,
        "aud": "https://login.salesforce.com",
        "exp": "1800000000",
    }

    def post(payload):
        assertion = jwt.encode(payload, "k" * 40, algorithm="HS256").split(".")
        assertion[0] = base64.urlsafe_b64encode(json.dumps({"alg": "RS256"}).encode()).decode().rstrip("=")
        grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        return session.post(
            "https://login.salesforce.com/services/oauth2/token",
            data={"grant_type": grant, "assertion": ".".join(assertion)},
        )

    if claim != "exp":
        assert post(claims).status_code == 200
        refused = post(claims | {claim: value})
    else:
        del claims["exp"]
        refused = post(claims)
    assert refused.status_code == 400
    assert refused.json()["error"] in ("invalid_grant", "invalid_client_id")


def test_an_unknown_grant_is_refused(org, session):
    answer = session.post("https://x.salesforce.com/services/oauth2/token", data={"grant_type": "magic"})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_a_dead_session_is_renewed_by_clients_that_can_log_in(org, sf):
    org.expire_sessions()
    assert sf.query("SELECT COUNT() FROM User")["totalSize"] > 0
    assert org.calls["token"] == 2


def test_a_dead_session_ends_a_direct_client(org, session, sf):
    direct = Salesforce(session_id=sf.session_id, instance="acme.my.salesforce.com", session=session)
    assert direct.query("SELECT COUNT() FROM User")
    org.expire_sessions()
    with pytest.raises(SalesforceExpiredSession):
        direct.query("SELECT COUNT() FROM User")


def test_calls_without_a_token_are_refused_but_the_versions_are_public(org, session):
    refused = session.get("https://acme.my.salesforce.com/services/data/v66.0/limits")
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")
    versions = session.get("https://acme.my.salesforce.com/services/data/").json()
    assert versions[-1] == {"label": "Spring '26", "url": "/services/data/v66.0", "version": "66.0"}
    assert org.api_usage == 18


def test_sessions_can_die_of_inactivity():
    world = World(deals=5)
    with serve(world, session_seconds=7200) as org, session_to(org) as session:
        raw = Raw(org, session)
        world.tick(7000)
        assert raw.get("limits").status_code == 200
        world.tick(7300)
        assert raw.get("limits").status_code == 401
