"""Clients rate executors; executors complain; moderators hide and decide."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from manga_backend.kernel.approvals.service.asking import about_user, file_approval
from manga_backend.kernel.approvals.types import Asker, Fact, Look, Question, Sight
from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity.queries import find_users
from manga_backend.kit import clock
from manga_backend.kit.db import session, violates
from manga_backend.kit.i18n import gettext, local_time
from manga_backend.products.urgent import messages, queries
from manga_backend.products.urgent.domain import average, status_at
from manga_backend.products.urgent.errors import (
    AlreadyComplained,
    AlreadyReviewed,
    ComplaintNotPending,
    NotAnExecutor,
    NotTaken,
)
from manga_backend.products.urgent.models import Complaint, Order, Review, Take
from manga_backend.products.urgent.service.orders import own_order
from manga_backend.products.urgent.service.profiles import count_rating
from manga_backend.products.urgent.service.steps import lock_order, refund_takes, tell
from manga_backend.products.urgent.types import ComplaintStatus

APPROVAL_KIND = "urgent_complaint"


def review_executor(
    client_id: int, order_id: str, executor_id: int, rating: int, comment: str | None
) -> Review:
    """A client's word on who took their order; it counts in the executor's rating at once, in the
    same transaction. One for each order: AlreadyReviewed. OrderNotFound, NotOwnOrder, NotAnExecutor
    (also for one who got the money back). Locks the order, then the profile."""
    order = lock_order(own_order(client_id, order_id).id)  # or a refund could overtake it
    take = queries.find_take(order.id, executor_id)
    if queries.find_review_of(order.id, client_id) is not None:
        raise AlreadyReviewed
    if take is None or take.refunded_at is not None:
        raise NotAnExecutor
    review = Review(
        order_id=order.id,
        client_id=client_id,
        executor_id=executor_id,
        rating=rating,
        comment=comment,
        created_at=clock.now(),
    )
    session().add(review)
    try:
        session().flush()
    except IntegrityError as error:
        if violates(error, Review.order_id, Review.client_id):
            raise AlreadyReviewed from None
        raise
    profile = count_rating(executor_id, rating)
    tell(
        executor_id,
        messages.REVIEWED,
        "urgent_reviewed",
        order,
        review=review,
        average=average(profile.rating_sum, profile.ratings_count),
    )
    return review


def complain(executor_id: int, order_id: str, reason: str, comment: str | None) -> Complaint:
    """An executor's word on an order that they took, refunded or not; all admins are asked. One for
    each order: AlreadyComplained. OrderNotFound, NotTaken."""
    order = queries.get_order(order_id)
    if queries.find_take(order.id, executor_id) is None:
        raise NotTaken
    if queries.find_complaint_of(order.id, executor_id) is not None:
        raise AlreadyComplained
    complaint = Complaint(
        order_id=order.id,
        executor_id=executor_id,
        reason=reason,
        comment=comment,
        status=ComplaintStatus.PENDING,
        created_at=clock.now(),
    )
    session().add(complaint)
    try:
        session().flush()
    except IntegrityError as error:
        if violates(error, Complaint.order_id, Complaint.executor_id):
            raise AlreadyComplained from None
        raise
    file_approval(APPROVAL_KIND, str(complaint.id))
    return complaint


class ComplaintSubject:
    """What the desk knows of complaints (approvals.types.Subject): to approve one gives the price
    of the contact back."""

    def look_at(self, subject_ids: Collection[str]) -> dict[str, Sight]:
        """Who complains about whose order, and why; as many queries for many as for one."""
        found = queries.list_complaints([int(one) for one in subject_ids])
        orders = queries.find_orders([complaint.order_id for complaint in found])
        users = find_users(
            {c.executor_id for c in found} | {order.client_id for order in orders.values()}
        )
        takes = queries.list_takes(orders)
        sights: dict[str, Sight] = {}
        for complaint in found:
            order = orders[complaint.order_id]
            take = next(t for t in takes[order.id] if t.executor_id == complaint.executor_id)
            sights[str(complaint.id)] = partial(_look, complaint, order, take, users)
        return sights

    def needs_two(self, subject_id: str) -> bool:
        """Never: it is about 2 ₽."""
        return False

    def approve(self, subject_id: str, actor: Actor, option: str | None = None) -> None:
        """The executor is right: the money goes back, if it has not gone back already.
        ComplaintNotPending. Locks the order."""
        complaint = self._decide(subject_id, ComplaintStatus.UPHELD, None)
        order = lock_order(complaint.order_id)
        take = queries.find_take(order.id, complaint.executor_id)
        if take is not None and take.refunded_at is None:
            refund_takes([(order, take)], messages.COMPLAINT)
        else:
            _tell_decided(complaint, order, messages.COMPLAINT_UPHELD)

    def reject(self, subject_id: str, actor: Actor, reason: str | None) -> None:
        """The order was as it should be. ComplaintNotPending."""
        complaint = self._decide(subject_id, ComplaintStatus.DISMISSED, reason)
        order = queries.get_order(complaint.order_id)
        _tell_decided(complaint, order, messages.COMPLAINT_DISMISSED)

    @staticmethod
    def _decide(subject_id: str, to: ComplaintStatus, note: str | None) -> Complaint:
        done = session().execute(
            update(Complaint)
            .where(Complaint.id == int(subject_id), Complaint.status == ComplaintStatus.PENDING)
            .values(status=to, note=note, decided_at=clock.now())
            .execution_options(synchronize_session=False)
        )
        if not done.rowcount:  # type: ignore[attr-defined]
            raise ComplaintNotPending
        return session().get_one(Complaint, int(subject_id), populate_existing=True)


def _look(complaint: Complaint, order: Order, take: Take, users: Mapping[int, Asker]) -> Look:
    return Look(_question(complaint, order, take, users))


def _question(
    complaint: Complaint, order: Order, take: Take, users: Mapping[int, Asker]
) -> Question:
    executor, client = users[complaint.executor_id], users[order.client_id]
    state = gettext(messages.STATUS_WORDS[status_at(order, clock.now())])
    back = (
        gettext("2 ₽ go back to the executor") if take.refunded_at is None else gettext("Nothing")
    )
    return Question(
        gettext("Complaint about an order"),
        [
            *about_user(executor),
            Fact(gettext("Reason"), complaint.reason),
            *([Fact(gettext("Comment"), complaint.comment)] if complaint.comment else []),
            Fact(gettext("Order"), order.id, code=True),
            Fact(gettext("What for"), f"{order.category}, {order.city}: {order.description}"),
            Fact(gettext("Contact"), order.contact, code=True, is_private=True),
            Fact(gettext("Client"), _named(client), is_private=True),
            Fact(gettext("State"), state),
            Fact(gettext("Taken"), local_time(take.taken_at)),
            Fact(gettext("Answered"), local_time(take.answered_at)),
            Fact(gettext("Refunded"), local_time(take.refunded_at)),
            Fact(gettext("If it is approved"), back),
        ],
        complaint.executor_id,
    )


def _named(user: Asker) -> str:
    at = f"@{user.telegram_username}" if user.telegram_username else ""
    return " ".join(filter(None, (user.first_name, at, user.label)))


def _tell_decided(complaint: Complaint, order: Order, template: str) -> None:
    tell(complaint.executor_id, template, "urgent_complaint_decided", order, complaint=complaint)


def hide_review(review_id: int, actor: Actor, reason: str) -> None:
    """Nobody sees it any more, and it no longer counts. May run twice. ReviewNotFound. Audited."""
    _set_hidden(review_id, actor, reason)


def show_review(review_id: int, actor: Actor) -> None:
    """Everybody sees it again, and it counts. May run twice. ReviewNotFound. Audited."""
    _set_hidden(review_id, actor, None)


def _set_hidden(review_id: int, actor: Actor, reason: str | None) -> None:
    review = queries.get_review(review_id)
    hide = reason is not None
    unchanged = Review.hidden_at.is_(None) if hide else Review.hidden_at.is_not(None)
    done = session().execute(
        update(Review)
        .where(Review.id == review_id, unchanged)
        .values(hidden_at=clock.now() if hide else None, hidden_reason=reason)
        .execution_options(synchronize_session=False)
    )
    if not done.rowcount:  # type: ignore[attr-defined]
        return
    count_rating(review.executor_id, review.rating, times=-1 if hide else 1)
    action = "urgent.review_hidden" if hide else "urgent.review_shown"
    record_audit(
        actor, action, "urgent_review", review_id, after={"reason": reason} if hide else None
    )
