"""The main job in one go, as a reader and an admin live it."""

from __future__ import annotations

from tests.support import ADMIN_IDS, LOG_CHANNEL, Api, new_hash


def test_reader_pays_and_reads(api: Api) -> None:
    reader = api.reader()
    assert reader.status()["subscription"] == {
        "active": False,
        "plan": None,
        "started_at": None,
        "expires_at": None,
        "days_remaining": 0,
    }
    assert reader.get("/api/user/access").status_code == 402

    tx_hash = new_hash()
    answer = reader.submit(tx_hash.upper())
    assert answer.status_code == 202
    assert answer.get_json()["status"] == "pending"
    assert answer.get_json()["verification"] == {"verdict": "unchecked"}
    assert reader.status()["pending_payments"] == 1

    api.deliver()
    for admin in ADMIN_IDS:
        question = api.question(admin, tx_hash)
        assert reader.username in question.html
        assert "5.00 USDT" in question.html

    assert api.press(ADMIN_IDS[0], tx_hash, "✅") == "Approved."

    status = reader.status()
    assert status["subscription"]["active"] is True
    assert status["subscription"]["days_remaining"] == 30
    assert status["purchases_count"] == 1
    assert status["last_payment"]["status"] == "approved"
    assert status["unread_notifications"] == 1
    assert reader.get("/api/user/access").status_code == 204
    for admin in ADMIN_IDS:
        told = api.question(admin, tx_hash)
        assert "Approved" in told.html
        assert f"telegram:{ADMIN_IDS[0]}" in told.html
        assert told.reply_markup is None
    assert "Payment: Approved" in api.question(LOG_CHANNEL, tx_hash).html
    assert "accepted" in api.question(reader.telegram_id, "accepted").html
    assert "already" in api.press_again(ADMIN_IDS[1], tx_hash, "reject").lower()

    first = dict(reader.auth)
    reader.sign_in()
    elsewhere = api.client().get("/api/user/status", headers=first)
    assert elsewhere.status_code == 401
    assert elsewhere.get_json()["code"] == "session_replaced"
