"""Invoices, payments, intents, coupons, transfers and withdrawals in any order, beside a model.

The tables of allowed steps are written down here a second time, from kernel.md §3: what the code
allows beyond them is found.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, update

from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.service.deciding import decide
from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.memberships.models import SubscriptionChange
from manga_backend.kernel.money.chains.queries import chains
from manga_backend.kernel.money.chains.types import Arrivals, Incoming, Network, Transaction
from manga_backend.kernel.money.coupons import service as coupons
from manga_backend.kernel.money.coupons.models import Coupon, CouponRedemption
from manga_backend.kernel.money.coupons.types import CreditGift, DaysGift, PercentGift
from manga_backend.kernel.money.gateways.types import Remittance, RemittanceStatus
from manga_backend.kernel.money.ledger.models import Transfer
from manga_backend.kernel.money.ledger.queries import find_wallet, prove, withdrawable
from manga_backend.kernel.money.ledger.types import TransferState
from manga_backend.kernel.money.payments.models import (
    Invoice,
    InvoiceHistory,
    Payment,
    PaymentHistory,
    PaymentIntent,
)
from manga_backend.kernel.money.payments.service import arrivals, instant, intents, refunds, submit
from manga_backend.kernel.money.payments.types import IntentStatus, InvoiceStatus, PaymentStatus
from manga_backend.kernel.money.payouts.models import Payout, PayoutHistory
from manga_backend.kernel.money.payouts.service import request, sending
from manga_backend.kernel.money.payouts.types import PayoutStatus
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.db import session
from manga_backend.kit.money import Money
from manga_backend.kit.problems import DomainError
from tests.conftest import Deployment
from tests.kernel.factories import admin, at_work, make_user
from tests.kernel.money.payments.conftest import OURS
from tests.standins.chains.tron import some_address
from tests.standins.telegram import BotApiStandIn
from tests.support import new_hash
from tests.variants import dispose, variant

INVOICE = {
    None: {"open"},
    "open": {"paid", "expired", "cancelled"},
    "expired": {"open"},  # its money came late
    "paid": {"refunded"},
}
PAYMENT = {None: {"pending", "approved"}, "pending": {"approved", "rejected", "expired"}}
PAYOUT = {
    None: {"pending"},
    "pending": {"processing", "cancelled"},
    "processing": {"paid", "failed"},
}
PRICE = 5_000_000
USERS = 2
users = st.integers(0, USERS - 1)
amounts = st.integers(1, 12_000_000)


class Shop(RuleBasedStateMachine):
    """What people do to money, one after the other; refusals are part of it."""

    app: App
    hashes, payments, promises, codes, payouts = (
        Bundle(name) for name in ("hashes", "payments", "promises", "codes", "payouts")
    )

    def __init__(self, deployment: Deployment, app: App) -> None:
        super().__init__()
        dispose(app)  # or its connections would see the file from before
        deployment.reset()
        self.app = app
        self.users = [make_user(app) for _ in range(USERS)]
        self.wallets: dict[int, int] = defaultdict(int)
        self.reserved: dict[int, int] = defaultdict(int)
        self.gifts: dict[int, int] = defaultdict(int)
        self.gift_in: dict[uuid.UUID, int] = {}
        self.finished: set[uuid.UUID] = set()

    @contextmanager
    def doing(self) -> Iterator[None]:
        """One command; what is refused changes nothing."""
        with suppress(DomainError), at_work(self.app):
            yield

    # ---- by hash

    @rule(target=payments, user=users, tx=st.none() | hashes)
    def submit(self, user: int, tx: str | None) -> Any:
        with self.doing():
            return submit.submit_transaction(self.users[user], tx or new_hash()).id
        return multiple()

    @rule(target=hashes, payment=payments)
    def copy_hash(self, payment: uuid.UUID) -> Any:
        """As a thief reads it on the chain."""
        with at_work(self.app):
            found = session().get_one(Payment, payment).tx_hash
        return found if found else multiple()

    @rule(payment=payments, yes=st.booleans(), number=st.integers(1, 2))
    def decide(self, payment: uuid.UUID, yes: bool, number: int) -> None:
        self._decide(str(payment), yes, number)

    def _decide(self, subject: str, yes: bool, number: int = 1) -> bool:
        with self.doing():
            asked = session().scalar(select(Approval).where(Approval.subject_id == subject))
            if asked is not None:
                word = Decision.APPROVE if yes else Decision.REJECT
                decide(asked.id, word, admin(number))
                return True
        return False

    @rule(payment=payments)
    def refund(self, payment: uuid.UUID) -> None:
        with self.doing():
            found = refunds.refund(payment, CLI, "asked for")
            self.wallets[found.user_id] += found.amount
            self.gifts[found.user_id] += self.gift_in.pop(payment, 0)

    # ---- by intent

    @rule(target=promises, user=users, code=st.none() | codes)
    def promise(self, user: int, code: str | None) -> Any:
        with self.doing():
            return intents.open_intent(self.users[user], Network.TRON, coupon_code=code).id
        return multiple()

    @rule(target=promises, user=users, amount=amounts)
    def promise_top_up(self, user: int, amount: int) -> Any:
        with self.doing():
            money = Money(amount, "USDT")
            return intents.open_top_up(self.users[user], money, Network.TRON).id
        return multiple()

    @rule(target=payments, promise=promises, more=st.sampled_from((0, 0, 0, 1)), late=st.booleans())
    def arrive(self, promise: uuid.UUID, more: int, late: bool) -> Any:
        with at_work(self.app):
            intent = session().get_one(PaymentIntent, promise)
            when = intent.created_at + timedelta(minutes=61 if late else 5)
            was_open = intent.status in (IntentStatus.OPEN, IntentStatus.EXPIRED)
            tx = new_hash()
            came = Incoming(tx, 0, some_address("payer"), intent.amount + more)
            seen = Transaction(
                tx, True, (came,), block_number=1, block_time=when, confirmations=99, final=True
            )
            chain = chains()[Network.TRON]
            arrivals.keep(chain, Arrivals([seen], "1"))
            arrivals.keep(chain, Arrivals([seen], "1"))  # read twice
        with at_work(self.app):
            arrivals.match_waiting(chain, 100)
            arrivals.match_waiting(chain, 100)
            made = session().scalar(select(Payment).where(Payment.intent_id == promise))
            if not was_open or made is None:
                return multiple()
            invoice = session().get_one(Invoice, made.invoice_id)
            if made.status is PaymentStatus.APPROVED and invoice.product == "wallet":
                self.wallets[made.user_id] += made.amount
            return made.id if invoice.product != "wallet" else multiple()

    @rule(payment=st.integers(0, 9), yes=st.booleans())
    def decide_late_top_up(self, payment: int, yes: bool) -> None:
        with at_work(self.app):
            waiting = list(
                session().scalars(
                    select(Payment)
                    .join(Invoice, Invoice.id == Payment.invoice_id)
                    .where(Payment.status == PaymentStatus.PENDING, Invoice.product == "wallet")
                )
            )
        if waiting:
            found = waiting[payment % len(waiting)]
            if self._decide(str(found.id), yes) and yes:
                self.wallets[found.user_id] += found.amount

    @rule()
    def an_hour_passes(self) -> None:
        with at_work(self.app):
            session().execute(update(PaymentIntent).values(expires_at=clock.now()))
        with at_work(self.app):
            intents.expire_intents(100)

    # ---- coupons and the wallet

    @rule(
        target=codes,
        gift=st.one_of(
            st.builds(DaysGift, st.just("monthly"), st.integers(1, 9)),
            st.builds(CreditGift, amounts, st.just("USDT")),
            st.builds(PercentGift, st.integers(1, 99)),
        ),
        uses=st.integers(1, 2),
    )
    def issue(self, gift: Any, uses: int) -> Any:
        with at_work(self.app):
            return coupons.codes_of(coupons.issue(CLI, gift, max_uses=uses))[0]

    @rule(user=users, code=codes)
    def redeem(self, user: int, code: str) -> None:
        with self.doing():
            paid = instant.redeem_coupon(self.users[user], code)
            if paid.fulfilled.credit:
                self.wallets[self.users[user]] += paid.fulfilled.credit.amount
                self.gifts[self.users[user]] += paid.fulfilled.credit.amount

    @rule(target=payments, user=users)
    def buy(self, user: int) -> Any:
        who = self.users[user]
        with self.doing():
            paid = instant.pay_from_wallet(who)
            self.wallets[who] -= PRICE
            self.gift_in[paid.payment.id] = min(PRICE, self.gifts[who])
            self.gifts[who] -= self.gift_in[paid.payment.id]
            return paid.payment.id
        return multiple()

    # ---- withdrawals

    @rule(target=payouts, user=users, amount=amounts)
    def withdraw(self, user: int, amount: int) -> Any:
        who = self.users[user]
        with self.doing():
            made = request.request_payout(
                who, Money(amount, "USDT"), Network.TRON, some_address("x")
            )
            assert amount <= self.wallets[who] - self.reserved[who] - self.gifts[who]
            self.reserved[who] += amount
            return made.id
        return multiple()

    @rule(payout=payouts, yes=st.booleans())
    def decide_payout(self, payout: uuid.UUID, yes: bool) -> None:
        self._decide(str(payout), yes)
        self._note(payout)

    @rule(payout=payouts, way=st.sampled_from(("by hand", "not sent", "give up", "paid", "failed")))
    def end_payout(self, payout: uuid.UUID, way: str) -> None:
        told = RemittanceStatus.PAID if way == "paid" else RemittanceStatus.FAILED
        with self.doing():
            amount = str(session().get_one(Payout, payout).money)
            if way == "by hand":
                sending.mark_paid(payout, new_hash(), CLI)
            elif way == "give up":
                sending.give_up(payout, CLI, "no")
            elif way == "not sent":
                sending.vouch_not_sent(payout, CLI, "no")
            else:
                sending.settle(Remittance(payout.hex, told, amount, "USDT"))
        self._note(payout)

    @rule(
        answer=st.sampled_from((*RemittanceStatus, "other amount", "unknown", "refused", None)),
        account=st.sampled_from(("one", "one", "two")),
        waits=st.booleans(),
    )
    def send(self, answer: Any, account: str, waits: bool) -> None:
        """The provider is told of what is due, and answers, or says that it does not know it."""
        with at_work(self.app):
            due = [update(Payout).where(Payout.ask_at.is_not(None)).values(ask_at=clock.now())]
            if waits:
                ago = clock.now() - sending.SETTLES_WITHIN
                due.append(update(Payout).where(Payout.tried_at.is_not(None)).values(tried_at=ago))
            for one in due:
                session().execute(one)
        with at_work(self.app):
            errand = sending.claim_due(account)
        if errand is None or answer is None:  # the worker dies
            return
        told, problem = None, None
        if answer == "refused" or (answer == "unknown" and not errand.is_given_up):
            problem = "no funds"
        elif answer != "unknown":
            amount = "0.5" if answer == "other amount" else errand.order.amount
            status = answer if isinstance(answer, RemittanceStatus) else RemittanceStatus.PAID
            told = replace(errand.order, status=status, amount=amount)
        with at_work(self.app):
            sending.record_answer(errand.payout_id, told, problem)
        self._note(errand.payout_id)

    def _note(self, payout: uuid.UUID) -> None:
        """What has come to its end since it was looked at last."""
        with at_work(self.app):
            found = session().get_one(Payout, payout)
        if found.finished_at is None or payout in self.finished:
            return
        self.finished.add(payout)
        self.reserved[found.user_id] -= found.amount
        if found.status is PayoutStatus.PAID:
            self.wallets[found.user_id] -= found.amount

    # ---- what always holds

    @invariant()
    def the_book_holds_and_wallets_are_the_models(self) -> None:
        with at_work(self.app):
            proof = prove()
            assert proof.holds, proof.findings
            for user in self.users:
                wallet = find_wallet(user, "USDT")
                assert (wallet.balance, wallet.reserved) == (
                    self.wallets[user],
                    self.reserved[user],
                )
                free = self.wallets[user] - self.reserved[user] - self.gifts[user]
                assert withdrawable(user, "USDT") == max(0, free)

    @invariant()
    def every_step_was_allowed(self) -> None:
        with at_work(self.app):
            for history, owner, allowed, model in (
                (InvoiceHistory, InvoiceHistory.invoice_id, INVOICE, Invoice),
                (PaymentHistory, PaymentHistory.payment_id, PAYMENT, Payment),
                (PayoutHistory, PayoutHistory.payout_id, PAYOUT, Payout),
            ):
                stands: dict[uuid.UUID, str] = {}
                for step in session().scalars(select(history).order_by(history.id)):
                    key = getattr(step, owner.key)
                    assert step.from_status == stands.get(key)
                    assert step.to_status in allowed.get(step.from_status, set())
                    stands[key] = step.to_status
                now = session().execute(select(model.id, model.status))
                assert stands == {key: status.value for key, status in now}

    @invariant()
    def what_was_paid_was_paid_once(self) -> None:
        with at_work(self.app):
            approved = list(
                session().scalars(
                    select(Payment.invoice_id).where(Payment.status == PaymentStatus.APPROVED)
                )
            )
            assert len(approved) == len(set(approved))
            paid = (InvoiceStatus.PAID, InvoiceStatus.REFUNDED)
            settled = session().scalars(select(Invoice.id).where(Invoice.status.in_(paid)))
            assert set(approved) == set(settled)
            live = select(Payment.tx_hash).where(
                Payment.tx_hash.is_not(None),
                Payment.status.in_((PaymentStatus.PENDING, PaymentStatus.APPROVED)),
            )
            hashes = list(session().scalars(live))
            assert len(hashes) == len(set(hashes))
            sources = list(session().scalars(select(SubscriptionChange.source_id)))
            assert len(sources) == len(set(sources))

    @invariant()
    def uses_are_redemptions_and_promises_have_their_payment(self) -> None:
        with at_work(self.app):
            counted = select(CouponRedemption.coupon_id, func.count())
            rows = session().execute(counted.group_by(CouponRedemption.coupon_id))
            used = {row[0]: row[1] for row in rows}
            for coupon in session().scalars(select(Coupon)):
                assert coupon.uses == used.get(coupon.id, 0) <= coupon.max_uses
            settled = session().scalars(
                select(PaymentIntent.id).where(PaymentIntent.status == IntentStatus.SETTLED)
            )
            paid = session().scalars(
                select(Payment.intent_id).where(Payment.intent_id.is_not(None))
            )
            assert sorted(settled) == sorted(paid)

    @invariant()
    def pending_transfers_are_payouts_under_way(self) -> None:
        with at_work(self.app):
            pending = session().scalars(
                select(Transfer.key).where(Transfer.state == TransferState.PENDING)
            )
            under_way = session().scalars(
                select(Payout.id).where(
                    Payout.status.in_((PayoutStatus.PENDING, PayoutStatus.PROCESSING))
                )
            )
            assert sorted(pending) == sorted(f"payout:{key}" for key in under_way)


@pytest.mark.parametrize(("auto", "sender"), [("", "hand"), ("intent", "gateway")])
@pytest.mark.parametrize(
    "examples", [12, pytest.param(400, marks=(pytest.mark.soak, pytest.mark.timeout(1800)))]
)
def test_any_order_of_commands(
    deployment: Deployment, bot: BotApiStandIn, examples: int, auto: str, sender: str
) -> None:
    values = {
        "TRON_ADDRESS": OURS,
        "TRON_RPC_URL": "http://127.0.0.1:9",  # nobody asks it: what arrives is put in by hand
        "WITHDRAW_BY": sender,
        "CRYPTOMUS_MERCHANT_ID": "m",
        "CRYPTOMUS_PAYOUT_KEY": "k",  # its answers are made up by the rule
        "WITHDRAW_MIN": "0.000001",
        "AUTO_APPROVE": auto,
    }
    with variant(deployment.settings, **values) as app:
        run_state_machine_as_test(
            lambda: Shop(deployment, app),
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                suppress_health_check=list(HealthCheck),
            ),
        )
