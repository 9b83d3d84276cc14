"""`phusong notify`: changes of verdicts to a webhook.

Comes in: settings. Goes out: POSTs to PHUSONG_WEBHOOK_URL; what is done, on stderr. Owns no state.
"""

from __future__ import annotations

from ops.terminal import DONE, TROUBLE, say_aside
from phusong.settings import read_rules, read_settings


def notify() -> int:
    """Gửi mỗi thay đổi kết luận tới webhook của IOC, có chữ ký. Post every change of a verdict, signed, to a webhook, until SIGTERM.

    At the first start only what changes from then on. What the receiver does not take (2xx) is tried again, after a restart too; exit
    code 1 when it answers 410 Gone. What it gets, and how to check the signature: docs/webhook.md.

    Examples: `PHUSONG_WEBHOOK_URL=https://ioc.example.vn/phusong phusong notify`; `phusong notify` with PHUSONG_WEBHOOK_URL set.
    """
    from ops.topics import check
    from streams.notify import run
    from streams.webhook import read_webhook

    settings = read_settings()
    rules = read_rules(settings.seeds)
    webhook = read_webhook(settings.webhook_url, settings.webhook_secret_file)
    if check(settings, say_aside):
        say_aside("the topics are not as they must be, see above; nothing was sent")
        return TROUBLE
    run(settings, rules, webhook)
    return DONE
