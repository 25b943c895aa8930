"""`muara sandbox`: fake CRMs in a process that ends when it is told to."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request


def test_the_sandbox_serves_until_it_is_stopped():
    command = [sys.executable, "-m", "dagster_project.cli", "sandbox", "hubspot", "--deals", "20", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.rstrip() == "}":
                break
        found = json.loads("".join(lines))["hubspot"]
        assert found["source"]["attributes"]["config"]["base_url"] == found["url"]
        try:
            with urllib.request.urlopen(f"{found['url']}/crm/v3/objects/deals", timeout=10) as answer:
                status = answer.status
        except urllib.error.HTTPError as refused:
            status = refused.code
        assert status == 401
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.stdout.close()


def test_an_unknown_system_is_named(shell):
    done = shell("sandbox", "zoho")
    assert done.code == 1
    assert "no sandbox of 'zoho'. There are: salesforce, hubspot, pipedrive." in done.err
