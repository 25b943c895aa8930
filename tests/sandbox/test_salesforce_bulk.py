"""Bulk API 2.0 queries of the fake org (facts page, section 6)."""

import csv
import io

import pytest
from simple_salesforce.exceptions import SalesforceExpiredSession

from connectors.sandbox.salesforce import serve
from connectors.sandbox.world import World
from tests.sandbox.salesforce_client import Raw, session_to

SOQL = "SELECT Id, Name, Owner.Name, Amount, CloseDate, CreatedDate, Remarks__c FROM Opportunity"


def create(raw, soql=SOQL, operation="query", **more):
    return raw.post("jobs/query", {"operation": operation, "query": soql, **more})


def finish(raw, soql=SOQL, operation="query", **more):
    job = create(raw, soql, operation, **more).json()["id"]
    states = []
    while not states or states[-1] in ("UploadComplete", "InProgress"):
        states.append(raw.get(f"jobs/query/{job}").json()["state"])
    assert states == ["InProgress", "JobComplete"]
    return job


def rows_of(raw, job, **params):
    found, locator = [], None
    while locator != "null":
        answer = raw.get(f"jobs/query/{job}/results", params=params | ({"locator": locator} if locator else {}))
        answer.encoding = "utf-8"
        chunk = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert int(answer.headers["Sforce-NumberOfRecords"]) == len(chunk)
        locator = answer.headers["Sforce-Locator"]
        found += chunk
    return found


def test_a_job_goes_from_upload_to_complete_and_tells_its_size(raw, world):
    created = create(raw)
    assert created.status_code == 200
    job = created.json()
    assert job["id"].startswith("750")
    assert (job["state"], job["object"], job["contentType"], job["lineEnding"]) == (
        "UploadComplete",
        "Opportunity",
        "CSV",
        "LF",
    )
    assert raw.get(f"jobs/query/{job['id']}/results").status_code == 400
    raw.get(f"jobs/query/{job['id']}")
    done = raw.get(f"jobs/query/{job['id']}").json()
    assert done["state"] == "JobComplete"
    assert done["numberRecordsProcessed"] == sum(1 for _ in world.live())
    assert done["jobType"] == "V2Query"
    assert [j["id"] for j in raw.get("jobs/query").json()["records"]] == [job["id"]]


def test_results_are_the_rows_of_rest_in_csv_dress(raw):
    rest = raw.rows(SOQL)
    bulk = rows_of(raw, finish(raw))
    assert len(bulk) == len(rest)
    for line, record in zip(bulk, rest, strict=True):
        assert line["Id"] == record["Id"]
        assert line["Name"] == record["Name"]
        assert line["Owner.Name"] == record["Owner"]["Name"]
        assert line["CreatedDate"] == record["CreatedDate"].replace("+0000", "Z")
        assert line["CloseDate"] == record["CloseDate"]
        assert (float(line["Amount"]) if line["Amount"] else None) == record["Amount"]
        assert line["Remarks__c"] == (record["Remarks__c"] or "")


def test_every_value_is_quoted_and_every_chunk_repeats_the_header(raw):
    job = finish(raw)
    text = raw.get(f"jobs/query/{job}/results", params={"maxRecords": 5}).text
    assert text.startswith('"Id","Name","Owner.Name",')
    assert '"",' in text or ',""' in text
    assert "\r" not in text.split("\n")[0]
    second = raw.get(f"jobs/query/{job}/results", params={"maxRecords": 5, "locator": "NQ"})
    assert second.text.startswith('"Id",')
    assert second.headers["Content-Type"] == "text/csv"


def test_chunks_of_any_size_give_the_same_rows(raw, org):
    job = finish(raw)
    whole = rows_of(raw, job)
    assert rows_of(raw, job, maxRecords=1) == whole
    org.org.bulk.chunk = 7  # maxRecords is a ceiling: the server may cut sooner
    assert rows_of(raw, job, maxRecords=50) == whole


