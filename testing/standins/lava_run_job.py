"""Runs jobs with lava's code, for the test that runs the same ones with Pumice.

Reads a case a line, as JSON: jobs, state, config, fields of the realm, one request. Dispatches the request, runs what
lava's queue then holds, one after the other, until it is empty, as lava's worker does. Writes a line of JSON for each
case: every run with its events, and the state that is left.

DynamoDB is a stand-in at AWS_ENDPOINT_URL. Messages to SQS and uploads to S3 are caught; waits are left out.
"""

import copy
import json
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections import deque
from datetime import date, datetime
from decimal import Decimal

import boto3
import lava.config
import lava.lava
import lava.lavacore
from lava.lib.state import LavaStateItem

REALM = "test"
WORKER = "core"
S3_TEMP = "s3://bucket/tmp"
# The most runs of a case.
MAX_RUNS = 40

queue = deque()
uploads = {}
runs = []
run_of = {}
lock = threading.Lock()


def shown(item, run_id):
    """An event's info at the time of the event: the output of commands in place of its location."""
    if isinstance(item, dict):
        return {str(key): shown(value, run_id) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return [shown(value, run_id) for value in item]
    if isinstance(item, (datetime, date)):
        return item.isoformat()
    if isinstance(item, Decimal):
        return int(item) if item == item.to_integral_value() else float(item)
    if isinstance(item, str):
        return uploads.get(item, item.replace(run_id, "RUN"))
    return item


def note_event(job_spec, status, info=None):
    run = run_of.get(id(job_spec))
    if run is not None:
        run["events"].append([status, shown(copy.deepcopy(info), job_spec["run_id"])])
    return lava.lavacore.now_tz()


def recorded(run_job):
    def run(job_spec, *args, **kwargs):
        record = {"job_id": job_spec["job_id"], "events": []}
        record["delay"] = job_spec.pop("__delay__", 0)
        with lock:
            if len(runs) >= MAX_RUNS:
                raise lava.LavaError("too many runs")
            runs.append(record)
            run_of[id(job_spec)] = record
        return run_job(job_spec, *args, **kwargs)

    return run


def catch_upload(bucket, key, filename, *args, **kwargs):
    with open(filename, errors="replace") as file:
        uploads[f"s3://{bucket}/{key}"] = file.read()


lava.lavacore.sqs_send_msg = lambda message, _queue, delay=0, *_: queue.append((message, delay))
lava.lava.log_event = note_event
lava.lava.sleep = lambda _: None
lava.lava.run_job = recorded(lava.lava.run_job)
# After their imports were put in place.
import lava.handlers.cmd  # noqa: E402

lava.handlers.cmd.s3_upload = catch_upload
CONFIG = copy.deepcopy(lava.config.__config__)


def numbers(document):
    """The document with numbers as DynamoDB takes them."""
    return json.loads(json.dumps(document), parse_float=Decimal)


def table(name, *keys):
    boto3.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"} for key in keys],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        BillingMode="PAY_PER_REQUEST",
    )
    return boto3.resource("dynamodb").Table(name)


def replace(stored, key, items):
    for old in stored.scan()["Items"]:
        stored.delete_item(Key={key: old[key]})
    for item in items:
        stored.put_item(Item=numbers(item))


def work(jobs, realm, session):
    """As lava's worker: one message after the other."""
    while queue:
        message, delay = queue.popleft()
        request = json.loads(message)
        job_id = request["job_id"]
        try:
            job_spec = lava.lavacore.get_job_spec(job_id, jobs)
            if job_spec["worker"] != WORKER:
                raise lava.LavaError("Worker mismatch")
            job_spec = lava.lavacore.augment_job_spec(job_spec, request, REALM)
        except Exception as error:
            runs.append({"job_id": job_id, "events": [["refused", str(error)]], "delay": delay})
            continue
        job_spec["__delay__"] = delay
        with tempfile.TemporaryDirectory() as folder:
            try:
                lava.lava.run_job(job_spec, realm, folder, aws_session=session)
            except Exception:  # noqa: S110
                # Its events tell.
                pass


def main():
    warnings.simplefilter("ignore")
    logging.disable()
    realms, jobs = table("lava.realms", "realm"), table(f"lava.{REALM}.jobs", "job_id")
    states = table(f"lava.{REALM}.state", "state_id")
    session = boto3.Session()
    for line in sys.stdin:
        case = json.loads(line)
        for kept in (queue, runs, uploads, run_of):
            kept.clear()
        realm = {
            "realm": REALM,
            "s3_temp": S3_TEMP,
            "s3_payloads": "s3://bucket/payloads",
            "s3_key": "alias/lava-test-user",
            "config": case["config"],
            **case["realm"],
        }
        replace(realms, "realm", [realm])
        replace(jobs, "job_id", case["jobs"])
        replace(states, "state_id", [])
        lava.config.__config__.clear()
        lava.config.__config__.update(copy.deepcopy(CONFIG))
        lava.config.config_load.realm_info = None
        realm = lava.config.config_load(REALM)
        for state_id, value in case["state"].items():
            LavaStateItem.new(state_id=state_id, realm=REALM, value=value).put()
        request = case["request"]
        try:
            lava.lavacore.dispatch(
                REALM,
                request["job_id"],
                params=request.get("parameters"),
                globals_=request.get("globals"),
            )
            refused = None
        except Exception as error:
            refused = str(error)
        work(jobs, realm, session)
        left = {item["state_id"]: LavaStateItem.get(item["state_id"], REALM) for item in states.scan()["Items"]}
        state = {key: {"value": shown(item.value, "-"), "type": item.state_type, "publisher": item.publisher} for key, item in left.items()}
        print(json.dumps({"refused": refused, "runs": runs, "state": state}), flush=True)


if __name__ == "__main__":
    os.chdir(tempfile.gettempdir())
    main()
