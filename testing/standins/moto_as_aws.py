"""moto's server, with two things that AWS does and moto does not.

EventBridge Scheduler carries one-off schedules out: the input goes to the target's queue, with context attributes
put in place, and a schedule that says so is gone then (EventBridge Scheduler User Guide, "Schedule types", "Adding
context attributes", "Deleting a schedule"). And a receipt that is not a message's newest does nothing to it (SQS
Developer Guide, "Queue and message identifiers").
"""

import datetime
import os
import threading
import time
import traceback
import uuid

from moto import server
from moto.scheduler.models import scheduler_backends
from moto.sqs.models import Queue, SQSBackend, sqs_backends

PAUSE = 0.1  # seconds


def due(schedule, now):
    """Whether the time of a one-off schedule in UTC, at(yyyy-mm-ddThh:mm:ss), has come."""
    expression = schedule.schedule_expression
    if schedule.state != "ENABLED" or not expression.startswith("at("):
        return False
    assert schedule.schedule_expression_timezone == "UTC", "no other time zone is needed here"
    return datetime.datetime.fromisoformat(expression[3:-1]) <= now


def carry_out(schedule, account, region):
    service, queue = schedule.target["Arn"].split(":")[2::3]
    assert service == "sqs", "no other target is needed here"
    attributes = {
        "schedule-arn": schedule.arn,
        "scheduled-time": schedule.schedule_expression[3:-1] + "Z",
        "execution-id": str(uuid.uuid4()),
        "attempt-number": "1",
    }
    body = schedule.target["Input"]
    for name, value in attributes.items():
        body = body.replace(f"<aws.scheduler.{name}>", value)
    sqs_backends[account][region].send_message(queue, body)


def carry_out_what_is_due():
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    for account in list(scheduler_backends):
        for region, backend in list(scheduler_backends[account].items()):
            for group in list(backend.schedule_groups.values()):
                for schedule in [it for it in list(group.schedules.values()) if due(it, now)]:
                    schedule.state = "DISABLED"
                    if schedule.action_after_completion == "DELETE":
                        group.delete_schedule(schedule.name)
                    carry_out(schedule, account, region)


def go_on():
    """Until something fails: then the server ends with it, so that no client waits for an answer that never comes."""
    try:
        while True:
            carry_out_what_is_due()
            time.sleep(PAUSE)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def newest_receipts_only():
    def is_old(queue, receipt):
        return any(it.had_receipt_handle(receipt) and it.receipt_handle != receipt for it in queue._messages)

    delete = Queue.delete_message
    change_visibility = SQSBackend.change_message_visibility

    def delete_message(queue, receipt):
        if not is_old(queue, receipt):
            delete(queue, receipt)

    def change_message_visibility(backend, queue_name, receipt_handle, visibility_timeout):
        if not is_old(backend.get_queue(queue_name), receipt_handle):
            change_visibility(backend, queue_name, receipt_handle, visibility_timeout)

    Queue.delete_message = delete_message
    SQSBackend.change_message_visibility = change_message_visibility


if __name__ == "__main__":
    newest_receipts_only()
    threading.Thread(target=go_on, daemon=True).start()
    server.main()