def test_result_pages_come_in_fives_and_cover_everything(raw, org):
    org.org.bulk.chunk = 11
    job = finish(raw)
    urls, path = [], f"jobs/query/{job}/resultPages"
    while path:
        page = raw.get(path).json()
        assert 1 <= len(page["resultPages"]) <= 5
        urls += [p["resultUrl"] for p in page["resultPages"]]
        path = page["nextRecordsUrl"]
        assert page["done"] == (path is None)
    ids = []
    for url in urls:
        ids += [r["Id"] for r in csv.DictReader(io.StringIO(raw.get(url).text, newline=""))]
    assert ids == [r["Id"] for r in rows_of(raw, job)]
    assert len(urls) > 5


def test_queryall_brings_deleted_rows_too(raw, world):
    soql = "SELECT Id, IsDeleted FROM Opportunity"
    gone = [r for r in rows_of(raw, finish(raw, soql, "queryAll")) if r["IsDeleted"] == "true"]
    assert len(gone) == sum(1 for kind in world.tombstones().values() if kind in ("deleted", "merged"))
    assert all(r["IsDeleted"] == "false" for r in rows_of(raw, finish(raw, soql)))


def test_an_empty_result_is_a_header(raw):
    job = finish(raw, "SELECT Id FROM Opportunity WHERE Name = 'nobody'")
    answer = raw.get(f"jobs/query/{job}/results")
    assert answer.text == '"Id"\n'
    assert answer.headers["Sforce-Locator"] == "null"
    assert raw.get(f"jobs/query/{job}/resultPages").json()["done"] is True


def test_delimiter_and_line_ending_are_as_asked(raw):
    job = finish(raw, "SELECT Id, Name FROM User", columnDelimiter="PIPE", lineEnding="CRLF")
    assert raw.get(f"jobs/query/{job}/results").text.startswith('"Id"|"Name"\r\n')


def test_a_job_keeps_the_rows_of_its_creation_and_can_be_read_later(raw, world):
    job = finish(raw)
    before = rows_of(raw, job)
    world.advance(days=1, changes=40)
    assert rows_of(raw, job) == before


@pytest.mark.parametrize(
    ("soql", "words"),
    [
        ("SELECT COUNT() FROM Opportunity", "Aggregate"),
        ("SELECT COUNT(Id) n FROM Opportunity GROUP BY StageName", "Aggregate"),
        ("SELECT Id, Site__c FROM Opportunity", "Selecting compound data not supported in Bulk Query"),
        ("SELECT Id, BillingAddress FROM Account", "Selecting compound data not supported in Bulk Query"),
        ("SELECT Id FROM Opportunity LIMIT 1 OFFSET 5", "OFFSET"),
        ("SELECT Nope FROM Opportunity", "No such column 'Nope'"),
    ],
)
def test_what_bulk_cannot_do_is_refused(raw, soql, words):
    answer = create(raw, soql)
    assert answer.status_code == 400
    assert words in answer.json()[0]["message"]


def test_bad_soql_can_also_fail_late(raw, org):
    org.org.bulk.late_errors = True
    job = create(raw, "SELECT Nope FROM Opportunity").json()["id"]
    raw.get(f"jobs/query/{job}")
    info = raw.get(f"jobs/query/{job}").json()
    assert info["state"] == "Failed"
    assert "No such column 'Nope'" in info["errorMessage"]
    assert raw.get(f"jobs/query/{job}/results").status_code == 400


def test_some_objects_are_not_for_bulk(raw, org):
    org.org.bulk.refuses = {"OpportunityStage"}
    answer = create(raw, "SELECT Id FROM OpportunityStage")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALIDENTITY")
    assert create(raw).status_code == 200


