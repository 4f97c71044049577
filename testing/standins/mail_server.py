"""A mail server that keeps its e-mails: prints one JSON line when it listens, and one for each e-mail.

usage: mail_server.py FOLDER MODE
MODE: plain, login, or starttls (demanded, with a login). FOLDER gets the certificate authority, ca.pem.
"""

import asyncio
import json
import ssl
import sys

import trustme
from aiosmtpd.smtp import SMTP, AuthResult

FOLDER, MODE = sys.argv[1:3]
USER, PASSWORD = b"lava", b"mail-canary-password"


class Keeper:
    """Takes every e-mail but those to a name that begins with `no`."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("no"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        kept = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "text": envelope.content.decode("utf-8", "replace"),
            "login": bool(session.authenticated),
            "encrypted": session.ssl is not None,
        }
        print(json.dumps(kept), flush=True)
        return "250 Message accepted for delivery"


def authenticate(server, session, envelope, mechanism, data):
    if (data.login, data.password) == (USER, PASSWORD):
        return AuthResult(success=True)
    return AuthResult(success=False, handled=False)


def smtp(context):
    options = {"hostname": "mail.test"}
    if MODE in ("login", "starttls"):
        options.update(authenticator=authenticate, auth_required=True, auth_require_tls=MODE == "starttls")
    if MODE == "starttls":
        options.update(tls_context=context, require_starttls=True)
    return SMTP(Keeper(), **options)


async def main():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(f"{FOLDER}/ca.pem")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: smtp(context), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(main())
