"""The unmodified simple-salesforce, led to loopback by the adapter of the facts: swap scheme and host when sending."""

import base64
import urllib.parse
from contextlib import contextmanager

import requests
from simple_salesforce import Salesforce

VERSION = "64.0"


class ToSandbox(requests.adapters.HTTPAdapter):
    def __init__(self, url):
        self.target = urllib.parse.urlsplit(url)
        super().__init__()

    def send(self, request, **kwargs):
        parts = urllib.parse.urlsplit(request.url)
        request.url = parts._replace(scheme=self.target.scheme, netloc=self.target.netloc).geturl()
        kwargs["timeout"] = kwargs.get("timeout") or 10
        return super().send(request, **kwargs)


@contextmanager
def session_to(org):
    with requests.Session() as session:
        session.mount("https://", ToSandbox(org.url))
        yield session


def login(org, session, **overrides):
    known = org.credentials
    arguments = {
        "consumer_key": known.consumer_key,
        "consumer_secret": known.consumer_secret,
        "domain": known.domain,
        "version": VERSION,
        "session": session,
    }
    return Salesforce(**(arguments | overrides))


class Raw:
    """The wire without a client: get, post, query over a session that has a token."""

    def __init__(self, org, session, version="66.0"):
        self.org, self.session = org, session
        self.base = f"{org.credentials.instance_url}/services/data/v{version}"
        self.renew()

    def renew(self):
        known = self.org.credentials
        basic = base64.b64encode(f"{known.consumer_key}:{known.consumer_secret}".encode()).decode()
        answer = self.session.post(
            known.instance_url + "/services/oauth2/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": f"Basic {basic}"},
        )
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path, **kwargs):
        url = self.org.credentials.instance_url + path if path.startswith("/services") else f"{self.base}/{path}"
        return self.session.get(url, **kwargs)

    def post(self, path, body):
        return self.session.post(f"{self.base}/{path}", json=body)

    def query(self, soql, kind="query", **headers):
        return self.get(kind, params={"q": soql}, headers=headers)

    def rows(self, soql, kind="query", **headers):
        """All records over all pages."""
        answer = self.query(soql, kind, **headers).json()
        found = list(answer["records"])
        while not answer["done"]:
            answer = self.get(answer["nextRecordsUrl"], headers=headers).json()
            found += answer["records"]
        assert answer["totalSize"] == len(found)
        return found

    def ids(self, soql, kind="query"):
        return [row["Id"] for row in self.rows(soql, kind)]

    def error(self, soql, kind="query"):
        answer = self.query(soql, kind)
        return answer.status_code, answer.json()[0]["errorCode"], answer.json()[0]["message"]