def test_jobs_can_fail_be_slow_and_run_out(raw, org):
    org.fail_jobs("Opportunity", "TIMEOUT: query took too long", times=1)
    job = create(raw).json()["id"]
    states = [raw.get(f"jobs/query/{job}").json() for _ in range(2)]
    assert states[-1]["state"] == "Failed"
    assert states[-1]["errorMessage"].startswith("TIMEOUT")
    org.org.bulk.polls = 4
    job = create(raw).json()["id"]
    assert [raw.get(f"jobs/query/{job}").json()["state"] for _ in range(5)] == ["InProgress"] * 4 + ["JobComplete"]
    org.org.bulk.job_limit = 2
    refused = create(raw)
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "LIMIT_EXCEEDED")


def test_jobs_are_aborted_while_running_and_deleted_when_done(raw, session):
    running = create(raw).json()["id"]
    assert session.delete(f"{raw.base}/jobs/query/{running}").status_code == 400
    aborted = session.patch(f"{raw.base}/jobs/query/{running}", json={"state": "Aborted"})
    assert aborted.json()["state"] == "Aborted"
    assert session.patch(f"{raw.base}/jobs/query/{running}", json={"state": "Aborted"}).status_code == 400
    assert session.delete(f"{raw.base}/jobs/query/{running}").status_code == 204
    assert raw.get(f"jobs/query/{running}").status_code == 404


def test_results_need_the_version_that_made_the_job(org, session, raw):
    job = finish(raw)
    assert Raw(org, session, "65.0").get(f"jobs/query/{job}/results").status_code == 409


def test_a_bad_locator_is_refused(raw):
    job = finish(raw)
    for locator in ("%%%", "OTk5OTk5", "bm8"):
        assert raw.get(f"jobs/query/{job}/results", params={"locator": locator}).status_code == 400


def test_the_client_reads_bulk_results_whole(sf, world, monkeypatch):
    monkeypatch.setattr("simple_salesforce.bulk2.sleep", lambda seconds: None)
    chunks = list(sf.bulk2.Opportunity.query("SELECT Id, Name FROM Opportunity", max_records=60))
    ids = [r["Id"] for chunk in chunks for r in csv.DictReader(io.StringIO(chunk, newline=""))]
    assert len(chunks) == 3
    assert len(set(ids)) == sum(1 for _ in world.live())


def test_the_clients_bulk_handler_does_not_renew_its_session(org, sf, monkeypatch):
    monkeypatch.setattr("simple_salesforce.bulk2.sleep", lambda seconds: None)
    handler = sf.bulk2.Opportunity
    org.expire_sessions()
    with pytest.raises(SalesforceExpiredSession):
        list(handler.query("SELECT Id FROM Opportunity"))


def test_a_cut_download_can_be_taken_up_at_its_locator(raw, org):
    job = finish(raw)
    whole = rows_of(raw, job)
    org.faults.add("cut_body", match="job_results", times=1)
    with pytest.raises(Exception, match=r"(?i)incomplete|broken"):
        raw.get(f"jobs/query/{job}/results")
    assert rows_of(raw, job) == whole


def test_every_bulk_call_counts(raw, org):
    before = org.api_usage
    job = finish(raw)
    raw.get(f"jobs/query/{job}/results")
    assert org.api_usage == before + 4
    assert org.calls["job_create"] == 1
    assert org.calls["job_status"] == 2


@pytest.mark.slow
def test_20000_deals_and_90000_history_rows_are_served_quickly():
    with serve(World(seed=1, deals=20_000)) as org, session_to(org) as session:
        raw = Raw(org, session)
        fields = "Id, OpportunityId, StageName, Amount, CloseDate, CreatedDate, SystemModstamp, IsDeleted, CreatedById"
        job = finish(raw, f"SELECT {fields} FROM OpportunityHistory", "queryAll")
        pages = raw.get(f"jobs/query/{job}/resultPages").json()["resultPages"]
        sizes = [int(raw.get(p["resultUrl"]).headers["Sforce-NumberOfRecords"]) for p in pages]
        assert 85_000 < sum(sizes) < 100_000
        assert sum(call.seconds for call in org.log) < 3  # the server's own work; about 0.3 s on a quiet core
